"""Sampling variants of a generator: mixed latents, truncation.

Both are wrappers that satisfy `protocols.ImageGenerator` themselves, so every metric of images can
measure them, of any generator whose images are made from rows of w. Letters: N images, M latents
per image, L layers (rows of ws).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stylegan_eval.engine.device import check_precision, network_dtype, strict_float32
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.engine.sampling import Stream, latents
from stylegan_eval.errors import UserError
from stylegan_eval.settings.image_metrics import GeneratedSettings

# The centre of truncation belongs to the network, not to the measurement: these latents always.
CENTRE_SEED = 0
CENTRE_LATENTS = 10_000
_AT_A_TIME = 1000


@dataclass(frozen=True, kw_only=True)
class _Variant:
    """A generator that differs from `original` in its mapping."""

    original: ImageGenerator

    @property
    def resolution(self) -> int:
        return self.original.resolution

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        return self.original.noise_shapes

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        return self.original.synthesis(ws, noise)


@dataclass(frozen=True, kw_only=True)
class MixedGenerator(_Variant):
    """Draws each image from `count` latents, which change over at random layers (Section 3.1).

    A latent of this generator is `count` latents of the original and L - 1 more normals. The layers
    1 .. L - 1 with the count - 1 greatest of these are where the next latent takes over: every
    choice of different layers is as probable as any other, and an image is a function of its latent
    alone, whatever else is in the batch. The first latent of image i is that which the original
    draws it from.
    """

    count: int  # M, from 2 to L
    num_ws: int  # L

    @property
    def z_dim(self) -> int:
        """Length of a latent: M * z_dim + L - 1."""
        return self.count * self.original.z_dim + self.num_ws - 1

    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, M * z_dim + L - 1] -> ws [N, L, w_dim], each row from one of the latents."""
        n, width = len(z), self.count * self.original.z_dim
        ws = self.original.mapping(z[:, :width].reshape(n * self.count, -1))  # [N * M, L, w_dim]
        ws = ws.reshape(n, self.count, *ws.shape[1:])  # [N, M, L, w_dim]
        owner = owners(z[:, width:], self.count)[:, None, :, None]  # [N, 1, L, 1]
        return ws.gather(1, owner.expand(-1, -1, -1, ws.shape[3]))[:, 0]


def owners(normals: Tensor, count: int) -> Tensor:
    """Which latent each layer is drawn from, int64 [N, L]: rising by 0 or 1 from 0 to M - 1.

    Of the normals [N, L - 1], one for each layer but the first, only their order matters.
    """
    greatest = normals.argsort(dim=1, descending=True, stable=True)[:, : count - 1]
    starts = torch.zeros_like(normals, dtype=torch.int64).scatter_(1, greatest, 1)
    return torch.nn.functional.pad(starts, (1, 0)).cumsum(dim=1)


@dataclass(frozen=True, kw_only=True)
class TruncatedGenerator(_Variant):
    """Draws every layer from a w pulled towards the mean (Section 2 and Appendix B)."""

    psi: float  # 1 changes nothing, 0 gives the mean
    centre: Tensor  # [L, w_dim], mean of ws; see `mean_ws`

    @property
    def z_dim(self) -> int:
        """Length of a latent."""
        return self.original.z_dim

    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, z_dim] -> truncated ws [N, L, w_dim]."""
        return torch.lerp(self.centre, self.original.mapping(z), self.psi)


def mean_ws(generator: ImageGenerator, device: torch.device) -> Tensor:
    """Mean of ws over `CENTRE_LATENTS` latents of a stream of their own, [L, w_dim] in float32.

    It is estimated rather than taken from the network, so that the centre means the same for every
    generator: a moving average over training trails the weights that are measured.
    """
    total: Tensor | float = 0.0
    with torch.inference_mode(), strict_float32(device.type):
        for start in range(0, CENTRE_LATENTS, _AT_A_TIME):
            indices = range(start, start + _AT_A_TIME)
            z = latents(CENTRE_SEED, indices, generator.z_dim, Stream.CENTRE)
            total = total + generator.mapping(z.to(device)).double().sum(dim=0)
    assert isinstance(total, Tensor)
    return (total / CENTRE_LATENTS).float()


def vary(
    loaded: LoadedGenerator, settings: GeneratedSettings, device: torch.device
) -> LoadedGenerator:
    """Let a generator compute, mix and truncate as the settings say; itself by the default ones.

    Truncation is of each latent, before they mix.
    """
    generator = loaded.generator
    check_precision(settings.generator_precision, device.type)
    if settings.generator_precision == "bf16":
        if loaded.in_type is None:
            raise UserError(
                "--generator-precision bf16 needs a generator of --ckpt: one of --generator"
                " computes in the type that its own code chooses"
            )
        generator = loaded.in_type(network_dtype("bf16"))
    if settings.psi != 1:
        if not loaded.maps:
            raise UserError(
                "--psi needs a mapping network, which this generator lacks: leave out --psi"
            )
        generator = TruncatedGenerator(
            original=generator, psi=settings.psi, centre=mean_ws(generator, device)
        )
    if settings.mixing > 1:
        z = latents(0, range(1), generator.z_dim).to(device)
        with torch.inference_mode(), strict_float32(device.type):
            num_ws = generator.mapping(z).shape[1]
        if settings.mixing > num_ws:
            raise UserError(
                f"--mixing {settings.mixing}: the generator has {num_ws} layers to give to latents,"
                f" use --mixing {num_ws} or less"
            )
        generator = MixedGenerator(original=generator, count=settings.mixing, num_ws=num_ws)
    return replace(loaded, generator=generator)
