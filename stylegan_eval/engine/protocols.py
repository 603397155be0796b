"""Interfaces of generators and feature networks, as metrics use them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class ImageGenerator(Protocol):
    """A generator: z [N, z_dim] -> ws [N, L, w_dim] -> images [N, C, H, W] in about [-1, 1].

    C is 1, 3 or 4; metrics see them by `sampling.as_rgb`.

    Noise is an argument of `synthesis`, one map per layer, so that a metric decides itself
    which images share it.
    """

    @property
    def z_dim(self) -> int:
        """Length of a latent."""

    @property
    def resolution(self) -> int:
        """Height and width of an image, in pixels."""

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        """(H, W) of the noise map of each layer; empty for a generator without noise inputs."""

    def mapping(self, z: Tensor) -> Tensor:
        """Map z [N, z_dim] to ws [N, L, w_dim]."""

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Draw images [N, C, H, W]; `noise` holds one [N, 1, H, W] per entry of `noise_shapes`."""


class Detector(Protocol):
    """A feature network."""

    @property
    def name(self) -> str:
        """Short name; results carry it."""

    @property
    def identity(self) -> str:
        """Name, preprocessing and SHA-256 of the weights: equal identities, equal features."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file."""

    @property
    def resize(self) -> str:
        """Name of the preprocessing rule."""

    @property
    def feature_dim(self) -> int:
        """Length D of a feature vector."""

    @property
    def device(self) -> torch.device:
        """Its device."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features [N, D] of uint8 images [N, 3, H, W]."""

    def logits(self, features: Tensor) -> Tensor:
        """Class scores [N, C] that belong to features [N, D]."""


@dataclass(frozen=True, kw_only=True)
class LoadedGenerator:
    """A generator read from a file, with what a result must say about it."""

    generator: ImageGenerator  # On its device, in evaluation mode, without truncation
    description: str  # What the file holds, for people ("config F, 32x32, 150 kimg")
    sha256: str  # Digest of the file, or of code and weights
    mirrored: bool | None
    """Whether training mirrored the real images; FID then mirrors its reals too. None where that
    is not known: FID does not, and says so."""
    smooth: bool = True  # Whether images change continuously with z; not where each z draws a label
    maps: bool = True
    """Whether w is more than z or the normalised z, so that truncation has a meaning."""
    settings: Mapping[str, str] = field(default_factory=dict)  # Configuration by name, as JSON
    origin: Mapping[str, str] = field(default_factory=dict)  # How it came about, for reports
    notes: Sequence[str] = ()  # What every result must say of it
    impure: str = ""
    """Why an image is no function of its latent and noise, and what to do; empty where it is
    one."""
    looks: str = ""
    """What its first images look like, in few digits: for the key of unfinished work, as user code
    depends on more than its digest knows. Empty for checkpoints, and where no seed reaches them."""
    in_type: Callable[[torch.dtype], ImageGenerator] | None = None
    """The generator with its convolutions in another type; None where it cannot."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Further settings of its images, for results and the key of unfinished work."""
