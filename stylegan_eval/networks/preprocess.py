"""The published resizes of feature networks, Pillow's bicubic included."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

INCEPTION_SIZE = 299
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VGG_SIZE = 224
EFFICIENTNET_SIZE = 128
BITS = 22  # of Pillow's fixed-point weights for 8-bit images
SUPPORT = 2.0


def _neighbours(source: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Low index, high index and weight of the high one, for each of `target` positions."""
    # float32 throughout: the position's rounding decides which pixels are the neighbours.
    # Filled rather than copied to the device, for which a copy would wait.
    step = torch.full((), source / target, dtype=torch.float32, device=device)
    position = torch.arange(target, dtype=torch.float32, device=device) * step
    low = position.long()
    high = (low + 1).clamp_max(source - 1)
    return low, high, position - low


def tf1_bilinear(images: Tensor, size: int) -> Tensor:
    """TensorFlow 1's bilinear resize of uint8 [N, 3, H, W] to float32 [N, 3, size, size].

    No half-pixel centres and no antialiasing: output i reads the input at i * source / size.
    """
    if images.shape[2:] == (size, size):
        return images.float()
    low, high, weight = _neighbours(images.shape[2], size, images.device)
    # Rows first, taken as bytes: of a large image most are never read.
    x = torch.lerp(images[:, :, low].float(), images[:, :, high].float(), weight[:, None])
    low, high, weight = _neighbours(images.shape[3], size, images.device)
    shape = (*x.shape[:3], size)  # indexing would take several times as long as gathering
    result = x.gather(3, low.expand(shape))
    return result.lerp_(x.gather(3, high.expand(shape)), weight)  # [N, 3, size, size]


def tf1_inception_input(images: Tensor) -> Tensor:
    """TensorFlow 1's bilinear resize to 299x299, then (x - 128) / 128.

    This is what the FID of the paper, torch-fidelity and NVIDIA's later code compute.

    uint8 [N, 3, H, W] -> float32 [N, 3, 299, 299] in [-1, 127/128].
    """
    return tf1_bilinear(images, INCEPTION_SIZE).sub_(128).div_(128)


def half_pixel_inception_input(images: Tensor) -> Tensor:
    """pytorch-fid's rule: x / 255, bilinear with half-pixel centres to 299x299, then 2x - 1.

    uint8 [N, 3, H, W] -> float32 [N, 3, 299, 299] in [-1, 1].
    """
    x = F.interpolate(
        images.float() / 255,
        size=(INCEPTION_SIZE, INCEPTION_SIZE),
        mode="bilinear",
        align_corners=False,
    )
    return x.mul_(2).sub_(1)


def clean_inception_input(images: Tensor) -> Tensor:
    """clean-fid's rule: antialiased bicubic to 299x299, clipped to [0, 255], then (x - 128) / 128.

    Not rounded to bytes again after the resize. Generated images are resized from bytes too;
    clean-fid takes what a generator returns as it is, rounded or not.

    uint8 [N, 3, H, W] -> float32 [N, 3, 299, 299] in [-1, 127/128].
    """
    x = F.interpolate(
        images.float(),
        size=(INCEPTION_SIZE, INCEPTION_SIZE),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )
    return x.clamp_(0, 255).sub_(128).div_(128)


INCEPTION_INPUT: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "tf1": tf1_inception_input,
        "pytorch-fid": half_pixel_inception_input,
        "clean": clean_inception_input,
    }
)


def normalise(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x / 255 - mean) / std per channel, of float32 [N, 3, H, W] in [0, 255]."""
    shift, scale = (
        torch.stack([x.new_full((1, 1), value) for value in values]) * 255 for values in (mean, std)
    )
    return (x - shift) / scale


def vgg_input(images: Tensor) -> Tensor:
    """TensorFlow 1's bilinear resize to 224x224, then ImageNet's mean and deviation.

    uint8 [N, 3, H, W] -> float32 [N, 3, 224, 224].
    """
    return normalise(tf1_bilinear(images, VGG_SIZE), IMAGENET_MEAN, IMAGENET_STD)


def efficientnet_input(images: Tensor) -> Tensor:
    """Bilinear to 128x128, antialiased where that shrinks, then (x - 127) / 128.

    128 pixels rather than the network's native 224: five times as fast, and unlike 64 pixels
    not dominated by noise on flat areas.

    uint8 [N, 3, H, W] -> float32 [N, 3, 128, 128] in [-1, 1].
    """
    x = F.interpolate(
        images.float(),
        size=(EFFICIENTNET_SIZE, EFFICIENTNET_SIZE),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return (x - 127) / 128


def _bicubic(x: float) -> float:
    """Keys's kernel with a = -1/2."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    if x < SUPPORT:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@cache
def fixed_point_weights(source: int, target: int) -> Tensor:
    """Weights float64 [target, source] of one pass, whole numbers: 2^22 stands for 1."""
    weights = torch.zeros(target, source, dtype=torch.float64)
    scale = source / target
    wide = max(scale, 1.0)  # the kernel grows with the step where the image shrinks
    for place in range(target):
        centre = (place + 0.5) * scale
        low = max(int(centre - SUPPORT * wide + 0.5), 0)
        high = min(int(centre + SUPPORT * wide + 0.5), source)
        # The order of these roundings is Pillow's.
        taps = [_bicubic((x + low - centre + 0.5) * (1.0 / wide)) for x in range(high - low)]
        total = 0.0
        for tap in taps:
            total += tap
        for x, tap in enumerate(taps):
            fixed = tap / total * (1 << BITS)
            weights[place, low + x] = math.trunc(fixed - 0.5 if tap < 0 else fixed + 0.5)
    return weights


def _pass(x: Tensor, target: int) -> Tensor:
    """Resize the last dimension of whole numbers 0..255 in float64."""
    source = x.shape[-1]
    if source == target:
        return x
    weights = fixed_point_weights(source, target).to(x.device)
    # Sums of whole numbers below 2^53: exact, in any order.
    sums = x @ weights.T + (1 << (BITS - 1))
    return (sums / (1 << BITS)).floor_().clamp_(0, 255)


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """Resize uint8 [N, 3, H, W] to float32 [N, 3, size, size] of whole numbers 0..255.

    Equals ``PIL.Image.resize((size, size), BICUBIC)`` of each image.
    """
    x = _pass(images.double(), size)  # [N, 3, H, size]: rows first
    return _pass(x.mT, size).mT.float()
