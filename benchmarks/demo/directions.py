"""Attribute directions of the package's network: find and pack them, or find them again.

Run it with ``python -m benchmarks.demo.directions make|check|page``. What measures is a command
that a user can repeat; each is printed before it runs.
"""

import csv
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.demo.network import CLASSIFIERS, WORST, run, with_values, write_between
from stylegan.opening import DEMO, DEMO_DIRECTIONS_FILE, demo_directions_path
from stylegan.png import save_png
from stylegan.sample.canvas import table
from stylegan.sample.painter import open_painter
from stylegan.sample.recipe import GeneratorSource
from stylegan_eval.engine.command import ErrorLineGroup
from stylegan_eval.engine.files import atomic_write, copy_file
from stylegan_eval.engine.sampling import latents
from stylegan_eval.results.directions_file import Directions, read_directions
from stylegan_eval.results.results import words_of

# What avatars at this quality show, and classifiers read well.
ATTRIBUTES = (
    "eyeglasses,smiling,mouth_open,hat,long_hair,curly_hair,hair_black,beard,skin_dark,bg_dark,"
    "bg_warm,clothes_dark"
)
SHOWN = ("eyeglasses", "smiling")
SHOWN_SEEDS = (8, 12, 21)
SHOWN_STRENGTHS = (-3, -2, -1, 0, 1, 2, 3)
_ROOT = Path(__file__).parents[2]
PACKAGED = _ROOT / "stylegan" / DEMO_DIRECTIONS_FILE
PAGE = _ROOT / "docs" / "directions.md"
RATES = _ROOT / "docs" / "directions" / "rates.csv"
PICTURE = _ROOT / "docs" / "directions" / "demo.png"
_FILE = click.Path(path_type=Path)


def commands() -> tuple[str, str, str]:
    """Commands that find the directions, and compare other normals."""
    base = f"stylegan-eval directions --ckpt {DEMO} --classifiers {CLASSIFIERS}"
    few = ",".join(SHOWN)
    return (
        f"{base} --attributes {ATTRIBUTES} --out {DEMO_DIRECTIONS_FILE}",
        f"{base} --attributes {few} --apart 0 --out alone.safetensors",
        f"{base} --attributes {few} --normal plain --out plain.safetensors",
    )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One row of a table of results."""

    metric: str  # ``flip_w/smiling``, with what is unusual in brackets
    strength: float  # Standard deviations moved by
    value: float  # Share of verdicts that turned, both ways
    stderr: float
    added: float  # The share of those that turned one way
    removed: float  # ... and the other way
    others: float  # ... and of verdicts on other attributes

    @property
    def attribute(self) -> str:
        """Name of the attribute."""
        return self.metric.rpartition("/")[2]

    @property
    def rule(self) -> str:
        """Non-default settings of the normal: ``normal:plain``, ``apart:0`` or nothing."""
        marks = self.metric.partition("[")[2].partition("]")[0].split(",")
        return ",".join(mark for mark in marks if mark and not mark.startswith("strength"))


def read_rates(path: Path) -> list[Rate]:
    """Rates of a table that `stylegan-eval directions --csv` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rates = []
    for row in rows:
        details, protocol = words_of(row["details"]), words_of(row["protocol"])
        rates.append(
            Rate(
                metric=row["metric"],
                strength=float(protocol["strength"]),
                value=float(row["value"]),
                stderr=float(row["stderr"]),
                added=float(details["added"]),
                removed=float(details["removed"]),
                others=float(details["others"]),
            )
        )
    return rates


def measured(command: str, places: dict[str, str], folder: Path) -> list[Rate]:
    """Run a command of `commands` with other values, and read its rates."""
    path = folder / "rates.csv"
    path.unlink(missing_ok=True)
    run([*with_values(command, places), "--csv", str(path)])
    return read_rates(path)


def rates_table(rates: Sequence[Rate]) -> Iterator[str]:
    """Lines of the page: rates by strength for each attribute and rule."""
    strengths = sorted({rate.strength for rate in rates})
    heads = [f"{sign}{k:g}" for sign in "+-" for k in strengths] + [
        f"others at {k:g}" for k in (2, 3)
    ]
    yield f"| attribute | normal | {' | '.join(heads)} |"
    yield "|---" * (2 + len(heads)) + "|"
    for name, rule in dict.fromkeys((rate.attribute, rate.rule) for rate in rates):
        of = {r.strength: r for r in rates if (r.attribute, r.rule) == (name, rule)}
        cells = [f"{of[k].added:.2f}" for k in strengths]
        cells += [f"{of[k].removed:.2f}" for k in strengths]
        cells += [f"{of[k].others:.2f}" for k in (2, 3)]
        yield f"| {name} | {rule or 'usual'} | {' | '.join(cells)} |"


def said(rates: Sequence[Rate]) -> list[str]:
    """Lines of the page between its marks: rates, and the commands that measured them."""
    return [*rates_table(rates), "", *(f"    {command}" for command in commands())]


def picture(directions: Directions) -> np.ndarray:
    """Rows: seeds, for each attribute shown; columns: strengths. [H, W, 3] bytes."""
    painter = open_painter(GeneratorSource(ckpt=Path(DEMO), device="cpu"))
    rows = []
    for name in SHOWN:
        place = directions.names.index(name)
        step = directions.spreads[place] * directions.normals[place]  # [D]
        for seed in SHOWN_SEEDS:
            ws = painter.ws(latents(0, [seed], painter.network.z_dim).numpy())  # [1, L, D]
            moves = np.array(SHOWN_STRENGTHS, np.float32)[:, None] * step  # [K, D]
            moved = ws + ws.new_tensor(moves)[:, None]
            rows.append(list(painter.images(moved, painter.stored_noise())))
    return table(rows, gap=2)


def apart(stated: Rate, found: Rate) -> float:
    """Difference of two rates in standard errors of it."""
    error = math.hypot(stated.stderr, found.stderr)
    difference = abs(found.value - stated.value)
    return difference / error if error else (math.inf if difference else 0.0)


@click.group(cls=ErrorLineGroup, context_settings={"show_default": True})
def main() -> None:
    """Find and pack the directions of the package's network, or find them again."""


@main.command()
@click.option("--classifiers", type=_FILE, required=True, help="File of classifiers.")
@click.option("--out", type=_FILE, default=PACKAGED, help="File to write.")
@click.option("--rates", type=_FILE, default=RATES, help="Table to write.")
def make(classifiers: Path, out: Path, rates: Path) -> None:
    """Find the directions, and how far they and other normals hold."""
    with tempfile.TemporaryDirectory() as folder:
        found, written = Path(folder) / "found", Path(folder) / "rates.csv"
        for number, command in enumerate(commands()):
            places = {
                "--classifiers": str(classifiers),
                "--out": str(found) if number == 0 else str(Path(folder) / "other"),
            }
            click.echo(run([*with_values(command, places), "--csv", str(written)]))
        for source, target in ((found, out), (written, rates)):
            with atomic_write(target) as temporary:
                copy_file(source, temporary)
    click.echo(f"{out}: {out.stat().st_size} bytes")


@main.command()
@click.option("--classifiers", type=_FILE, required=True, help="File of classifiers.")
@click.option("--seed", type=int, default=2, help="Of the images they are found with.")
@click.option("--check-seed", type=int, default=3, help="Of the images that are moved.")
def check(classifiers: Path, seed: int, check_seed: int) -> None:
    """Find them again with other seeds, and compare directions and rates with what is stated.

    Exits with 1 where a rate is more than 4 standard errors away.
    """
    packed, stated = read_directions(demo_directions_path()), read_rates(RATES)
    command = f"{commands()[0]} --seed 0 --check-seed 1"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "again"
        places = {
            "--classifiers": str(classifiers), "--out": str(out), "--seed": str(seed),
            "--check-seed": str(check_seed),
        }  # fmt: skip
        rates = {rate.metric: rate for rate in measured(command, places, Path(folder))}
        again = read_directions(out)
    click.echo(f"{'metric':34s}{'stated':>8s}{'again':>8s}{'apart':>8s}{'cosine':>8s}")
    beyond = []
    for one in stated:
        if one.rule or one.metric not in rates:
            continue
        other, name = rates[one.metric], one.attribute
        normals = [each.normals[each.names.index(name)] for each in (packed, again)]
        click.echo(
            f"{one.metric:34s}{one.value:8.3f}{other.value:8.3f}{apart(one, other):8.2f}"
            f"{float(normals[0] @ normals[1]):8.3f}"
        )
        if apart(one, other) > WORST:
            beyond.append(one.metric)
    if beyond:
        click.echo(f"more than {WORST:g} standard errors apart: {', '.join(beyond)}", err=True)
        click.get_current_context().exit(1)


@main.command()
def page() -> None:
    """Write rates and picture into the documentation, from the packed file and its table."""
    write_between(PAGE, "rates", said(read_rates(RATES)))
    save_png(PICTURE, picture(read_directions(demo_directions_path())))
    click.echo(f"{PAGE}\n{PICTURE}")


if __name__ == "__main__":
    main()
