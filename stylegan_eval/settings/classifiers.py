"""How attribute classifiers are trained."""

from dataclasses import dataclass

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_seed, choice


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Choices of `classifiers.training.train`.

    Raises
    ------
    UserError
        A number out of range.
    """

    architecture: str = choice("small", "small, or discriminator: the paper's, for GPUs.")
    resolution: int = choice(256, "Largest size read, in pixels; larger images are averaged.")
    epochs: int = choice(16, "Passes over the images.")
    batch: int = choice(64, "Images per step.")
    lrate: float = choice(0.006, "Learning rate of Adam at its highest.")
    seed: int = choice(0, "Seed of weights, order, flips and the held-out tenth.")
    skip_constant: bool = choice(
        default=False, text="Leave out attributes that all images have, or none."
    )

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise UserError(
                f"--resolution must be a power of two of at least 8, got {self.resolution}"
            )
        if self.epochs < 1:
            raise UserError(f"--epochs must be at least 1, got {self.epochs}")
        if self.batch < 2:
            raise UserError(f"--batch must be at least 2, got {self.batch}")
        if not 0 < self.lrate <= 1:
            raise UserError(f"--lrate must be above 0 and at most 1, got {self.lrate}")
        check_seed("--seed", self.seed)
