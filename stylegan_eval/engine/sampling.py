"""Seed and index to latent, noise and flip; float images to bytes.

Image i of a run depends on (seed, i) alone, so a result does not depend on batches, shards or
on how many images were asked for.
"""

import math
from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from stylegan_eval.engine.device import computing_in
from stylegan_eval.engine.protocols import ImageGenerator
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Precision


class Stream(IntEnum):
    """Purpose of a random number; streams of one (seed, index) never overlap."""

    LATENT = 0
    NOISE = 1
    MIRROR = 2
    SUBSET = 3
    PATH_T = 4
    CENTRE = 5


def random_stream(seed: int, index: int, stream: Stream) -> np.random.Generator:
    """Philox keyed by (seed, index), its counter starting at (0, 0, 0, stream)."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def random_choice(seed: int, total: int, num: int) -> list[int]:
    """Numbers of `num` of `total` images, at random, without repetition, in random order.

    A choice begins with every smaller one of the same seed. The generator is NumPy's RandomState,
    whose numbers no version of NumPy changes, and by which torch-fidelity shuffles.
    """
    key = seed if seed < 2**32 else [seed % 2**32, seed >> 32]
    order: list[int] = np.random.RandomState(key).permutation(total)[:num].tolist()
    return order


def latents(
    seed: int, indices: Sequence[int], z_dim: int, stream: Stream = Stream.LATENT
) -> Tensor:
    """Latents z ~ N(0, I) of the images with these indices, float32 [N, z_dim] on the CPU.

    Other streams give other latents.
    """
    z = np.empty((len(indices), z_dim), dtype=np.float32)
    for row, index in zip(z, indices, strict=True):
        random_stream(seed, index, stream).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(z)


def noise_maps(
    seed: int, indices: Sequence[int], shapes: Sequence[tuple[int, int]], device: torch.device
) -> list[Tensor]:
    """Noise ~ N(0, 1) of the images with these indices, float32 [N, 1, H, W] per layer.

    Drawn on the device, because 1024x1024 images take 2.8 million normals each.
    """
    sizes = [height * width for height, width in shapes]
    rows = on_device(torch.tensor(indices, dtype=torch.int64), device)
    key = int(np.random.SeedSequence((seed, Stream.NOISE)).generate_state(1, np.uint64)[0])
    layers = torch.split(keyed_normal(key, rows, sum(sizes)), sizes, dim=1)
    return [
        layer.reshape(-1, 1, height, width)
        for layer, (height, width) in zip(layers, shapes, strict=True)
    ]


def mirror_flags(seed: int, indices: Sequence[int]) -> np.ndarray:
    """Whether the real image of each index is flipped left to right: bool [N], p = 1/2."""
    draws = [random_stream(seed, index, Stream.MIRROR).random() for index in indices]
    return np.array(draws) < 0.5


def path_positions(seed: int, pairs: Sequence[int]) -> Tensor:
    """Position on its path at which each pair of latents is measured.

    `pairs`: N pair numbers. Returns float32 [N] on the CPU, uniform in [0, 1).
    """
    draws = [random_stream(seed, pair, Stream.PATH_T).random(dtype=np.float32) for pair in pairs]
    return torch.from_numpy(np.array(draws, dtype=np.float32))


def to_uint8(images: Tensor) -> Tensor:
    """Quantise images in [-1, 1] as the official code does: floor(127.5 x + 128), saturating.

    As `convert_images_to_uint8` in dnnlib/tflib/tfutil.py of the official StyleGAN.
    """
    check_finite(torch.isfinite(images).all())
    return quantised(images)


def quantised(images: Tensor) -> Tensor:
    """`to_uint8` without its check, which waits for the device."""
    # Cast to uint8 drops the fraction, which is floor for what clamp leaves.
    return (images.float() * 127.5 + 128).clamp_(0, 255).to(torch.uint8)


def check_finite(finite: Tensor) -> None:
    """Refuse pixels that are not finite; `finite` is a scalar, for which the device is waited."""
    if not bool(finite):
        raise UserError("the generator produced NaN or infinite pixels: training has diverged")


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy values to a device without waiting for it: from page-locked memory for CUDA."""
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def draw(
    generator: ImageGenerator,
    seed: int,
    indices: Sequence[int],
    device: torch.device,
    precision: Precision = "fp32",
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the images with these indices, without gradients.

    Returns z [n, z_dim], ws [n, L, w_dim], images [n, 3, R, R] in about [-1, 1], not clamped; of
    other channels than RGB by `as_rgb`.
    """
    with torch.inference_mode(), computing_in(precision, device.type):
        z = on_device(latents(seed, indices, generator.z_dim), device)
        ws = generator.mapping(z)
        noise = noise_maps(seed, indices, generator.noise_shapes, device)
        images = generator.synthesis(ws, noise)
        check_shape(images, len(indices), generator.resolution)
        return z, ws, as_rgb(images)


SHOWN = {1: "grey images are shown as three equal channels", 4: "alpha is put over white"}
"""How images of other channels than RGB are shown to networks of RGB, for results."""


def as_rgb(images: Tensor) -> Tensor:
    """Show images [N, C, H, W] in about [-1, 1] as RGB, [N, 3, H, W]; C is 1, 3 or 4.

    The grey channel is repeated; RGBA, limited to [-1, 1], is put over white.
    """
    channels = images.shape[1]
    if channels == 1:
        return images.repeat(1, 3, 1, 1)
    if channels == 3:
        return images
    limited = images.clamp(-1, 1)
    return 1 + (limited[:, :3] - 1) * ((limited[:, 3:] + 1) / 2)


def check_shape(images: Tensor, count: int, size: int) -> None:
    """Refuse images that are not [count, C, size, size], C being 1, 3 or 4."""
    expected, shape = [count, 3, size, size], list(images.shape)
    if images.ndim == 4 and shape[1] in (1, 3, 4) and shape == [count, shape[1], size, size]:
        return
    fix = "grey, RGB and RGBA generators can be measured"
    if images.ndim == 4 and shape[:3] == [count, size, size]:
        fix = "put the channels first, images.permute(0, 3, 1, 2)"
    elif images.ndim == 4 and shape[0] == count and shape[1] in (1, 3, 4):
        fix = "its attribute resolution says so"
    raise UserError(f"the generator drew images of shape {shape}, expected {expected}: {fix}")


# Random numbers in tensor operations: the same integers on every device, where PyTorch's generators
# give others on another model of GPU as soon as a tensor is large. SplitMix64 (Steele, Lea, Flood,
# "Fast splittable pseudorandom number generators", 2014) can be asked for any of its outputs, so a
# number depends on neither device nor batch, and it takes few passes over memory. Normals go
# through a logarithm, a sine and a cosine, which devices round differently in the last bits.
_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
# Outputs kept for each row; 2^40 rows have outputs of their own.
_ROW = 2**24
# Outputs worked on at once: on a CPU what lies in between stays in its cache.
_AT_ONCE = {"cpu": 1 << 15}
_AT_ONCE_ELSEWHERE = 1 << 24


def keyed_normal(key: int, rows: Tensor, count: int) -> Tensor:
    """N(0, 1), float32 [N, count], for `rows`, int64 [N]; `count` is at most 2^25.

    A number is a function of (key, its row, its column). By Box and Muller, up to 6.7 in size.
    """
    out = torch.empty(len(rows), -(-count // 2), 2, device=rows.device)
    for first, last in _parts(out.shape[1], rows):
        size, turn = _halves(splitmix64(key, rows, first, last))
        radius = size.float().abs_().mul_(2.0**-31).add_(2.0**-32).log_().mul_(-2).sqrt_()
        angle = turn.float().mul_(math.pi * 2.0**-31)
        torch.mul(radius, angle.cos(), out=out[:, first:last, 0])
        torch.mul(radius, angle.sin_(), out=out[:, first:last, 1])
    return out.flatten(1)[:, :count]


def keyed_uniform(key: int, rows: Tensor, count: int) -> Tensor:
    """Multiples of 2^-24 in [0, 1), float32 [N, count], for `rows`, int64 [N]; keyed alike."""
    out = torch.empty(len(rows), -(-count // 2), 2, device=rows.device)
    for first, last in _parts(out.shape[1], rows):
        for i, bits in enumerate(_halves(splitmix64(key, rows, first, last))):
            torch.mul((bits >> 8) & 0xFFFFFF, 2.0**-24, out=out[:, first:last, i])
    return out.flatten(1)[:, :count]


def splitmix64(key: int, rows: Tensor, first: int, last: int) -> Tensor:
    """Outputs `first` to `last` - 1 of each row, int64 [N, last - first], all bits random.

    They are those numbered row * 2^24 + first and so on of SplitMix64 with the seed `key`.
    """
    begin = rows * _signed(_ROW * _GAMMA) + _signed(key + _GAMMA)
    steps = torch.arange(first, last, device=rows.device) * _signed(_GAMMA)
    z = begin[:, None] + steps
    spare = torch.empty_like(z)
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, 1), strict=True):
        torch.bitwise_right_shift(z, shift, out=spare)
        z.bitwise_xor_(spare.bitwise_and_(2 ** (64 - shift) - 1))  # the sign has been shifted in
        if multiplier != 1:
            z.mul_(_signed(multiplier))
    return z


def _signed(number: int) -> int:
    """The int64 with these 64 bits."""
    number &= _MASK
    return number - 2**64 if number >= 2**63 else number


def _halves(words: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper half of each word, int32."""
    lower, upper = words.view(torch.int32).view(*words.shape, 2).unbind(2)
    return lower, upper


def _parts(count: int, rows: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges of outputs to work on at once."""
    at_once = _AT_ONCE.get(rows.device.type, _AT_ONCE_ELSEWHERE)
    step = max(1, at_once // max(len(rows), 1))
    for first in range(0, count, step):
        yield first, min(first + step, count)
