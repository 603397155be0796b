"""A conditional network where an unconditional one is expected: each latent draws its label."""

import zlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class _Conditional(Protocol):
    @property
    def z_dim(self) -> int: ...

    @property
    def resolution(self) -> int: ...

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]: ...

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor: ...

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor: ...


def labels_of(z: Tensor, rows: Tensor) -> Tensor:
    """Draw a label for each latent, a function of that latent's bits alone.

    So an image depends neither on the batch nor on its place in it.

    Parameters
    ----------
    z : Tensor
        [N, z_dim].
    rows : Tensor
        [K, label_size], labels to draw from, each as often as the others.

    Returns
    -------
    Tensor
        [N, label_size], on the device of `z`.
    """
    latents = z.detach().to("cpu", torch.float32).numpy()
    chosen = [zlib.crc32(latent.tobytes()) % len(rows) for latent in latents]
    return rows[chosen].to(z.device)


class DrawsLabels:
    """A generator whose mapping draws labels by itself. Satisfies `ImageGenerator`.

    Parameters
    ----------
    generator
        A conditional one.
    rows : Tensor
        [K, label_size], labels as frequent as in the training images.
    """

    def __init__(self, generator: _Conditional, rows: Tensor) -> None:
        self.original = generator
        self.rows = rows
        self.z_dim = generator.z_dim
        self.resolution = generator.resolution
        self.noise_shapes = generator.noise_shapes

    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, z_dim] -> ws [N, num_ws, w_dim]."""
        return self.original.mapping(z, labels_of(z, self.rows))

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Draw images [N, C, resolution, resolution]."""
        return self.original.synthesis(ws, noise)
