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


def _tiles(count: int) -> Iterator[range]:
    for start in range(0, count, TILE):
        yield range(start, min(start + TILE, count))


def _of(x: Tensor, rows: range) -> Tensor:
    return x[rows.start : rows.stop]


def _centre(x: Tensor) -> Tensor:
    return x.mean(dim=0, dtype=torch.float64)


def radii(x: Tensor, k: int) -> Tensor:
    """Distance float32 [N] of vectors of x [N, D] from their k-th neighbour, self not counted.

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
    for part in _tiles(len(x)):
        smallest = x.new_full((len(part), 0), 0, dtype=torch.float32)
        for other in _tiles(len(x)):
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
    for part in _tiles(len(x)):
        values, indices = (torch.empty(len(part), 0, device=x.device) for _ in range(2))
        for other in _tiles(len(y)):
            few = distances(_of(x, part), _of(y, other), centre).topk(
                min(leave + 1, len(other)), dim=1, largest=False
            )
            values = torch.cat([values, few.values], dim=1)
            indices = torch.cat([indices.long(), few.indices + other.start], dim=1)
        order = values.argsort(dim=1, stable=True)[:, leave : leave + 1]
        found.append(values.gather(1, order)[:, 0])
        at.append(indices.gather(1, order)[:, 0])
    return torch.cat(found), torch.cat(at)


def measure(real: Tensor, fake: Tensor, k: int, inside: Inside) -> tuple[Manifold, str]:
    """All four numbers, and a note where balls have no radius.

    Parameters
    ----------
    real, fake : Tensor
        Features [N, D] and [M, D], on one device.
    k : int
        A ball reaches to the k-th neighbour, the image itself not counted.
    inside : {CLOSED, OPEN}
        Compares a distance with a radius: improved precision and recall are of balls with their
        boundary, density and coverage of balls without.
    """
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    centre, count = _centre(real), len(fake)
    holders = torch.zeros(count, dtype=torch.int64, device=real.device)  # balls that hold each fake
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    nearest = torch.full((len(real),), torch.inf, device=real.device)  # how far the next fake is
    for part in _tiles(count):
        for other in _tiles(len(real)):
            tile = distances(_of(fake, part), _of(real, other), centre)  # [fake, real]
            _of(holders, part).add_(inside(tile, _of(real_radii, other)).sum(dim=1))
            _of(recalled, other).logical_or_(
                inside(tile, _of(fake_radii, part)[:, None]).any(dim=0)
            )
            column = _of(nearest, other)
            column.copy_(torch.minimum(column, tile.amin(dim=0)))
    total, squares = int(holders.sum()), int(holders.square().sum())  # whole: no order matters
    precision = float((holders > 0).double().mean())
    variance = (squares - total**2 / count) / max(count - 1, 1)
    # Equal counts tell no spread: then as if each image were held by k balls or none.
    spread = math.sqrt(max(variance, 0.0) / count) / k
    measured = Manifold(
        precision=precision,
        recall=float(recalled.double().mean()),
        density=total / count / k,
        coverage=float(inside(nearest, real_radii).double().mean()),
        precision_stderr=rate_stderr(precision, count),
        density_stderr=spread or rate_stderr(precision, count),
    )
    empty = [
        f"{int((some == 0).sum())} of {len(some)} {name} images"
        for name, some in (("real", real_radii), ("generated", fake_radii))
        if bool((some == 0).any())
    ]
    holds = "nothing" if inside is OPEN else "copies alone"
    note = f"{' and '.join(empty)} have {k} copies or more: their balls hold {holds}"
    return measured, note if empty else ""


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
