"""Whether standard errors are errors: each against the deviation of repeated independent samples.

``python -m benchmarks.calibration`` draws features, path lengths and verdicts of known laws, again
and again, and prints for each metric and law the mean stated error over the standard deviation of
the values: with the real images held fixed, which is what a row states, and with them redrawn. No
network takes part. ``--out FOLDER`` writes the table as CSV and Markdown.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from benchmarks.demo.network import write_between
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.statistics import (
    FeatureStats,
    class_sums,
    inception_score,
    pieces_of,
    split_of,
)
from stylegan_eval.metrics import precision_recall
from stylegan_eval.metrics.cmmd import cmmd
from stylegan_eval.metrics.fid import estimate
from stylegan_eval.metrics.frechet import FrechetTo
from stylegan_eval.metrics.kid import kernel_distance
from stylegan_eval.metrics.separability import conditional_entropy, score_stderr, separability
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from stylegan_eval.results.formatting import with_error
from stylegan_eval.results.paired import of_shared

DIM = 16
NAME = "calibration"
Floats = NDArray[np.float64]
# Value, stated error, and stated error with the real images redrawn; NaN where there is none.
Measured = tuple[float, float, float]
_NONE = math.nan


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Ratios of a metric under one law; NaN where there is no such error."""

    metric: str
    law: str
    num: int
    fixed: float  # stated error over the deviation with real images fixed
    redrawn: float  # the same with real images redrawn
    redrawn_own: float  # the error for redrawn real images over that deviation
    repeats: int


def _same(rng: np.random.Generator, n: int) -> Floats:
    return np.maximum(rng.standard_normal((n, DIM)), 0)


def _near(rng: np.random.Generator, n: int) -> Floats:
    return np.maximum(rng.standard_normal((n, DIM)) + 0.15, 0)


Law = Callable[[np.random.Generator, int], Floats]
FEATURES: Mapping[str, Law] = {  # Of generated features; the real ones are `_same`.
    "same": _same,
    "near": _near,
    "far": lambda rng, n: np.maximum(1.2 * rng.standard_normal((n, DIM)) + 0.8, 0),
    "heavy tails": lambda rng, n: _near(rng, n) * rng.lognormal(0, 0.4, (n, 1)),
}
LENGTHS: Mapping[str, Law] = {
    "normal": lambda rng, n: 10 + rng.standard_normal(n),
    "exponential": lambda rng, n: rng.exponential(1, n),
    "lognormal, sigma 1": lambda rng, n: rng.lognormal(0, 1, n),
    "lognormal, sigma 2": lambda rng, n: rng.lognormal(0, 2, n),
}
MISTAKES = {"20 % mistakes": 0.2, "2 % mistakes": 0.02, "0.1 % mistakes": 1e-3, "none": 0.0}


def of_features(fake: Floats, real: Floats, rng: np.random.Generator) -> dict[str, Measured]:
    """All metrics of images, of their features [N, D] and [M, D]."""
    values: dict[str, Measured] = {}
    groups = [FeatureStats.of(part, "d") for part in np.array_split(fake, 20)]
    frechet = estimate(FrechetTo(FeatureStats.of(real, "d")), groups, real)
    for name, value, error in (
        ("fid", frechet.value, frechet.stderr),
        ("fid_inf", frechet.limit, frechet.limit_stderr),
    ):
        if value is not None:
            values[name] = (value, _number(error), _number(frechet.redrawn(error)))
    x, y = torch.from_numpy(fake), torch.from_numpy(real)
    for size, subsets in ((len(fake), 1), (len(fake) // 2, 10), (len(fake) // 10, 50)):
        kernel = kernel_distance(x, y, rng=rng, subsets=subsets, subset_size=size)
        errors = _number(kernel.stderr), _number(kernel.stderr_redrawn)
        values[f"kid, {subsets} x N/{len(fake) // size}"] = (kernel.mean, *errors)
    value, stderr, redrawn, _ = cmmd(normalize(x), normalize(y))
    values["cmmd"] = (value, _number(stderr), _number(redrawn))
    balls, _ = precision_recall.measure(y, x, 3, precision_recall.OPEN)
    values["precision"] = (balls.precision, balls.precision_stderr, _NONE)
    values["density"] = (balls.density, balls.density_stderr, _NONE)
    for splits in (1, 2, 10):
        pieces = pieces_of(len(x), splits)
        sums = class_sums(3 * x, split_of(range(len(x)), len(x), pieces), pieces)
        score = inception_score(sums, splits)
        values[f"is, {splits} splits"] = (score.mean, _number(score.stderr), _NONE)
    other = _moved(_near(rng.spawn(1)[0], len(fake)), real)
    for name, (value, held, text) in _moved(fake, real).items():
        value -= other[name][0]
        held = math.hypot(held, other[name][1])
        of_both = math.hypot(held, math.sqrt(of_shared(text, other[name][2])))
        values[f"{name}, difference from near"] = (value, held, of_both)
    return values


def _moved(fake: Floats, real: Floats) -> dict[str, tuple[float, float, str]]:
    """Values, errors and how the real images move them."""
    groups = [FeatureStats.of(part, "d") for part in np.array_split(fake, 20)]
    frechet = estimate(FrechetTo(FeatureStats.of(real, "d")), groups, real)
    x, y = torch.from_numpy(fake), torch.from_numpy(real)
    rng, size = np.random.default_rng(0), len(fake) // 2
    kernel = kernel_distance(x, y, rng=rng, subsets=10, subset_size=size)
    value, stderr, _, text = cmmd(normalize(x), normalize(y))
    return {
        "fid": (frechet.value, _number(frechet.stderr), frechet.projected),
        "kid": (kernel.mean, _number(kernel.stderr), kernel.projected),
        "cmmd": (value, _number(stderr), text),
    }


def _number(stderr: float | None) -> float:
    return math.nan if stderr is None else stderr


def of_lengths(lengths: Floats) -> dict[str, Measured]:
    """Path length."""
    mean = trimmed_mean(lengths)
    return {"ppl": (mean.mean, mean.stderr, _NONE)}


def of_verdicts(mistakes: float, num: int, rng: np.random.Generator) -> dict[str, Measured]:
    """Separability of one attribute, of 20 blocks of counts."""
    cells = [0.5 - mistakes / 2, mistakes / 2, mistakes / 2, 0.5 - mistakes / 2]
    tables = rng.multinomial(num // 20, cells, size=20).reshape(20, 1, 2, 2).astype(np.float64)
    score = separability([conditional_entropy(tables.sum(axis=0)[0])])
    return {"ls": (score, _number(score_stderr(tables)), _NONE)}


def lines(nums: Sequence[int], repeats: int, seed: int) -> Iterator[Ratios]:
    """Measure every metric under every law with every number of images."""
    for at, num in enumerate(nums):
        for law, draw in enumerate(FEATURES.values()):
            real = _same(np.random.default_rng([seed, at, law]), num)
            fixed, redrawn = [], []
            for repeat in range(repeats):
                rng = np.random.default_rng([seed, at, law, repeat + 1])  # 0 is that of real
                fake = draw(rng, num)
                fixed.append(of_features(fake, real, rng))
                redrawn.append(of_features(fake, _same(rng, num), rng))
            yield from _lines(list(FEATURES)[law], num, fixed, redrawn)
        for law, length in enumerate(LENGTHS.values()):
            rng = np.random.default_rng([seed, at, 10 + law])
            yield from _lines(
                list(LENGTHS)[law], num, [of_lengths(length(rng, num)) for _ in range(repeats)]
            )
        for law, mistakes in enumerate(MISTAKES.values()):
            rng = np.random.default_rng([seed, at, 20 + law])
            yield from _lines(
                list(MISTAKES)[law], num, [of_verdicts(mistakes, num, rng) for _ in range(repeats)]
            )


def _lines(
    law: str,
    num: int,
    fixed: Sequence[Mapping[str, Measured]],
    redrawn: Sequence[Mapping[str, Measured]] = (),
) -> Iterator[Ratios]:
    for metric in fixed[0]:
        held = np.array([found[metric] for found in fixed])
        moved = np.array([found[metric] for found in redrawn]) if redrawn else held * math.nan
        without_reals = metric.startswith("is")
        yield Ratios(
            metric=metric,
            law=law,
            num=num,
            fixed=_ratio(held, 1),
            redrawn=math.nan if without_reals else _ratio(moved, 1),
            redrawn_own=_ratio(moved, 2),
            repeats=len(fixed),
        )


def _ratio(samples: Floats, column: int) -> float:
    """Mean of the stated errors over the deviation of the values; NaN where these do not differ."""
    deviation = float(samples[:, 0].std(ddof=1))
    return float(samples[:, column].mean()) / deviation if deviation > 0 else math.nan


def in_words(line: Ratios) -> str:
    """Ratios of one line: fixed; redrawn, and in brackets with the error for it."""
    words = "" if math.isnan(line.fixed) else f"{line.fixed:.2f}"
    if not math.isnan(line.redrawn):
        words += f"; {line.redrawn:.2f}"
    return words if math.isnan(line.redrawn_own) else f"{words} ({line.redrawn_own:.2f})"


def markdown(ratios: Sequence[Ratios]) -> list[str]:
    """Tables of the ratios, a column for each law."""
    table: list[str] = []
    for laws in (FEATURES, LENGTHS, MISTAKES):
        cells = {(line.metric, line.num, line.law): in_words(line) for line in ratios}
        rows = sorted({(m, num) for m, num, law in cells if law in laws})
        table += ["", f"| metric | N | {' | '.join(laws)} |", "|---|---|" + "---|" * len(laws)]
        for metric, num in rows:
            shown = " | ".join(cells.get((metric, num, law), "") for law in laws)
            table.append(f"| {metric} | {num} | {shown} |")
    return table[1:]


@click.command(cls=ErrorLineCommand)
@click.option("--nums", default="100,600", show_default=True, help="Numbers of images.")
@click.option("--repeats", default=200, show_default=True, type=click.IntRange(min=2))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for calibration.csv and .md.")
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Page whose table is written anew (docs/metrics.md).")  # fmt: skip
def main(nums: str, repeats: int, seed: int, out: Path | None, page: Path | None) -> None:
    """Hold standard errors against the deviation of repeated samples."""
    torch.set_num_threads(1)
    try:
        counts = [int(num) for num in nums.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--nums: expected numbers with commas, got {nums}") from error
    if min(counts) < 40:
        raise click.UsageError(f"--nums: 20 groups need 40 images or more, got {min(counts)}")
    ratios = []
    for line in lines(counts, repeats, seed):
        ratios.append(line)
        click.echo(f"{line.metric}, N = {line.num}, {line.law}: {in_words(line)}")
    known = 1 / math.sqrt(2 * (repeats - 1))
    click.echo(f"A ratio of 1 is known to about {with_error(1, known)}.")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / f"{NAME}.csv") as temporary, temporary.open("w") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Ratios)])
            writer.writeheader()
            writer.writerows(asdict(line) for line in ratios)
        with atomic_write(out / f"{NAME}.md") as temporary:
            temporary.write_text("\n".join(markdown(ratios)) + "\n", encoding="utf-8")
    if page is not None:
        write_between(page, NAME, markdown(ratios))


if __name__ == "__main__":
    main()
