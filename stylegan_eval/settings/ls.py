"""How linear separability is measured."""

from dataclasses import dataclass
from typing import Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Sampling, choice


@dataclass(frozen=True, kw_only=True)
class LsSettings(Sampling):
    """Choices of `metrics.ls`.

    Raises
    ------
    UserError
        A number out of range, or `keep` larger than `num`.
    """

    num: int = choice(200_000, "Images drawn and classified.")
    keep: int = choice(100_000, "Of these the surest, for each attribute.")
    space: Literal["both", "z", "w"] = choice("both", "Where the attributes are separated.")
    svm: Literal["deterministic", "official"] = choice(
        "deterministic",
        "Solver: to convergence, or the official one, which stops after 1000 rounds and counts a"
        " failure as perfect.",
    )
    attributes: str = choice(
        "", "Names with commas between, or -NAME,-OTHER for all others; by default all."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep < 2:
            raise UserError(f"--keep must be at least 2, got {self.keep}")
        if self.keep > self.num:
            half = max(self.num // 2, 2)
            raise UserError(
                f"--keep {self.keep} is more than --num {self.num}: use --keep {half}"
                " (the paper keeps half)"
            )

    @property
    def spaces(self) -> tuple[Literal["z", "w"], ...]:
        """Spaces to measure in."""
        return ("z", "w") if self.space == "both" else (self.space,)
