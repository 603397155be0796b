"""The main road in minutes: data, training of configuration F, every metric of it, samples.

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

# Common in the data and easy to read at 32x32: each is found with and without in any network.
ATTRIBUTES = "eyeglasses,long_hair,skin_dark,suit,bg_dark,clothes_dark"
MODULES = {
    "stylegan-data": "stylegan.data",
    "stylegan-train": "stylegan.train",
    "stylegan-sample": "stylegan.sample",
    "stylegan-eval": "stylegan_eval",
}


def run(command: str) -> None:
    """Print a command and run it with this Python.

    Raises
    ------
    SystemExit
        It failed; its own message is on the screen.
    """
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
@click.option("--kimg", type=click.FloatRange(min=0.1), default=24.0, help="Length of training.")
@click.option(
    "--num",
    type=click.IntRange(min=2),
    default=2000,
    help="Images of a distance.",
)
@click.option("--seed", type=int, default=0, help="Seed of the training.")
def main(out: Path, count: int, kimg: float, num: int, seed: int) -> None:
    """Make avatars, train configuration F on them at 32x32, measure it and draw samples."""
    began = time.monotonic()
    data, training, table = out / "avatars32.zip", out / "f32", out / "results.csv"
    classifiers = out / "attributes.safetensors"
    if not data.exists():
        run(f"stylegan-data avatars {data} --count {count} --resolution 32 --seed 0")
    if (training / "run.json").exists():
        run(f"stylegan-train --resume --out {training} --kimg {kimg:g}")
    else:
        run(
            f"stylegan-train --config F --preset quick-32 --kimg {kimg:g} --data {data} "
            f"--seed {seed} --out {training} --keep 1000"
        )
    table.unlink(missing_ok=True)
    measure = f"--data {data} --features efficientnet-lite0 --num {num} --batch 16 --csv {table}"
    run(f"stylegan-eval fid --floor --mirror yes {measure}")
    run(f"stylegan-eval fid --ckpt {training / 'checkpoint-000000.pt'} {measure}")
    if not classifiers.exists():
        run(f"stylegan-eval classifiers train --data {data} --epochs 8 --out {classifiers}")
    run(
        f"stylegan-eval all --ckpt {training} {measure} --subset-size {num // 2}"
        f" --pairs {num // 4} --distance st-lpips-alex --crop none"
        f" --classifiers {classifiers} --attributes {ATTRIBUTES}"
        f" --ls-num {2 * num} --ls-keep {num}"
    )
    grid = out / "samples.png"
    run(f"stylegan-sample grid --ckpt {training} --seeds 0-31 --columns 8 --psi 0.7 {grid}")
    click.echo(f"\nAll done in {(time.monotonic() - began) / 60:.1f} minutes.\n")
    rows = pd.read_csv(table)
    whole = ~rows["metric"].str.contains("/", regex=False)
    click.echo(rows.loc[whole, ["metric", "value", "stderr", "description"]].to_string(index=False))
    click.echo(f"{table}\n{grid}")


if __name__ == "__main__":
    main()
