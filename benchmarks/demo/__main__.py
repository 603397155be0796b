"""The main road in minutes: every metric of a trained network, then a short training.

Run it with ``python -m benchmarks.demo``. Every step is a command that a user can repeat by hand;
each is printed before it runs.
"""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pandas as pd

from benchmarks.scales import AVATAR_ATTRIBUTES
from stylegan_eval.engine.options import Number

MODULES = {
    "stylegan-data": "stylegan.data",
    "stylegan-train": "stylegan.train",
    "stylegan-sample": "stylegan.sample.cli",
    "stylegan-eval": "stylegan_eval",
}


def run(command: str) -> None:
    """Print a command and run it with this Python; exit with its status if it fails."""
    click.secho(f"\n$ {command}", bold=True)
    program, *args = shlex.split(command)
    status = subprocess.run([sys.executable, "-m", MODULES[program], *args], check=False).returncode
    if status != 0:
        raise SystemExit(status)


@click.command(context_settings={"show_default": True})
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-out"),
    help="Folder of all that is made; a run in it is continued.",
)
@click.option("--count", type=click.IntRange(min=64), default=4000, help="Images of the data set.")
@click.option("--kimg", type=Number(min=0.1), default=24.0, help="Length of training.")
@click.option(
    "--num",
    type=click.IntRange(min=2),
    default=2000,
    help="Images of a distance.",
)
@click.option("--seed", type=int, default=0, help="Seed of the training.")
def main(out: Path, count: int, kimg: float, num: int, seed: int) -> None:
    """Measure the trained network that the package carries, then train one for minutes."""
    began = time.monotonic()
    table = out / "results.csv"
    table.unlink(missing_ok=True)
    measure_carried(out, table, count, num)
    train_briefly(out, table, count, kimg, num, seed)
    click.echo(f"\nAll done in {(time.monotonic() - began) / 60:.1f} minutes.\n")
    rows = pd.read_csv(table)
    whole = ~rows["metric"].str.contains("/", regex=False)
    click.echo(rows.loc[whole, ["metric", "value", "stderr", "description"]].to_string(index=False))
    click.echo(f"{table}\n{out / 'samples64.png'}\n{out / 'samples32.png'}")


def measure_carried(out: Path, table: Path, count: int, num: int) -> None:
    """Every metric of the carried network, beside what a perfect one would get."""
    data, classifiers = avatars(out, 64, count), out / "attributes.safetensors"
    measure = options(data, num, table)
    run(f"stylegan-eval fid --floor --mirror yes {measure}")
    if not classifiers.exists():
        run(
            f"stylegan-eval classifiers train --data {data} --resolution 32 --epochs 8"
            f" --out {classifiers}"
        )
    run(
        f"stylegan-eval all --ckpt demo {measure} --subset-size {num // 2}"
        f" --pairs {num // 4} --distance st-lpips-alex --crop none"
        f" --classifiers {classifiers} --attributes {AVATAR_ATTRIBUTES}"
        f" --ls-num {2 * num} --ls-keep {num}"
    )
    grid = out / "samples64.png"
    run(f"stylegan-sample grid --ckpt demo --seeds 0-31 --columns 8 --psi 0.7 {grid}")


def train_briefly(out: Path, table: Path, count: int, kimg: float, num: int, seed: int) -> None:
    """Configuration F from scratch at 32x32, with its distance before and after."""
    data, training = avatars(out, 32, count), out / "f32"
    if (training / "run.json").exists():
        run(f"stylegan-train --resume --out {training} --kimg {kimg:g}")
    else:
        run(
            f"stylegan-train --config F --preset quick-32 --kimg {kimg:g} --data {data} "
            f"--seed {seed} --out {training} --keep 1000"
        )
    measure = options(data, num, table)
    for ckpt in (training / "checkpoint-000000.pt", training):
        run(f"stylegan-eval fid --ckpt {ckpt} {measure}")
    grid = out / "samples32.png"
    run(f"stylegan-sample grid --ckpt {training} --seeds 0-31 --columns 8 --psi 0.7 {grid}")


def avatars(out: Path, resolution: int, count: int) -> Path:
    """Avatars of a size, drawn where they are not there yet."""
    data = out / f"avatars{resolution}.zip"
    if not data.exists():
        run(f"stylegan-data avatars {data} --count {count} --resolution {resolution} --seed 0")
    return data


def options(data: Path, num: int, table: Path) -> str:
    """Options of a distance that needs no download."""
    return f"--data {data} --features efficientnet-lite0 --num {num} --batch 16 --csv {table}"


if __name__ == "__main__":
    main()
