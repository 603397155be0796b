"""Random numbers in tensor operations: the same integers on every device.

PyTorch's generators give other numbers on another model of GPU as soon as a tensor is large.
SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) can be asked
for any of its outputs, so a number depends on neither device nor batch, and it takes few passes
over memory. Normals go through a logarithm, a sine and a cosine, which
devices round differently in the last bits.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
# Outputs kept for each row; 2^40 rows have outputs of their own.
_ROW = 2**24
# Outputs worked on at once: on a CPU what lies in between stays in its cache.
_AT_ONCE = {"cpu": 1 << 15}
_AT_ONCE_ELSEWHERE = 1 << 24


def normal(key: int, rows: Tensor, count: int) -> Tensor:
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


def uniform(key: int, rows: Tensor, count: int) -> Tensor:
    """Multiples of 2^-24 in [0, 1), float32 [N, count], for `rows`, int64 [N]; as `normal`."""
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
