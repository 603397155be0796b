"""Official defaults of figures and projection, without heavy imports."""

import math
from dataclasses import dataclass
from typing import Literal

from stylegan.sample.layers import Layers
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_seed, choice

OFFICIAL_RESOLUTION = 1024
# Part of an image that Figure 4 enlarges: left, top, width and height at 1024x1024.
OFFICIAL_DETAIL = (650, 180, 256, 256)
# Of Figure 3.
SOURCES = (639, 701, 687, 615, 2268)
DESTINATIONS = (888, 829, 1898, 1733, 1614, 845)
Space = Literal["w", "w+"]
Distance = Literal["st-lpips-alex", "st-lpips-vgg", "lpips-vgg"]


@dataclass(frozen=True, kw_only=True)
class Uncurated:
    """Figure 2 (and 10 to 12): images as they come, in columns of shrinking size."""

    seed: int = 5  # One draw of NumPy's RandomState gives all latents
    rows: int = 3  # Full-size images above each other
    lods: tuple[int, ...] = (0, 1, 2, 2, 3, 3)
    """By how many halvings the images of each column are shrunk."""
    psi: float = 0.7
    cutoff: int = 8
    """psi, cutoff: Truncation, in the layers below the cutoff."""
    crop: tuple[int, int, int, int] | None = None
    """Left, top, width and height of the part shown, in pixels of the network's images; None is the
    whole image."""
    noise_seed: int = 0  # Seed of the noise, fresh for each image

    @property
    def images(self) -> int:
        """Images to draw."""
        return sum(self.rows << lod for lod in self.lods)


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Figure 3: styles of sources (columns) in some layers of destinations (rows)."""

    ranges: tuple[Layers, ...] = ("coarse",) * 3 + ("middle",) * 2 + ("fine",)
    """Layers that take the source's style, for each row; one is for all rows."""
    psi: float = 1.0
    cutoff: int | None = None
    """psi, cutoff: Truncation before mixing, in the layers below the cutoff; None is in all."""
    noise: str = "fixed"  # 'fixed', 'random' or 'none'
    noise_seed: int = 0  # Seed of random noise
    gap: int = 0  # Pixels between cells and around them
    ground: int = 255  # Grey level of the corner and the gaps


# Tables of mixing. What rosinality's generate.py draws as sample_mixing is truncated in all layers,
# has fresh noise and the source's style in the blocks of 4x4 and 8x8, and is laid out as by
# torchvision, with a black corner.
LAYOUTS = {
    "paper": Mixing(ranges=("coarse",)),
    "rosinality": Mixing(ranges=(range(4),), psi=0.7, noise="random", gap=2, ground=0),
}


@dataclass(frozen=True, kw_only=True)
class NoiseDetail:
    """Figure 4: what noise changes in an image."""

    seeds: tuple[int, ...] = (1157, 1012)  # A row each
    count: int = 100  # Realisations of noise, at least 5
    psi: float = 1.0  # Truncation in all layers
    crop: tuple[int, int, int, int] | None = None
    """Left, top, width and height of the part enlarged, in pixels of the network's images; None is
    the official part, scaled to the network."""
    noise_seed: int = 0  # Seed of the noise

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * self.count


@dataclass(frozen=True, kw_only=True)
class NoiseComponents:
    """Figure 5: noise in some layers only."""

    seeds: tuple[int, ...] = (1967, 1555)  # A column each
    mirrored: tuple[int, ...] = (1555,)  # Seeds whose images are flipped left to right
    ranges: tuple[Layers, ...] = ("all", "none", "fine", "coarse")
    """Layers with noise: upper left and right halves, lower left and right halves."""
    psi: float = 1.0  # Truncation in all layers

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * len(self.ranges)


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """Figure 8: from an image through the average of W to its opposite."""

    seeds: tuple[int, ...] = (91, 388)  # A row each
    psis: tuple[float, ...] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)
    """A column each; all layers are truncated."""

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * len(self.psis)


@dataclass(frozen=True, kw_only=True)
class Film:
    """An interpolation between seeds."""

    space: str = "w"  # 'w': lines of W. 'z': great circles of Z.
    frames: int = 60  # Frames from one seed to the next
    loop: bool = False  # Whether it goes on from the last seed to the first
    seeding: str = "grid"  # What a seed means: 'grid' or 'official', see `latents.latents_of`
    psi: float = 1.0
    cutoff: int = 8
    """psi, cutoff: Truncation, in the layers below the cutoff."""
    noise: str = "fixed"  # 'fixed' (the same in all frames), 'random' (other in each) or 'none'
    noise_seed: int = 0  # Seed of random noise
    scale: int = 1  # How often pixels are repeated in width and height


@dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """Choices of `descent.project`."""

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
