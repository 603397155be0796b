"""Settings of path length, separability, directions, components, classifiers and the report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Features, Sampling, check_seed, choice

Normal = Literal["covariance", "plain"]
# In standard deviations; what is asked for joins them.
STRENGTHS = (1.0, 2.0, 3.0, 4.0)
DistanceName = Literal["auto", "lpips-vgg", "st-lpips-vgg", "st-lpips-alex"]
Crop = Literal["face", "none"]
Derivative = Literal["finite", "exact", "both"]
# Below, t + epsilon is hardly another float32 than t; above, a chord is no longer a path.
_EPSILONS = (1e-6, 0.1)
_MOST = 256  # pictures of each generator on one page


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Choices of `classifiers.training.train`."""

    architecture: str = choice("small", "small, or discriminator: the paper's, for GPUs.")
    resolution: int = choice(256, "Largest image size, in pixels; larger images are averaged down.")
    epochs: int = choice(16, "Passes over the images.")
    batch: int = choice(64, "Images per step.")
    lrate: float = choice(0.006, "Peak learning rate of Adam.")
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


@dataclass(frozen=True, kw_only=True)
class DirectionsSettings(Sampling):
    """Choices of `metrics.directions` and `metrics.flip`."""

    num: int = choice(10_000, "Images drawn and classified.")
    keep: int = choice(5000, "Most confidently classified images kept per attribute.")
    attributes: str = choice(
        "", "Names with commas between, or -NAME,-OTHER for all others.", show_default="all"
    )
    normal: Normal = choice(
        "covariance",
        "Normal of the hyperplane: weighted by the covariance of w, or plain (Euclidean).",
    )
    apart: float = choice(
        1.0,
        "Penalty on changing the other attributes' scores, relative to an unlikely change of w; 0"
        " disables it. Not for plain normals.",
    )
    samples: int = choice(100, "Images to move with each attribute, and as many without.")
    strength: float = choice(3.0, "How far to move them, in standard deviations of w.")
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
    def idle(self) -> Mapping[str, str]:
        """--apart with plain normals."""
        reason = "is for --normal covariance: leave it out with --normal plain"
        return {"apart": reason} if self.normal == "plain" else {}

    @property
    def strengths(self) -> tuple[float, ...]:
        """All strengths that are tried, rising."""
        return tuple(sorted({*STRENGTHS, self.strength}))


@dataclass(frozen=True, kw_only=True)
class ComponentsSettings:
    """Choices of `metrics.components`."""

    components: int = 10  # Directions kept
    num: int = DirectionsSettings.num  # Latents
    seed: int = DirectionsSettings.seed  # Of the latents

    def __post_init__(self) -> None:
        if self.components < 1:
            raise UserError(f"--components must be at least 1, got {self.components}")
        if self.num < 2:
            raise UserError(f"--num must be at least 2, got {self.num}")
        check_seed("--seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class LsSettings(Sampling):
    """Choices of `metrics.ls`."""

    num: int = choice(200_000, "Images drawn and classified.")
    keep: int = choice(100_000, "Most confidently classified images kept per attribute.")
    space: Literal["both", "z", "w"] = choice(
        "both", "Latent space in which attributes are separated."
    )
    svm: Literal["deterministic", "official"] = choice(
        "deterministic",
        "Solver: run to convergence, or the official one, which stops after 1000 iterations and"
        " counts a failure as perfect separation.",
    )
    attributes: str = choice(
        "", "Names with commas between, or -NAME,-OTHER for all others.", show_default="all"
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


@dataclass(frozen=True, kw_only=True)
class PplSettings(Sampling):
    """Perceptual path length; the defaults are the official protocol."""

    num: int = choice(100_000, "Pairs of latents.")
    batch: int = choice(16, "Pairs per step; changes rounding only.")
    space: Literal["z", "w", "both"] = choice("both", "Interpolate latents z, styles w, or both.")
    sampling: Literal["full", "end", "both"] = choice(
        "both", "Measure anywhere on the path, at its beginning, or both."
    )
    epsilon: float = choice(1e-4, "Step along the path for finite differences.")
    crop: Crop = choice(
        "face",
        "Crop to the face region, as the official metric does for all data, or use whole images.",
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
        "Perceptual distance; auto is lpips-vgg if its weights are available, else st-lpips-vgg.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = _EPSILONS
        if not (math.isfinite(self.epsilon) and low <= self.epsilon <= high):
            raise UserError(f"--epsilon must be from {low:g} to {high:g}, got {self.epsilon:g}")

    @property
    def idle(self) -> Mapping[str, str]:
        """--epsilon of exact derivatives, --latent-scale in W."""
        idle = {}
        if self.derivative == "exact":
            idle["epsilon"] = "is for finite differences: leave it out with --derivative exact"
        if self.space == "w":
            idle["latent_scale"] = "is for --space z: leave it out with --space w"
        return idle

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


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Settings of a report."""

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
