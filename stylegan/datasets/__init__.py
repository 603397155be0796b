"""Data sets: read in any format, prepared, and streamed to a training."""

from dataclasses import dataclass
from typing import Literal

import click

from stylegan_eval.engine.options import power_of_two
from stylegan_eval.settings.common import choice

Resample = Literal["box", "lanczos"]
Crop = Literal["centre", "celeba", "lsun-wide", "pad"]
LabelSource = Literal["source", "folders"]
Channels = Literal["auto", "L", "RGB", "RGBA"]


def _colour(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check a colour: the callback of an option."""
    from PIL import ImageColor  # heavy, and commands are to start fast

    if value is not None:
        try:
            ImageColor.getrgb(value)
        except ValueError as error:
            message = f"{value!r:.60} is no colour; expected a name such as white, or #rrggbb"
            raise click.BadParameter(message, ctx, param) from error
    return value


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Settings of a preparation."""

    resolution: int | None = choice(
        None,
        "Width and height in pixels, a power of two.",
        callback=power_of_two,
        show_default="the largest that enlarges no image",  # 512 for lsun-wide
    )
    resample: Resample = choice(
        "box",
        "Mean over the area of each new pixel, or Lanczos with 3 lobes.",
        names=("--filter", "--resample"),
    )
    crop: Crop | None = choice(
        None,
        "The centre square, the official square of CelebA, 4:3 between black (LSUN Car), or the"
        " whole image, padded.",
        show_default="celeba for CelebA's aligned images, else centre",
    )
    pad: str | None = choice(
        None,
        "Colour of --crop pad, which it implies: a name or #rrggbb.",
        callback=_colour,
        metavar="COLOUR",
        show_default="black",
    )
    channels: Channels = choice(
        "auto",
        "L (grey), RGB, or RGBA (with alpha); auto: L if all images are grey, RGBA if all have"
        " alpha and some pixel is not opaque, else RGB.",
    )
    skip_small: bool = choice(  # lsun-wide always does
        default=False, text="Leave out images that would need enlarging."
    )
    skip_damaged: bool = choice(default=False, text="Leave out images that cannot be read.")
    drop_duplicates: bool = choice(
        default=False, text="Of images with the same pixels keep the first."
    )
