"""How many images a standard error takes, or a difference of two results."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import about, number, number_plain, with_error
from stylegan_eval.results.paired import (
    Cells,
    freedom_of_difference,
    generator_of,
    reals_rule,
    redrawn,
    stderr_of,
    variances,
)
from stylegan_eval.results.results import DEFINING, count_of, newest, words_of
from stylegan_eval.results.significance import LEVEL, difference_error

_FEWEST = 2  # images that any metric needs
_GROW = ("random", "first", "disjoint-halves")  # rules by which more images take more real ones
NOT_PLANNED = (
    "C_T is in standard deviations, so its error does not fall with the number of images, and"
    " nothing can be planned of it"
)


def images_for(stderr: float, grows: float, stays: float, num: int) -> float:
    """Number of images for a standard error; infinite where there is none.

    `grows`: variance with `num` images that falls with their number; `stays`: variance that does
    not.
    """
    wanted = stderr * stderr - stays  # infinite where it is too large for a float
    return max(num * grows / wanted, _FEWEST) if wanted > 0 else math.inf


def _images(row: Cells, stderr: float, of_fakes: float, of_reals: float) -> float:
    """`images_for` the variances of results that were measured like this one."""
    grows = reals_rule(row) in _GROW
    parts = (of_fakes + of_reals, 0.0) if grows else (of_fakes, of_reals)
    return images_for(stderr, *parts, int(row["num"]))


def _in_words(num: float, row: Cells) -> str:
    if math.isinf(num):
        return "more real images"
    subsets, _, size = words_of(row["protocol"]).get("subsets", "").partition("x")
    more = (
        f", --subsets {about(max(1.0, int(subsets) * num / int(row['num'])))}"
        if size and subsets.isdecimal()
        else ""
    )
    kept = words_of(row["protocol"]).get("keep", "")
    if kept.isdecimal():
        more += f", --keep {about(max(_FEWEST, int(kept) * num / int(row['num'])))}"
    return f"{about(num)}{' of each side' if reals_rule(row) in _GROW else ''}{more}"


def images_to_settle(a: Cells, b: Cells, level: float = LEVEL) -> float:
    """How many images of each would tell two rows apart if they differ as measured.

    Infinite where no number of generated images would; NaN where that is not known.
    """
    found = variances(a, b)
    if found is None or not count_of(a):
        return math.nan
    difference = float(b["value"]) - float(a["value"])
    error = difference_error(difference, level, freedom_of_difference(a, b))
    return _images(a, error, found[0], found[1] or 0.0)


def settling(a: Cells, b: Cells, level: float = LEVEL) -> str:
    """Advice on how to separate two rows that do not differ beyond noise; "" if unknown."""
    num = images_to_settle(a, b, level)
    none = float(a["value"]) == float(b["value"])  # no number finds a difference of 0
    if math.isnan(num) or none:
        return ""
    if math.isinf(num):
        return "no number of generated images would settle it: that takes more real ones"
    with_reals = " and as many real ones" if reals_rule(a) in _GROW else ""
    return (
        f"about {about(num)} images of each{with_reals} instead of {int(a['num']):,} would settle"
        " it, if they differ as measured"
    )


def for_error(rows: Sequence[Cells], stderr: float) -> list[dict[str, str]]:
    """A line for the newest result of each metric and generator with a standard error.

    How many images it takes for this one, with the real images held fixed and, where that is known,
    redrawn as well.
    """
    lines = []
    for row in _newest(rows):
        own = stderr_of(row)
        if own is None:
            continue
        both = redrawn(row)
        of_both = math.nan if both is None else _images(row, stderr, own**2, both**2 - own**2)
        lines.append(
            {
                "metric": row["metric"],
                "of": generator_of(row),
                "measured": f"{with_error(float(row['value']), own)} ({int(row['num']):,})",
                f"images for ± {number_plain(stderr)}": _in_words(
                    _images(row, stderr, own**2, 0.0), row
                ),
                "real ones redrawn": "" if both is None else _in_words(of_both, row),
            }
        )
    return lines


def for_difference(rows: Sequence[Cells], difference: float) -> list[dict[str, str]]:
    """A line for each pair of the newest results of a metric and protocol.

    How many images of each find this difference. A result without a partner stands for two such,
    the real images held fixed.
    """
    lines = []
    for a, b in _pairs(_newest(rows)):
        found = variances(a, b)
        if found is None:
            continue
        error = math.sqrt(found[0] + (found[1] or 0.0))
        wanted = difference_error(difference, freedom=freedom_of_difference(a, b))
        num = _images(a, wanted, found[0], found[1] or 0.0)
        names = dict.fromkeys(map(generator_of, (a, b)))
        measured = with_error(float(b["value"]) - float(a["value"]), error) if a is not b else ""
        lines.append(
            {
                "metric": a["metric"],
                "of": " and ".join(names) if a is not b else f"{a['generator']} and another",
                "measured": f"{measured or f'± {number(error)}'} ({int(a['num']):,})",
                f"images for {number_plain(difference)}": _in_words(num, a),
            }
        )
    return lines


def is_planned(row: Cells) -> bool:
    """Whether more images make the row's standard error smaller."""
    return re.match(r"ct\d", row["metric"]) is None


def _newest(rows: Sequence[Cells]) -> list[Cells]:
    planned = [row for row in rows if is_planned(row)]
    if rows and not planned:
        raise UserError(NOT_PLANNED)
    # No parts of a metric.
    whole = [row for row in planned if "/" not in row["metric"] and count_of(row)]

    def key(row: Cells) -> tuple[str, ...]:
        measured_of = row["generator_digest"] or row["generator"]
        return (row["metric"], measured_of, *(row[column] for column in DEFINING))

    return list(newest(whole, key).values())


def _pairs(rows: Sequence[Cells]) -> Iterator[tuple[Cells, Cells]]:
    groups: dict[tuple[str, ...], list[Cells]] = {}
    for row in rows:
        key = (row["metric"], *(row[column] for column in DEFINING))
        groups.setdefault(key, []).append(row)
    for group in groups.values():
        yield from itertools.combinations(group, 2) if len(group) > 1 else [(group[0], group[0])]
