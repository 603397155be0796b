"""The generator: mapping, synthesis, truncation and labels."""

import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stylegan.configs import Config, NetworkConfig
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.layers import initialise, upsample_nearest
from stylegan.networks.mapping import Mapping
from stylegan.networks.synthesis import Synthesis, split_lod
from stylegan_eval.engine.device import best_format
from stylegan_eval.engine.sampling import on_device


class Generator(nn.Module):
    """z -> w -> image. Satisfies `stylegan_eval.engine.protocols.ImageGenerator`."""

    w_avg: Tensor  # [w_dim], moving average of w over training, the centre of truncation

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.config = config
        self.resolution = resolution
        self.f = Mapping(config)
        self.g = Synthesis(config, resolution)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    @property
    def z_dim(self) -> int:
        """Length of a latent."""
        return self.config.z_dim

    @property
    def num_ws(self) -> int:
        """Rows of ws."""
        return self.g.num_ws

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """(H, W) of each noise map at full resolution; empty for A to D."""
        return self.g.noise_shapes()

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z [N, z_dim] -> ws [N, num_ws, w_dim], the same w in every row."""
        return self.f(z, labels)[:, None, :].expand(-1, self.num_ws, -1)

    def synthesis(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        lod: float = 0.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw images; see `Synthesis.forward`."""
        return self.g(ws, noise, lod, dtype=dtype)

    def update_w_avg(self, w: Tensor, beta: float = 0.995) -> None:
        """Move w_avg towards the mean of w [N, w_dim] before mixing; `beta` weighs the old one."""
        with torch.no_grad():
            self.w_avg.copy_(torch.lerp(w.detach().mean(dim=0), self.w_avg, beta))


def truncate(ws: Tensor, w_avg: Tensor, psi: float | Tensor, cutoff: int) -> Tensor:
    """Truncation in W (Appendix B): pull the first `cutoff` layers towards the average.

    ws [N, L, w_dim], w_avg [w_dim]; `psi` 1 changes nothing, 0 gives the average.
    """
    layers = torch.arange(ws.shape[1], device=ws.device)[None, :, None]  # [1, L, 1]
    return torch.where(layers < cutoff, torch.lerp(w_avg, ws, psi), ws)


def mix_styles(ws: Tensor, ws2: Tensor, cutoff: int | Tensor) -> Tensor:
    """Style mixing (Section 3.1): layers below `cutoff` from `ws`, the rest from `ws2`."""
    layers = torch.arange(ws.shape[1], device=ws.device)[None, :, None]  # [1, L, 1]
    return torch.where(layers < cutoff, ws, ws2)


class GeneratorAtLod:
    """A generator that is still growing: draws at one lod, repeated to the full size.

    So does the official code, whose networks remember the lod they were trained to.
    """

    def __init__(
        self, generator: Generator, lod: float, dtype: torch.dtype = torch.float32
    ) -> None:
        self.original = generator
        self.lod = lod
        self.dtype = dtype  # of convolutions
        self.z_dim = generator.z_dim
        self.resolution = generator.resolution
        self.noise_shapes = generator.g.noise_shapes(lod)

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z [N, z_dim] -> ws [N, num_ws, w_dim]."""
        return self.original.mapping(z, labels)

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Draw images [N, C, resolution, resolution]."""
        level, _ = split_lod(self.lod, self.resolution)
        images = self.original.synthesis(ws, noise, self.lod, dtype=self.dtype)
        return upsample_nearest(images, 1 << level)


def build_generator(config: Config, *, seed: int) -> Generator:
    """Generator with fresh weights, a function of (config, seed) alone."""
    network = Generator(config.network, config.resolution)
    initialise(network, torch.Generator().manual_seed(seed))
    return network.to(memory_format=best_format(torch.device("cpu")))


def build_discriminator(config: Config, *, seed: int) -> Discriminator:
    """Discriminator with fresh weights, a function of (config, seed) alone."""
    network = Discriminator(config.network, config.resolution)
    initialise(network, torch.Generator().manual_seed(seed))
    return network.to(memory_format=best_format(torch.device("cpu")))


def labels_of(z: Tensor, rows: Tensor) -> Tensor:
    """Draw a label for each latent, by the CRC-32 of that latent's bits alone.

    So an image depends neither on the batch nor on its place in it. Each of `rows` [K, label_size]
    is as frequent as the others: [N, z_dim] -> [N, label_size]. A device is not waited for.
    """
    shifts = torch.arange(32, device=z.device)
    words = z.detach().float().contiguous().view(torch.int32)
    bits = (words[..., None] >> shifts & 1).flatten(1)  # [N, 32 z_dim], as in little-endian bytes
    of_zeros, of_bits = _crc32_by_bit(z.shape[1])
    # Modulo 2 the checksum is linear; sums are exact in float64, which autocast leaves alone.
    odd = (bits.double() @ on_device(torch.from_numpy(of_bits), z.device)).long() & 1  # [N, 32]
    checksum = (odd << shifts).sum(dim=1) ^ of_zeros
    return on_device(rows, z.device)[checksum % len(rows)]


@cache
def _crc32_by_bit(words: int) -> tuple[int, NDArray[np.float64]]:
    """CRC-32 of `words` zero words of 32 bits, and which of its bits each message bit flips.

    Returns the checksum, and 0 or 1, float64 [32 words, 32].
    """
    of_zeros = zlib.crc32(bytes(4 * words))

    def turned(bit: int) -> int:
        message = bytearray(4 * words)
        message[bit // 8] = 1 << bit % 8
        return zlib.crc32(message) ^ of_zeros

    checksums = np.array([turned(bit) for bit in range(32 * words)])
    return of_zeros, (checksums[:, None] >> np.arange(32) & 1).astype(np.float64)


class DrawsLabels:
    """A conditional `ImageGenerator` that draws labels from `rows` [K, label_size] by itself."""

    def __init__(self, generator: GeneratorAtLod, rows: Tensor) -> None:
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
