"""`stylegan-eval all` against its metrics one by one: time, and that the values are equal.

``python -m benchmarks.speed.everything --ckpt RUN --data IMAGES``: each command is a process of
its own, and both sides take turns. A single command starts with an empty cache, as ``all`` does;
with ``--cache shared`` only the first one does, and the others find the real images' features.
All features are efficientnet-lite0's: its weights come from a pip package, and a light network is
the harder case, because the pass that ``all`` saves costs little there.
"""

import csv
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.processes import timed
from stylegan_eval.engine.command import ErrorLineCommand

FEATURES = ("--features", "efficientnet-lite0")
FILE = click.Path(path_type=Path, exists=True)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Inputs and sizes of the measurement."""

    ckpt: Path
    data: Path  # Real images
    classifiers: Path | None  # For ls; None leaves it out
    images: int  # Of all metrics but ppl
    pairs: int  # Of ppl
    crop: str  # Of ppl

    def everything(self) -> list[str]:
        """Arguments of ``stylegan-eval all``."""
        number, half = str(self.images), str(self.images // 2)
        command = ["all", *self._compared(), "--subset-size", half, "--pairs", str(self.pairs)]
        command += ["--crop", self.crop]
        if self.classifiers is not None:
            command += ["--classifiers", str(self.classifiers)]
            command += ["--ls-num", number, "--ls-keep", half]
        return command

    def singles(self) -> dict[str, list[str]]:
        """Arguments of the commands that measure the same."""
        number, half = str(self.images), str(self.images // 2)
        ckpt = ["--ckpt", str(self.ckpt)]
        commands = {name: [name, *self._compared()] for name in ("fid", "kid", "pr", "prdc")}
        commands["kid"] += ["--subset-size", half]
        commands["is"] = ["is", *ckpt, "--num", number, *FEATURES]
        commands["ppl"] = ["ppl", *ckpt, "--num", str(self.pairs), "--crop", self.crop]
        if self.classifiers is not None:
            commands["ls"] = ["ls", *ckpt, "--num", number, "--keep", half]
            commands["ls"] += ["--classifiers", str(self.classifiers)]
        return commands

    def _compared(self) -> list[str]:
        named = ["--ckpt", str(self.ckpt), "--data", str(self.data)]
        return [*named, "--num", str(self.images), *FEATURES]


def measured(arguments: list[str], cache: Path) -> tuple[float, dict[str, float]]:
    """Seconds of one command, and its values by metric."""
    table = cache / f"{arguments[0]}.csv"
    seconds, _ = timed("stylegan_eval", [*arguments, "--csv", str(table)], cache)
    with table.open(newline="") as file:
        return seconds, {row["metric"]: float(row["value"]) for row in csv.DictReader(file)}


def one_round(job: Job, cache: str) -> tuple[dict[str, float], float]:
    """Seconds of ``all`` and of each single command; largest relative difference of a value."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        seconds["all"], together = measured(job.everything(), Path(folder))
    alone: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in job.singles().items():
            own = Path(folder) / ("cache" if cache == "shared" else name)
            own.mkdir(exist_ok=True)
            seconds[name], values = measured(arguments, own)
            alone |= values
    if together.keys() != alone.keys():
        unlike = ", ".join(sorted(together.keys() ^ alone.keys()))
        raise click.ClickException(f"both sides must measure the same, but for: {unlike}")
    return seconds, max(
        abs(together[name] - alone[name]) / (abs(alone[name]) or 1) for name in alone
    )


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--ckpt", type=FILE, required=True, help="Checkpoint or run folder.")
@click.option("--data", type=FILE, required=True, help="Real images.")
@click.option("--classifiers", type=FILE, help="Attribute classifiers; without them no ls.")
@click.option("--images", type=click.IntRange(min=4), default=2000, help="For each metric.")
@click.option("--pairs", type=click.IntRange(min=2), default=500, help="For ppl.")
@click.option("--crop", type=click.Choice(["face", "none"]), default="none", help="Of ppl.")
@click.option(
    "--cache",
    type=click.Choice(["own", "shared"]),
    default="own",
    help="Whether the single commands share their cache.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=1, help="Runs of each side.")
def main(
    ckpt: Path,
    data: Path,
    classifiers: Path | None,
    images: int,
    pairs: int,
    crop: str,
    cache: str,
    rounds: int,
) -> None:
    """Compare `stylegan-eval all` with the single commands that measure the same."""
    job = Job(ckpt=ckpt, data=data, classifiers=classifiers, images=images, pairs=pairs, crop=crop)
    results = [one_round(job, cache) for _ in range(rounds)]
    for name in results[0][0]:
        print(f"{statistics.median(seconds[name] for seconds, _ in results):8.1f} s  {name}")
    ratios = [sum(seconds.values()) / seconds["all"] - 1 for seconds, _ in results]
    difference = max(most for _, most in results)
    print(
        f"the single commands take {statistics.median(ratios):.2f} times as long as all"
        f" ({images} images, {pairs} pairs, cache {cache}, rounds {rounds});"
        f" largest relative difference of a value {difference:.1e}"
    )


if __name__ == "__main__":
    main()
