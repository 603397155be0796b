"""What can be chosen in a measurement: the only home of names, defaults and help texts.

Imports nothing heavy: command lines build their options from these classes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stylegan_eval.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files and the device a measurement works with.

    Attributes
    ----------
    ckpt : Path or None
        The generator.
    data : Path or None
        The real images: a folder or a zip.
    weights : Path or None
        Weights of the feature network; None for the official file.
    device : str
        ``auto`` (CUDA when present), ``cpu``, ``cuda``, ``cuda:1``, ...
    """

    ckpt: Path | None = None
    data: Path | None = None
    weights: Path | None = None
    device: str = "auto"


def _choice(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class FidSettings:
    """Protocol of the Fréchet distance; the defaults are those of the paper's FID.

    Raises
    ------
    UserError
        A number out of range, or choices that do not go together.
    """

    num: int = _choice(50_000, "Generated images, and as many real ones.")
    seed: int = _choice(0, "Seed of latents, noise and flips.")
    features: Literal["inception", "efficientnet-lite0"] = _choice(
        "inception", "Feature network. Only Inception gives an FID."
    )
    resize: Literal["tf1", "pytorch-fid"] = _choice(
        "tf1", "How images reach Inception's 299x299: as TensorFlow 1, or as pytorch-fid."
    )
    mirror: Literal["auto", "yes", "no"] = _choice(
        "auto", "Flip real images at random; auto: when training did."
    )
    batch: int = _choice(32, "Images per step; does not change the result.")
    floor: bool = _choice(
        default=False,
        text="Measure two disjoint random sets of --num real images instead: the value a perfect"
        " generator would get.",
    )

    def __post_init__(self) -> None:
        if self.num < 2:
            raise UserError(f"--num must be at least 2, got {self.num}")
        if self.batch < 1:
            raise UserError(f"--batch must be at least 1, got {self.batch}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed must be from 0 to 2^63 - 1, got {self.seed}")
        if self.features != "inception" and self.resize != "tf1":
            raise UserError(
                f"--resize applies to --features inception; {self.features} has its own rule"
            )
