"""Protocol of `stylegan-eval all`: several metrics of one generator in one pass."""

from dataclasses import dataclass

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import choice
from stylegan_eval.settings.images import RealSettings
from stylegan_eval.settings.ppl import DistanceName

NAMES = ("fid", "kid", "is", "pr", "prdc", "ppl", "ls")


@dataclass(frozen=True, kw_only=True)
class AllSettings(RealSettings):
    """Which metrics, and their numbers; what is not here is each metric's default.

    Raises
    ------
    UserError
        An unknown metric, or a number out of range.
    """

    metrics: str = choice(
        ",".join(NAMES), "Metrics to measure. ls is left out where --classifiers is not given."
    )
    num: int = choice(50_000, "Generated images of all metrics but ppl and ls.")
    subset_size: int = choice(1000, "Images of a subset of kid.")
    pairs: int = choice(100_000, "Pairs of ppl.")
    distance: DistanceName = choice("auto", "Perceptual distance of ppl.")
    ls_num: int = choice(200_000, "Generated images of ls.")
    ls_keep: int = choice(100_000, "Most confident images of ls kept for each attribute.")

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.chosen if name not in NAMES]
        if unknown or not self.chosen:
            raise UserError(
                f"--metrics: {', '.join(unknown) or 'nothing'} is not among {', '.join(NAMES)}"
            )

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of `NAMES`, each once."""
        words = [word.strip() for word in self.metrics.split(",") if word.strip()]
        return tuple(sorted(set(words), key=lambda word: (*NAMES, word).index(word)))
