"""What can be chosen about perceptual path length."""

import math
from dataclasses import dataclass
from typing import Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Sampling, choice

DistanceName = Literal["auto", "lpips-vgg", "st-lpips-vgg", "st-lpips-alex"]
Crop = Literal["face", "none"]
Derivative = Literal["finite", "exact", "both"]
# Below, t + epsilon is hardly another float32 than t; above, a chord is no longer a path.
_EPSILONS = (1e-6, 0.1)


@dataclass(frozen=True, kw_only=True)
class PplSettings(Sampling):
    """Perceptual path length; the defaults are the official protocol.

    Raises
    ------
    UserError
        A number out of range.
    """

    num: int = choice(100_000, "Pairs of latents.")
    batch: int = choice(16, "Pairs per step; does not change the result.")
    space: Literal["z", "w", "both"] = choice("both", "Interpolate latents z, styles w, or both.")
    sampling: Literal["full", "end", "both"] = choice(
        "both", "Measure anywhere on the path, at its beginning, or both."
    )
    epsilon: float = choice(1e-4, "Step along the path for finite differences.")
    crop: Crop = choice(
        "face", "Cut out the middle, as the official metric does for all data, or do not."
    )
    rule: Literal["v1", "ada"] = choice(
        "v1", "Shrink to 256 pixels after the crop (StyleGAN) or as if uncropped (StyleGAN2-ADA)."
    )
    latent_scale: Literal["unit", "sphere"] = choice(
        "unit",
        "Length of an interpolated z: 1 as official, for generators that normalise z; or"
        " sqrt(z_dim), for those that do not.",
    )
    derivative: Derivative = choice(
        "finite", "Finite difference as official, its limit for a small epsilon, or both."
    )
    distance: DistanceName = choice(
        "auto",
        "Perceptual distance; auto is lpips-vgg where its weights can be had, else st-lpips-vgg.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = _EPSILONS
        if not (math.isfinite(self.epsilon) and low <= self.epsilon <= high):
            raise UserError(f"--epsilon must be from {low:g} to {high:g}, got {self.epsilon:g}")

    @property
    def spaces(self) -> tuple[Literal["z", "w"], ...]:
        """The spaces to interpolate in."""
        return ("z", "w") if self.space == "both" else (self.space,)

    @property
    def samplings(self) -> tuple[Literal["full", "end"], ...]:
        """Where on the path to measure."""
        return ("full", "end") if self.sampling == "both" else (self.sampling,)

    @property
    def derivatives(self) -> tuple[Literal["finite", "exact"], ...]:
        """How to measure."""
        return ("finite", "exact") if self.derivative == "both" else (self.derivative,)
