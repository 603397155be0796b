"""Improved precision and recall; density and coverage."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import (
    Value,
    count_and_k,
    error_details,
    marks,
    suffix,
)
from stylegan_eval.results.significance import rate_stderr
from stylegan_eval.settings.image_metrics import PrdcSettings, PrSettings

TILE = 1024

Inside = Callable[[Tensor, Tensor], Tensor]
# Whether a ball holds its boundary: with k-th neighbours copied from the other set, it matters.
CLOSED: Inside = torch.le
OPEN: Inside = torch.lt


@dataclass(frozen=True, kw_only=True)
class Manifold:
    """Shares and a ratio of images."""

    precision: float  # Share of generated images within a ball of a real one
    recall: float  # Share of real images within a ball of a generated one
    density: float  # Real balls that hold a generated image, over k, on average; may exceed 1
    coverage: float  # Share of real balls that hold a generated image
    precision_stderr: float
    density_stderr: float
    """precision_stderr, density_stderr: Standard errors; given the real images, generated ones fall
    into their balls independently. Recall and coverage have none: whether a real image is reached
    depends on all of them."""


@dataclass(frozen=True, kw_only=True)
class Cross:
    """Counts of a block of generated images; `merge` joins blocks."""

    holders: Tensor  # int64 [rows]: real balls that hold each generated image of the block
    recalled: Tensor  # bool [N]: real images within a ball of the block
    nearest: Tensor  # float32 [N]: distance of each real image from the nearest of the block

    def merge(self, other: "Cross") -> "Cross":
        """Both blocks, this one first."""
        return Cross(
            holders=torch.cat([self.holders, other.holders]),
            recalled=self.recalled | other.recalled,
            nearest=torch.minimum(self.nearest, other.nearest),
        )


def distances(a: Tensor, b: Tensor, centre: Tensor) -> Tensor:
    """Euclidean distances float32 [n, m] of a [n, D] from b [m, D], computed in float64.

    Rounding the result to float32 makes equal distances equal, whichever tile they come from:
    an image copied from the other set lies exactly on a boundary or does not.

    Parameters
    ----------
    a, b : Tensor
        Features on one device.
    centre : Tensor
        float64 [D], near both: subtracted to keep their squares small.
    """
    a, b = a.double() - centre, b.double() - centre
    norms = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
    squares = norms - 2 * (a @ b.T)
    # Below this a square is rounding of |a|^2 + |b|^2 - 2ab: the vectors are equal.
    squares[squares < 1e-13 * norms] = 0
    return squares.sqrt().float()


def _tiles(rows: range) -> Iterator[range]:
    for start in range(rows.start, rows.stop, TILE):
        yield range(start, min(start + TILE, rows.stop))


def _of(x: Tensor, rows: range) -> Tensor:
    return x[rows.start : rows.stop]


def _centre(x: Tensor) -> Tensor:
    return x.mean(dim=0, dtype=torch.float64)


def radii(x: Tensor, k: int, rows: range | None = None) -> Tensor:
    """Distance float32 [rows] of vectors of x [N, D] from their k-th neighbour, self not counted.

    Parameters
    ----------
    x : Tensor
        Features; copies of a vector are its neighbours, at distance 0.
    k : int
        From 1 on.
    """
    if not 1 <= k < len(x):
        raise UserError(
            f"a {k}-th neighbour needs more than {k} images and k of at least 1, there are {len(x)}"
        )
    centre, distances_to_kth = _centre(x), []
    for part in _tiles(range(len(x)) if rows is None else rows):
        smallest = x.new_full((len(part), 0), 0, dtype=torch.float32)
        for other in _tiles(range(len(x))):
            tile = distances(_of(x, part), _of(x, other), centre)
            both = torch.cat([smallest, tile], dim=1)
            # One more than k: the vector itself is among them, at distance 0.
            smallest = both.topk(min(k + 1, both.shape[1]), dim=1, largest=False).values
        distances_to_kth.append(smallest[:, k])
    return torch.cat(distances_to_kth)


def nearest_of(x: Tensor, y: Tensor, leave: int = 0) -> tuple[Tensor, Tensor]:
    """Distance and number of the nearest vector of y.

    Parameters
    ----------
    x, y : Tensor
        Features [N, D] and [M, D], on one device.
    leave : int
        How many nearer ones are passed over: 1 where x are among y.

    Returns
    -------
    distances : Tensor
        float32 [N].
    indices : Tensor
        int64 [N].
    """
    centre = _centre(y)
    found: list[Tensor] = []
    at: list[Tensor] = []
    for part in _tiles(range(len(x))):
        values, indices = (torch.empty(len(part), 0, device=x.device) for _ in range(2))
        for other in _tiles(range(len(y))):
            few = distances(_of(x, part), _of(y, other), centre).topk(
                min(leave + 1, len(other)), dim=1, largest=False
            )
            values = torch.cat([values, few.values], dim=1)
            indices = torch.cat([indices.long(), few.indices + other.start], dim=1)
        order = values.argsort(dim=1, stable=True)[:, leave : leave + 1]
        found.append(values.gather(1, order)[:, 0])
        at.append(indices.gather(1, order)[:, 0])
    return torch.cat(found), torch.cat(at)


def cross(
    real: Tensor,
    fake: Tensor,
    real_radii: Tensor,
    fake_radii: Tensor,
    inside: Inside,
    rows: range | None = None,
) -> Cross:
    """Who lies in whose balls.

    Parameters
    ----------
    real, fake : Tensor
        Features [N, D] and [M, D], on one device.
    real_radii, fake_radii : Tensor
        float32 [N] and [M], from `radii`.
    inside : {CLOSED, OPEN}
        Compares a distance with a radius.
    rows : range, optional
        Generated images of this block; by default all.
    """
    centre, holders = _centre(real), []
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    nearest = torch.full((len(real),), torch.inf, device=real.device)
    for part in _tiles(range(len(fake)) if rows is None else rows):
        held = torch.zeros(len(part), dtype=torch.int64, device=real.device)
        for other in _tiles(range(len(real))):
            tile = distances(_of(fake, part), _of(real, other), centre)  # [fake, real]
            held += inside(tile, _of(real_radii, other)).sum(dim=1)
            _of(recalled, other).logical_or_(
                inside(tile, _of(fake_radii, part)[:, None]).any(dim=0)
            )
            column = _of(nearest, other)
            column.copy_(torch.minimum(column, tile.amin(dim=0)))
        holders.append(held)
    return Cross(holders=torch.cat(holders), recalled=recalled, nearest=nearest)


def summarise(parts: Cross, real_radii: Tensor, k: int, inside: Inside) -> Manifold:
    """Shares, from the merged blocks of all generated images."""
    holders, count = parts.holders, len(parts.holders)
    total, squares = int(holders.sum()), int(holders.square().sum())  # whole: no order matters
    precision = float((holders > 0).double().mean())
    variance = (squares - total**2 / count) / max(count - 1, 1)
    # Equal counts tell no spread: then as if each image were held by k balls or none.
    spread = math.sqrt(max(variance, 0.0) / count) / k
    return Manifold(
        precision=precision,
        recall=float(parts.recalled.double().mean()),
        density=total / count / k,
        coverage=float(inside(parts.nearest, real_radii).double().mean()),
        precision_stderr=rate_stderr(precision, count),
        density_stderr=spread or rate_stderr(precision, count),
    )


def measure(real: Tensor, fake: Tensor, k: int, inside: Inside) -> tuple[Manifold, str]:
    """All four numbers, and a note where balls have no radius."""
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    parts = cross(real, fake, real_radii, fake_radii, inside)
    empty = [
        f"{int((some == 0).sum())} of {len(some)} {name} images"
        for name, some in (("real", real_radii), ("generated", fake_radii))
        if bool((some == 0).any())
    ]
    holds = "nothing" if inside is OPEN else "copies alone"
    note = f"{' and '.join(empty)} have {k} copies or more: their balls hold {holds}"
    return summarise(parts, real_radii, k, inside), note if empty else ""


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall: a ball holds its boundary.

    Returns precision and recall, 0 to 1.

    Parameters
    ----------
    real, fake : Tensor
        Features [N, D] and [M, D], on one device.
    k : int
        A ball reaches to the k-th neighbour, the image itself not counted.
    """
    measured, _ = measure(real, fake, k, CLOSED)
    return measured.precision, measured.recall


def prdc(real: Tensor, fake: Tensor, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage of Naeem et al.: a ball has no boundary.

    Parameters
    ----------
    real, fake : Tensor
        Features [N, D] and [M, D], on one device.
    k : int
        A ball reaches to the k-th neighbour, the image itself not counted.
    """
    return measure(real, fake, k, OPEN)[0]


def precision_recall_values(
    settings: PrSettings, fake: ImageFeatures, real: ImageFeatures
) -> list[Value]:
    """Precision with its standard error over generated images, and recall."""
    x, y = fake.tensor(), real.tensor()
    measured, note = measure(y, x, settings.k, CLOSED)
    own = marks(settings, fake.detector, usual="vgg16")
    name = f"pr{count_and_k(settings.num, settings.k)}{suffix(settings)}"
    precision = Value(
        name=f"{name}_precision{own}",
        value=measured.precision,
        stderr=measured.precision_stderr,
        details=error_details(),
        notes=[note],
    )
    return [precision, Value(name=f"{name}_recall{own}", value=measured.recall, notes=[note])]


def prdc_values(settings: PrdcSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """The four numbers, of balls without their boundary."""
    x, y = fake.tensor(), real.tensor()
    measured, note = measure(y, x, settings.k, OPEN)
    own = marks(settings, fake.detector, usual="vgg16")
    name = f"prdc{count_and_k(settings.num, settings.k)}{suffix(settings)}"
    return [
        Value(
            name=f"{name}_{kind}{own}",
            value=value,
            stderr=stderr,
            details=error_details() if stderr else {},
            notes=[note],
        )
        for kind, value, stderr in (
            ("density", measured.density, measured.density_stderr),
            ("coverage", measured.coverage, None),
            ("precision", measured.precision, measured.precision_stderr),
            ("recall", measured.recall, None),
        )
    ]
