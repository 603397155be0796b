"""Options that the commands of `stylegan-sample` share, so that each reads the same everywhere."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stylegan_eval.command import NetworkPath
from stylegan_eval.option_types import NPY, PNG, PSI, SEED, Number

NOISE = ("fixed", "random", "none")


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
    type=Number(min=0),
    help="Level of detail, 0 is full size.  [default: what the checkpoint was trained to]",
)
psi = click.option("--psi", type=PSI, default=1.0, help="Truncation; 1 is none.")
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
noise_seed = click.option("--seed", type=SEED, default=0, help="Seed of --noise random.")
out_png = click.argument("out", type=PNG)
out_npy = click.argument("out", type=NPY)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which generator draws, and how it is run.

    Attributes
    ----------
    ckpt : Path
        Whatever `stylegan.opening.located` finds networks by.
    number : int or None
        The one class that a conditional network draws; None draws as in the training data.
    lod : float or None
        Level of detail; None is what the checkpoint was trained to.
    batch : int
        Images drawn at a time.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    """

    ckpt: Path
    number: int | None = None
    lod: float | None = None
    batch: int = 16
    device: str = "auto"


def source(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a `Source`, which the command gets as its argument `source`."""

    # click calls commands by the names of their options.
    @functools.wraps(command)
    def wrapped(
        *,
        ckpt: Path,
        number: int | None,
        lod: float | None,
        batch: int,
        device: str,
        **others: Any,
    ) -> None:
        command(
            source=Source(ckpt=ckpt, number=number, lod=lod, batch=batch, device=device), **others
        )

    for option in (device, batch, lod, class_, ckpt):  # the last stands first in the help
        option(wrapped)
    return wrapped
