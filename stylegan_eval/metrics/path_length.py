"""The arithmetic of perceptual path length: interpolation, crop, trimmed mean.

Tensors in, tensors out, in the dtype that comes in; the statistics in float64.

References
----------
metrics/perceptual_path_length.py of the official StyleGAN, where nothing else is named.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.errors import UserError

Crop = Literal["face", "none"]
Rule = Literal["v1", "ada"]
# The perceptual network is meant for images of this size.
PERCEPTUAL_SIZE = 256
TRIMMED_PERCENT = 1.0


def normalize(v: Tensor) -> Tensor:
    """Scale the vectors in the last dimension to length 1."""
    return v / v.square().sum(dim=-1, keepdim=True).sqrt()


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point a + (b - a) t of the line from `a` to `b`; `t` is broadcast."""
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point on the great circle from a / |a| to b / |b|, at the share `t` of the angle.

    Parameters
    ----------
    a, b : Tensor
        [..., D], not zero, neither parallel nor opposite.
    t : Tensor
        [..., 1].

    Returns
    -------
    Tensor
        [..., D] of length 1.
    """
    a, b = normalize(a), normalize(b)
    cosine = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = t * cosine.acos()
    c = normalize(b - cosine * a)  # the direction from a towards b, at right angles to a
    return normalize(a * angle.cos() + c * angle.sin())


def face_box(size: int) -> tuple[range, range]:
    """Rows and columns that the official metric keeps: FFHQ's faces fill about these."""
    eighth = size // 8
    return range(3 * eighth, 7 * eighth), range(2 * eighth, 6 * eighth)


def box_factor(height: int, resolution: int, rule: Rule) -> int:
    """By how much images are averaged down before the perceptual network.

    Parameters
    ----------
    height : int
        Height after the crop, in pixels.
    resolution : int
        Height before it.
    rule : {"v1", "ada"}
        ``v1`` of StyleGAN: what the crop left goes down to 256. ``ada`` of stylegan2-ada-pytorch:
        what the whole image would need, whatever was cropped.

    References
    ----------
    metrics/perceptual_path_length.py of stylegan2-ada-pytorch, for ``ada``.
    """
    return max((height if rule == "v1" else resolution) // PERCEPTUAL_SIZE, 1)


def crop_and_shrink(images: Tensor, crop: Crop, rule: Rule, resolution: int) -> Tensor:
    """Cut out the face and average over boxes: what the perceptual network sees.

    Parameters
    ----------
    images : Tensor
        [N, C, resolution, resolution].
    crop : {"face", "none"}
        Official: ``face``, for all data.
    rule : {"v1", "ada"}
        See `box_factor`.
    resolution : int
        Size of the whole images, in pixels.

    Returns
    -------
    Tensor
        [N, C, H, W].
    """
    if crop == "face":
        rows, columns = face_box(resolution)
        images = images[:, :, rows.start : rows.stop, columns.start : columns.stop]
    factor = box_factor(images.shape[2], resolution, rule)
    return F.avg_pool2d(images, factor) if factor > 1 else images


def perceptual_size(crop: Crop, rule: Rule, resolution: int) -> int:
    """Height and width in pixels of what `crop_and_shrink` returns."""
    height = len(face_box(resolution)[0]) if crop == "face" else resolution
    return height // box_factor(height, resolution, rule)


@dataclass(frozen=True, kw_only=True)
class TrimmedMean:
    """A mean without its tails.

    Attributes
    ----------
    mean : float
        Of the distances from the 1st to the 99th percentile, both included.
    stderr : float
        Its standard error.
    kept : int
        How many were averaged.
    untrimmed : float
        Mean of all.
    carriers : float
        How many distances the standard error rests on: those which would give as much of its
        fourth moment if all were equally far from the mean. A third of all for normal ones; below
        about 10 it may be several times too small.
    """

    mean: float
    stderr: float
    kept: int
    untrimmed: float
    carriers: float


def trimmed_mean(distances: NDArray[np.floating]) -> TrimmedMean:
    """Mean of the middle 98 % of the distances, with its standard error.

    The percentiles are those of the official code: the next distance below the 1st, the next one
    above the 99th. A trimmed mean varies as the mean of the winsorised sample does, in which what
    was trimmed is moved to the nearest value that was kept, divided by the share kept.

    Parameters
    ----------
    distances : ndarray
        [N], N at least 2.

    Raises
    ------
    UserError
        A distance is not finite.

    References
    ----------
    Tukey and McLaughlin, Less Vulnerable Confidence and Significance Procedures for Location,
    1963 (standard error).
    """
    x = np.asarray(distances, dtype=np.float64)
    if not np.isfinite(x).all():
        raise UserError("path lengths are not finite: the generator has diverged")
    low = np.percentile(x, TRIMMED_PERCENT, method="lower")
    high = np.percentile(x, 100 - TRIMMED_PERCENT, method="higher")
    kept = x[(low <= x) & (x <= high)]
    winsorised = np.clip(x, low, high)
    spread = float(winsorised.std(ddof=1))
    squares = np.square(winsorised - winsorised.mean())
    fourth = float(np.square(squares).sum())
    return TrimmedMean(
        mean=float(kept.mean()),
        stderr=spread / (len(kept) / len(x) * len(x) ** 0.5),
        kept=len(kept),
        untrimmed=float(x.mean()),
        carriers=float(squares.sum()) ** 2 / fourth if fourth else float(len(x)),
    )
