"""Official defaults of figures, films and projection, without heavy imports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import click

from stylegan.sample.layers import Layers
from stylegan.sample.options import LAYERS, CommaList, Seeding, with_commas
from stylegan.sample.recipe import CUTOFF, Noise
from stylegan_eval.engine.options import PSI, Number, SeedRange
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import SEEDS, check_seed, choice

OFFICIAL_RESOLUTION = 1024
# Part of an image that Figure 4 enlarges: left, top, width and height at 1024x1024.
OFFICIAL_DETAIL = (650, 180, 256, 256)
Space = Literal["w", "w+"]
Distance = Literal["st-lpips-alex", "st-lpips-vgg", "lpips-vgg"]
Box = tuple[int, int, int, int]  # left, top, width, height
Headings = tuple[list[str], list[str]]


def _list(default: tuple[Any, ...], text: str, kind: click.ParamType[Any]) -> Any:
    """Field of an option that takes values with commas between, and shows its default so."""
    about = {"help": text, "type": kind, "default": with_commas(default)}
    return field(default=default, metadata=about)


def _seeds(default: tuple[int, ...], text: str) -> Any:
    return _list(default, text, SeedRange())


def _layers(default: tuple[Layers, ...], text: str) -> Any:
    return _list(default, text, CommaList(LAYERS))


def _psi(default: float, text: str) -> Any:
    return choice(default, text, type=PSI)


def _noise_seed() -> Any:
    return choice(0, "Seed of random noise.", least=0, most=SEEDS - 1)


_CROP = {"type": CommaList(click.IntRange(min=0), 4), "metavar": "X,Y,W,H"}


@dataclass(frozen=True, kw_only=True)
class Uncurated:
    """Uncurated images, in columns of shrinking size (also Figures 10 to 12)."""

    seed: int = choice(5, "Seed of all latents.", least=0, most=SEEDS - 1)
    rows: int = choice(3, "Of full size.", least=1)
    lods: Sequence[int] = _list(
        (0, 1, 2, 2, 3, 3),
        "Halvings of the images of each column.",
        CommaList(click.IntRange(0, 10)),
    )
    psi: float = _psi(0.7, "Truncation psi; 1 disables truncation.")
    cutoff: int = choice(CUTOFF, "Number of first layers that are truncated.", least=0)
    crop: Box | None = choice(None, "Part of the image shown.  [default: the whole image]", **_CROP)
    noise_seed: int = _noise_seed()

    @property
    def images(self) -> int:
        """Images to draw."""
        return sum(self.rows << lod for lod in self.lods)


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Style mixing: coarse, middle or fine styles of the sources in the destinations."""

    sources: Sequence[int] = _seeds((639, 701, 687, 615, 2268), "Columns, whose styles are taken.")
    destinations: Sequence[int] = _seeds(
        (888, 829, 1898, 1733, 1614, 845), "Rows, which take them."
    )
    layers: Sequence[Layers] = _layers(
        ("coarse",) * 3 + ("middle",) * 2 + ("fine",), "Layers taken in each row, or in all."
    )
    psi: float = _psi(1.0, "Truncation psi, for all layers; 1 disables truncation.")
    cutoff: int | None = None  # Truncation is before mixing, in the layers below it; None is in all
    noise: Noise = "fixed"
    noise_seed: int = 0
    gap: int = 0  # Pixels between cells and around them
    ground: int = 255  # Grey level of the corner and the gaps

    @property
    def images(self) -> int:
        """Images to draw."""
        return (1 + len(self.sources)) * (1 + len(self.destinations)) - 1

    @property
    def headings(self) -> Headings:
        """Texts of the columns and of the rows."""
        return ["", *map(str, self.sources)], ["", *map(str, self.destinations)]


# Tables of mixing. What rosinality's generate.py draws as sample_mixing is truncated in all layers,
# has fresh noise and the source's style in the blocks of 4x4 and 8x8, and is laid out as by
# torchvision, with a black corner.
LAYOUTS = {
    "paper": Mixing(layers=("coarse",)),
    "rosinality": Mixing(layers=(range(4),), psi=0.7, noise="random", gap=2, ground=0),
}


@dataclass(frozen=True, kw_only=True)
class NoiseDetail:
    """Noise detail: an image, a part of it with other noise, the deviation of each pixel."""

    seeds: Sequence[int] = _seeds((1157, 1012), "A row each.")
    count: int = choice(100, "Realisations of noise that the deviation is over.", least=5)
    psi: float = _psi(1.0, "Truncation psi, for all layers; 1 disables truncation.")
    crop: Box | None = choice(
        None,
        "Part of the image shown.  [default: 650,180,256,256 of 1024x1024, scaled]",
        **_CROP,
    )
    noise_seed: int = _noise_seed()

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * self.count

    @property
    def headings(self) -> Headings:
        """Texts of the columns and of the rows."""
        return [], [str(seed) for seed in self.seeds]


@dataclass(frozen=True, kw_only=True)
class NoiseComponents:
    """Noise components: noise in all layers, in none, in fine and in coarse ones."""

    seeds: Sequence[int] = _seeds((1967, 1555), "A column each.")
    mirrored: Sequence[int] = _seeds((1555,), "Those of them flipped left to right.")
    layers: Sequence[Layers] = _layers(
        ("all", "none", "fine", "coarse"), "Layers with noise, in each of 4 halves."
    )
    """Upper left and right halves, lower left and right halves."""
    psi: float = _psi(1.0, "Truncation psi, for all layers; 1 disables truncation.")

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * len(self.layers)

    @property
    def headings(self) -> Headings:
        """Texts of the columns and of the rows."""
        return [str(seed) for seed in self.seeds], []


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """Truncation: from an image through the average of W to its opposite."""

    seeds: Sequence[int] = _seeds((91, 388), "A row each.")
    psis: Sequence[float] = _list(
        (1.0, 0.7, 0.5, 0.0, -0.5, -1.0), "A column each.", CommaList(PSI)
    )

    @property
    def images(self) -> int:
        """Images to draw."""
        return len(self.seeds) * len(self.psis)

    @property
    def headings(self) -> Headings:
        """Texts of the columns and of the rows."""
        return [f"psi {psi:g}" for psi in self.psis], [str(seed) for seed in self.seeds]


@dataclass(frozen=True, kw_only=True)
class Film:
    """An interpolation between seeds."""

    seeding: Seeding = choice(
        "grid", "Latent of a seed: that of `grid`, or that of the official scripts (RandomState)."
    )
    space: Literal["w", "z"] = choice("w", "Lines in W, or great circles in Z.")
    frames: int = choice(60, "Frames from one seed to the next.", least=1)
    fps: float = choice(30.0, "Frames shown in a second.", type=Number(0.1, 1000))
    loop: bool = choice(
        default=False, text="Close the loop from the last seed to the first; GIF and APNG repeat."
    )
    psi: float = _psi(1.0, "Truncation psi; 1 disables truncation.")
    cutoff: int = choice(CUTOFF, "Number of first layers that are truncated.", least=0)
    noise: Noise = choice("fixed", "Noise inputs.")  # random: other in each frame
    noise_seed: int = _noise_seed()
    scale: int = choice(1, "Enlarge by repeating pixels.", least=1, most=64)


@dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """Choices of `projection.project`."""

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
    seed: int = choice(0, "Seed of the noise on w.")

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
