"""Options that the commands of `stylegan-sample` share, so that each reads the same everywhere."""

from pathlib import Path

import click

from stylegan_eval.command import NetworkPath

NOISE = ("fixed", "random", "none")
MAX_SEEDS = 100_000

ckpt = click.option(
    "--ckpt",
    required=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network.",
)
device = click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N.")
lod = click.option(
    "--lod",
    type=click.FloatRange(min=0),
    help="Level of detail, 0 is full size.  [default: what the checkpoint was trained to]",
)
psi = click.option("--psi", type=float, default=1.0, help="Truncation; 1 is none.")
cutoff = click.option(
    "--cutoff", type=click.IntRange(min=0), default=8, help="Layers that truncation touches."
)
class_ = click.option(
    "--class",
    "number",
    type=click.IntRange(min=0),
    metavar="K",
    help="Class (or attribute) of a conditional network.  [default: drawn as in the training data]",
)
noise = click.option("--noise", type=click.Choice(NOISE), default="fixed", help="Noise inputs.")
batch = click.option("--batch", type=click.IntRange(min=1), default=16, help="Images at a time.")
noise_seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed of --noise random."
)
out = click.argument("out", type=click.Path(path_type=Path))


class SeedRange(click.ParamType[list[int]]):
    """'0-15', '3,7,11' or a mixture."""

    name = "seeds"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Expand to a list of seeds."""
        seeds: list[int] = []
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                self.fail(f"{value!r} is not a list of seeds such as 0-15 or 3,7,11", param, ctx)
            if int(last or first) < int(first) or int(last or first) - int(first) >= MAX_SEEDS:
                self.fail(f"{part!r} is not a range of seeds", param, ctx)
            seeds += range(int(first), int(last or first) + 1)
        return seeds
