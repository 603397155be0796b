"""The error of a difference of two results: real images that both were measured on cancel.

Given the real images, two generators differ by their own images alone. Other real images y would
move the difference by the mean of IF_a(y) - IF_b(y), small where both are moved alike. A result
keeps random projections of its IF(y): these subtract, and their mean square is the variance.
"""

import base64
import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.results.results import FREEDOM, REDRAWN, freedom, words_of
from stylegan_eval.results.significance import LARGEST, freedom_of, known

# In `details`: scale, noise and the projections.
PROJECTED = "reals-projected"
ALL_IMAGES = "images"  # `description` of a set all of which was measured
_COUNT = 96  # projections: the root of their mean square is known to 7 %
_LEVELS = 127

Cells = Mapping[str, str]


def projected(influence: NDArray[np.float64], count: int, noise: float) -> str:
    """Text that a result keeps of how its value moves with single real images.

    `influence`: IF(y) [n], up to a constant, of real images chosen without regard to the generator;
    `count`: all real images; `noise`: the part of the variance of `influence` that is of the
    generated images, whose error holds it.
    """
    bits = np.random.Philox(key=0).random_raw(math.ceil(len(influence) * _COUNT / 64))
    signs = np.unpackbits(bits.astype("<u8").view(np.uint8))[: len(influence) * _COUNT] * 2.0 - 1
    spread = (influence - influence.mean()) / math.sqrt((len(influence) - 1) * count)
    sums = spread @ signs.reshape(-1, _COUNT)
    scale = float(np.abs(sums).max()) or 1.0
    levels = np.round(sums * (_LEVELS / scale)).astype(np.int8)
    text = base64.urlsafe_b64encode(levels.tobytes()).decode("ascii")
    return f"{scale:.4g},{noise / count:.4g},{text}"


def _sums(text: str) -> tuple[NDArray[np.float64], float]:
    """Projections and noise."""
    scale, noise, levels = text.split(",")
    sums = np.frombuffer(base64.urlsafe_b64decode(levels), np.int8).astype(np.float64)
    sums *= float(scale) / _LEVELS
    within = 0 <= float(noise) <= LARGEST and bool((np.abs(sums) <= LARGEST).all())
    if len(sums) != _COUNT or not within:
        raise ValueError(f"{PROJECTED} are not {_COUNT} numbers")
    return sums, float(noise)


def of_shared(a: str, b: str) -> float:
    """Variance of the difference of two values from the choice of the real images of both."""
    (first, first_noise), (second, second_noise) = _sums(a), _sums(b)
    return max(float(np.square(first - second).mean()) - first_noise - second_noise, 0.0)


def check_errors(row: Cells) -> None:
    """Raise ValueError where the errors of a row of a table cannot be read."""
    details = words_of(row["details"])
    _check_number("stderr", row["stderr"], 0, LARGEST)
    _check_number(REDRAWN, details.get(REDRAWN, ""), 0, LARGEST)
    _check_number(FREEDOM, details.get(FREEDOM, ""), 1, math.inf)
    if text := words_of(row["details"]).get(PROJECTED):
        _sums(text)


def _check_number(column: str, text: str, least: float, most: float) -> None:
    try:
        fits = not text or least <= float(text) <= most
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{column} is {text!r:.60}; expected a number from {least:g} to {most:g}")


def stderr_of(row: Cells) -> float | None:
    """Standard error of a row with the real images held fixed, where it has one."""
    return known(float(row["stderr"] or "nan"), float(row["value"] or "nan"))


def generator_of(row: Cells) -> str:
    """The subject of a row: a generator, or the real images in place of one."""
    return row["generator"] or "real images"


def redrawn(row: Cells) -> float | None:
    """Standard error that holds the choice of real images, where the row has it."""
    found = words_of(row["details"]).get(REDRAWN)
    return float(found) if found else None


def same_images(a: Cells, b: Cells) -> bool:
    """Whether rows are of the same generated images: of one generator and seed, or a whole set."""
    if not a["generator_digest"] or a["generator_digest"] != b["generator_digest"]:
        return False
    return a["seed"] == b["seed"] or a["description"] == b["description"] == ALL_IMAGES


def reals(row: Cells) -> tuple[str, str, str] | None:
    """Which real images a row was compared with, None for none: content, number, seed of choice."""
    rule = reals_rule(row)
    chosen = rule in ("random", "disjoint-halves")
    return (row["data_digest"], row["data_count"], row["seed"] if chosen else "") if rule else None


def reals_rule(row: Cells) -> str:
    """How the real images were chosen; "" where there are none."""
    return words_of(row["protocol"]).get("reals", "")


def apart(rows: Collection[Cells]) -> bool:
    """Whether rows were compared with unlike real images."""
    return len({reals(row) for row in rows}) > 1


def variances(a: Cells, b: Cells) -> tuple[float, float | None] | None:
    """Variance of the difference of two rows from their generated and from the real images.

    None where the errors are not known; of the real ones, where these are held fixed.
    """
    errors = [stderr_of(row) for row in (a, b)]
    if None in errors:
        return None
    of_fakes = sum(error**2 for error in errors if error is not None)
    texts = [words_of(row["details"]).get(PROJECTED) for row in (a, b)]
    if apart((a, b)):
        both = [error for error in map(redrawn, (a, b)) if error is not None]
        of_both = sum(error**2 for error in both) if len(both) == 2 else None
        return of_fakes, None if of_both is None else max(of_both - of_fakes, 0.0)
    if texts[0] and texts[1] and a["data_digest"]:
        return of_fakes, of_shared(texts[0], texts[1])
    return of_fakes, 0.0 if reals(a) is None else None


def stderr_of_difference(a: Cells, b: Cells) -> float | None:
    """Root of the sum of `variances`."""
    found = variances(a, b)
    return None if found is None else math.sqrt(found[0] + (found[1] or 0.0))


def freedom_of_difference(a: Cells, b: Cells) -> float | None:
    """Degrees of freedom of `stderr_of_difference`; None where that counts as known, or is not."""
    found = variances(a, b)
    if found is None:
        return None
    of_rows = [((stderr_of(row) or 0.0) ** 2, freedom(row)) for row in (a, b)]
    return freedom_of([*of_rows, (found[1] or 0.0, None)])
