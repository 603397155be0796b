"""Data sets: read in any format, prepared, and streamed to a training."""

from dataclasses import dataclass
from typing import Literal

from stylegan_eval.engine.command import power_of_two
from stylegan_eval.settings.common import choice

Resample = Literal["box", "lanczos"]
Crop = Literal["centre", "celeba", "lsun-wide"]
LabelSource = Literal["source", "folders"]
Channels = Literal["auto", "L", "RGB", "RGBA"]


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
        "The centre square, the official square of CelebA, or 4:3 between black (LSUN Car).",
        show_default="celeba for CelebA's aligned images, else centre",
    )
    channels: Channels = choice(
        "auto",
        "L (grey), RGB, or RGBA (with alpha); auto: L if all images are grey, RGBA if all have"
        " alpha and some pixel is not opaque, else RGB.",
    )
    skip_small: bool = choice(  # lsun-wide always does
        default=False, text="Leave out images that would need enlarging."
    )
    skip_damaged: bool = choice(
        default=False, text="Leave out images that cannot be read; decodes every image once more."
    )
    drop_duplicates: bool = choice(
        default=False,
        text="Of images with the same pixels keep the first; decodes every image once more.",
    )
