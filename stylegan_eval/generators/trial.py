"""Trial of a generator with a few images: own noise, dependence on the batch, value range."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from stylegan_eval.errors import UserError
from stylegan_eval.images.memory import Range

# Numbers of images -> images [N, 3, H, W] in float32; the key seeds the global random numbers.
Draw = Callable[[Sequence[int], bytes], Tensor]
FIRST = 16  # images in which a value below 0 must appear
_SAME = 1e-3  # change of images that is none


def change(a: Tensor, b: Tensor) -> float:
    """Root mean square of a - b, by the standard deviation of the values of `a`."""
    square = (a.double() - b.double()).square().mean()
    return math.sqrt(float(square)) / max(float(a.double().std()), 1e-30)


def own_noise(draw: Draw, pair: Tensor, eps: float) -> tuple[float, bool]:
    """By how much two draws of the same images differ, and whether in spite of equal seeds.

    `pair` is images 0 and 1, drawn with the key ``a``; `eps` the relative step of the coarsest type
    that takes part.
    """
    rounding = 32 * eps
    noise = change(pair, draw(range(2), b"b"))
    if noise <= rounding:
        return 0.0, False
    return noise, change(pair, draw(range(2), b"a")) > rounding


def batch_dependence(pair: Tensor, alone: Tensor, noise: float, eps: float) -> float:
    """By how much images differ that are drawn alone; 0 if by noise and rounding only.

    Another batch size takes other kernels, whose rounding the layers magnify: half the digits.
    """
    difference = change(pair, alone)
    return difference if difference > max(math.sqrt(eps), 2 * noise) else 0.0


def looks_of(images: Tensor) -> str:
    """Mean sizes of the values in the quarters of images [N, C, H, W].

    Of three digits: another number of threads rounds otherwise, and draws the same images.
    """
    sizes = adaptive_avg_pool2d(images.double().abs(), 2)
    return " ".join(f"{size:.2e}" for size in sizes.flatten().tolist())


def has_negative(images: Tensor) -> bool:
    """Whether values go below 0 by more than an overshoot of what is in [0, 1]."""
    least, most = float(images.min()), float(images.max())
    return least < -max(most, 0.0) / 8


def range_note(images: Tensor, named: Range | None, where: str) -> str:
    """Note on odd values of images [N, 3, H, W] of the range `named`; empty without any."""
    low, high = named or (-1.0, 1.0)
    least, most = float(images.min()), float(images.max())
    shown = f"values from {least:.3g} to {most:.3g}"
    meant = f"[{low:g}, {high:g}]"
    positive = not has_negative(images)
    sizes = to_unit(images, (low, high)).abs()
    if float(sizes.mean()) > 4 or (named is None and positive and most > 8):
        fix = "LOW,HIGH"
        if positive and most <= 70_000:
            fix = "0,1" if most <= 8 else "0,255" if most <= 300 else "0,65535"
        raise UserError(
            f"{where}: the images have {shown}, far outside of {meant}: use --range {fix}"
        )
    if named is None and positive:
        return (
            f"no value below 0 in the first {len(images)} images ({shown}), taken as {meant}: if"
            " they are in [0, 1], use --range 0,1"
        )
    if (share := float((sizes > 1.5).double().mean())) > 0.1:
        return (
            f"{share:.0%} of the values of the first images lie well outside of {meant} ({shown})"
            " and are cut off: name their range with --range LOW,HIGH"
        )
    if named is None and 0.4 < max(-least, most) <= 0.55:
        return (
            f"the first images have {shown}, half of {meant}: if that is all of their range, use"
            " --range -0.5,0.5"
        )
    if named and 0 < most - least < (high - low) / 20:
        return f"the first images have {shown}, little of --range {low:g},{high:g}"
    return ""


def mode_note(modes: Mapping[nn.Module, bool], draw: Callable[[], Tensor]) -> str:
    """Say so where images are others in evaluation mode, as they are drawn now; else nothing.

    `modes` says whether each module was in training mode before; their buffers are put back. `draw`
    draws images of equal latents and seeds.
    """
    evaluated, by = draw(), "they cannot be drawn in training mode"
    kept = [(buffer, buffer.clone()) for part in modes for buffer in part.buffers(recurse=False)]
    try:
        for part, training in modes.items():
            part.training = training
        with contextlib.suppress(UserError):
            difference = change(evaluated, draw())
            by = f"by {difference:.1%} of the spread of the values" if difference > _SAME else ""
    finally:
        for part in modes:
            part.training = False
        for buffer, before in kept:
            buffer.copy_(before)
    if not by:
        return ""
    return (
        "the generator came in training mode and is measured in evaluation mode, .eval(), where"
        f" its images differ ({by}): batch norm takes its running averages, dropout is off"
    )


def to_unit(images: Tensor, given: Range) -> Tensor:
    """Images of the given range -> [-1, 1]."""
    low, high = given
    return images if given == (-1.0, 1.0) else (images - low) * (2 / (high - low)) - 1
