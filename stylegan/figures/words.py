"""What figures are asked for by: lists with commas, layer ranges, parts of images."""

from collections.abc import Callable
from typing import Any

import click

from stylegan.figures.layers import Layers, parse_layers
from stylegan_eval.option_types import SEED, SeedRange

SEEDINGS = ("grid", "official")

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

seeding = click.option(
    "--seeding",
    type=click.Choice(SEEDINGS),
    default="grid",
    help="Latent of a seed: that of `grid`, or that of the official scripts (RandomState).",
)
noise_seed = click.option("--noise-seed", type=SEED, default=0, help="Seed of random noise.")


class LayerRange(click.ParamType[Layers]):
    """'coarse', 'middle', 'fine', 'all', 'none', '4-7' or '5'."""

    name = "layers"

    def convert(
        self, value: str | range, param: click.Parameter | None, ctx: click.Context | None
    ) -> Layers:
        """Read one."""
        if isinstance(value, range):
            return value
        try:
            return parse_layers(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class CommaList(click.ParamType[tuple[Any, ...]]):
    """One or more values of a type, with commas between.

    Parameters
    ----------
    item : click.ParamType
        Type of each value.
    count : int, optional
        How many there must be.
    """

    name = "list"

    def __init__(self, item: click.ParamType[Any], count: int | None = None) -> None:
        self.item = item
        self.count = count

    def convert(
        self,
        value: str | tuple[Any, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[Any, ...]:
        """Read them."""
        if not isinstance(value, str):
            return value
        words = value.split(",")
        if self.count not in (None, len(words)):
            self.fail(f"{value!r} has {len(words)} values: expected {self.count}", param, ctx)
        return tuple(self.item.convert(word.strip(), param, ctx) for word in words)


def with_commas(values: tuple[object, ...]) -> str:
    """Write values as an option takes them.

    Examples
    --------
    >>> with_commas((1.0, 0.7, -0.5))
    '1,0.7,-0.5'
    """
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def seeds_option(name: str, default: tuple[int, ...], text: str) -> Decorator:
    """Option of seeds, such as 3,7 or 0-5."""
    return click.option(name, type=SeedRange(), default=with_commas(default), help=text)


def layers_option(default: tuple[Layers, ...], text: str) -> Decorator:
    """Option of layer ranges: coarse, middle, fine, all, none or 4-7, with commas between."""
    kind = CommaList(LayerRange())
    return click.option("--layers", type=kind, default=with_commas(default), help=text)


def crop_option(text: str) -> Decorator:
    """Option of a part of an image."""
    kind = CommaList(click.IntRange(min=0), 4)
    return click.option(
        "--crop", type=kind, metavar="X,Y,W,H", help=f"Part of the image shown.  [default: {text}]"
    )
