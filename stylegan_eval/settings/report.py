"""What can be chosen about a report."""

from dataclasses import dataclass

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_seed, choice
from stylegan_eval.settings.images import Features

_MOST = 256  # pictures of each generator on one page


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a report shows.

    Raises
    ------
    UserError
        A number out of range.
    """

    title: str = choice("Generators, measured", "Heading of the page.")
    samples: int = choice(16, "Images of each generator; 0 opens no checkpoint.")
    seed: int = choice(0, "Seed of their latents.")
    features: Features = choice(
        "efficientnet-lite0", "Feature network that finds the nearest real image of each."
    )

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= _MOST:
            raise UserError(f"--samples must be from 0 to {_MOST}, got {self.samples}")
        check_seed("--seed", self.seed)
