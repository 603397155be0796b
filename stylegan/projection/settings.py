"""How an image is projected; the shape of the schedule is StyleGAN2's.

References
----------
Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, Appendix D.
"""

import math
from dataclasses import dataclass
from typing import Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_seed, choice

Space = Literal["w", "w+"]
Distance = Literal["st-lpips-alex", "st-lpips-vgg", "lpips-vgg"]


@dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """Choices of `descent.project`.

    Raises
    ------
    UserError
        A number out of range.
    """

    space: Space = choice("w", "One w for all layers, or one for each (w+).")
    steps: int = choice(500, "Steps of gradient descent.")
    distance: Distance = choice(
        "st-lpips-alex", "Perceptual distance; the weights of lpips-vgg are downloaded."
    )
    pixels: float = choice(0.5, "Weight of the mean squared difference of pixels in [-1, 1].")
    lrate: float = choice(
        0.1, "Peak of Adam's learning rate, in standard deviations of an entry of w."
    )
    perturbation: float = choice(
        0.05, "Noise on w in the first step, in root mean square distances of w from its mean."
    )
    seed: int = choice(0, "Seed of this noise.")

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"--steps must be at least 1, got {self.steps}")
        for name in ("pixels", "lrate", "perturbation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"--{name} must be a number from 0 on, got {value}")
        if self.lrate == 0:
            raise UserError("--lrate must be above 0: nothing would move")
        check_seed("--seed", self.seed)
