"""How attribute directions are found, and how it is seen whether they lead there."""

import math
from dataclasses import dataclass
from typing import Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Sampling, check_seed, choice

Normal = Literal["covariance", "plain"]
# In standard deviations; what is asked for joins them.
STRENGTHS = (1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class DirectionsSettings(Sampling):
    """Choices of `metrics.directions` and `metrics.flips`.

    Raises
    ------
    UserError
        A number out of range, `keep` larger than `num`, or one seed for both.
    """

    num: int = choice(10_000, "Images drawn and classified.")
    keep: int = choice(5000, "Of these the surest, for each attribute.")
    attributes: str = choice(
        "", "Names with commas between, or -NAME,-OTHER for all others; by default all."
    )
    normal: Normal = choice(
        "covariance",
        "At right angles to the hyperplane by the covariance of w, or by Euclid (plain).",
    )
    apart: float = choice(
        1.0,
        "How much a change of the other attributes' readings weighs against a change of w that is"
        " seldom; 0 is not at all. Not for plain normals.",
    )
    samples: int = choice(100, "Images with and without each attribute that are moved.")
    strength: float = choice(3.0, "Standard deviations of w they are moved by.")
    check_seed: int = choice(1, "Seed of the images that are moved.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.keep <= self.num:
            raise UserError(f"--keep must be from 2 to --num {self.num}, got {self.keep}")
        if self.samples < 1:
            raise UserError(f"--samples must be at least 1, got {self.samples}")
        if not 0 < self.strength < math.inf:
            raise UserError(f"--strength must be above 0, got {self.strength}")
        if not 0 <= self.apart < math.inf:
            raise UserError(f"--apart must be a number from 0 on, got {self.apart}")
        check_seed("--check-seed", self.check_seed)
        if self.check_seed == self.seed:
            raise UserError(
                f"--check-seed {self.check_seed} would move the images that the directions were"
                " found with: choose another"
            )

    @property
    def strengths(self) -> tuple[float, ...]:
        """All strengths that are tried, rising."""
        return tuple(sorted({*STRENGTHS, self.strength}))
