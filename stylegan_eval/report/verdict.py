"""The first part of a report: who is better in what, what is undecided, what may not be quoted."""

from collections.abc import Sequence
from pathlib import Path

from stylegan_eval.report import shell
from stylegan_eval.report.paper import quantity_of
from stylegan_eval.report.shell import sentence
from stylegan_eval.report.tables import Line, apart_note, named, value
from stylegan_eval.results.published import has_published_unit

_MOST = 3  # names in a row
_ANOTHER_TRAINING = "another training of the same network may differ by more than these errors"


def verdict(lines: Sequence[Line]) -> list[str]:
    """Three sentences on the lines of a table; none where nothing was measured.

    A generator is called the best only where its differences from all others are beyond noise by
    the tests of the table.
    """
    if not lines:
        return []
    labels = {label for line in lines for label in line.cells}
    if len(labels) == 1:
        return [_measured(lines), _errors(lines), _not_to_be_quoted(lines)]
    return [_winners(lines, len(labels)), _open(lines), _not_to_be_quoted(lines)]


def _measured(lines: Sequence[Line]) -> str:
    """Of a single generator: what its metrics gave."""
    [label] = {label for line in lines for label in line.cells}
    values = [f"{name} {value(line.any)}" for name, line in named(lines) if line.ranked]
    if not values:
        return f"{label} has no number yet."
    return f"{label} alone was measured, so nothing here is a comparison: {_listed(values)}."


def _errors(lines: Sequence[Line]) -> str:
    """Of a single generator: how well its values are known."""
    known = [line.any for line in lines if line.ranked and line.any.stderr is not None]
    count = sum(bool(line.ranked) for line in lines)
    if not known:
        return "No standard error is known: how much other images would give is open."
    of_all = "each value" if len(known) == count else f"{len(known)} of {count} values"
    ratios = {
        name: (line.any.stderr or 0.0) / abs(line.any.value)
        for name, line in named(lines)
        if line.ranked and line.any.value and line.any.stderr is not None
    }
    widest = max(ratios, key=lambda name: ratios[name], default="")
    most = f"; the least certain is {widest}, to {_percent(ratios[widest])}" if widest else ""
    return f"A standard error is known of {of_all}{most}."


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "less than 1%"


def _winners(lines: Sequence[Line], count: int) -> str:
    """Who is the best beyond noise, and in what."""
    wins: dict[str, list[str]] = {}
    compared = 0
    for name, line in named(lines):
        compared += len(line.ranked) > 1
        if len(line.best) == 1:
            few = "" if len(line.ranked) == count else f" (of {len(line.ranked)} that have it)"
            wins.setdefault(line.best[0], []).append(f"{name}{few}")
    if not compared:
        return "No metric was measured of two generators in one way: nothing can be compared."
    word = "better" if count == 2 else "best"
    if not wins:
        metrics = f"any of {compared} metrics" if compared > 1 else "the one metric compared"
        return f"No generator is the {word} by more than the noise of measuring in {metrics}."
    parts = [f"{label} is the {word} in {_listed(names)}" for label, names in wins.items()]
    won = sum(map(len, wins.values()))
    of_all = f" ({won} of {compared} metrics)" if compared > 1 else ""
    return f"By more than the noise of measuring, {_listed(parts, '; ')}{of_all}."


def _open(lines: Sequence[Line]) -> str:
    """Where several may be the best, and where the noise is unknown."""
    ties = [f"{name}{_tied(line)}" for name, line in named(lines) if len(line.best) > 1]
    several = [(name, line) for name, line in named(lines) if len(line.ranked) > 1]
    middle = [name for name, line in several if line.higher_is_better is None]
    unknown = [name for name, line in several if not line.best and name not in middle]
    alone = [name for name, line in named(lines) if len(line.ranked) == 1]
    if not any(line.ranked for line in lines):
        return "No generator has a number yet."
    parts = []
    if ties:
        parts.append(f"within the noise of the best: {_listed(ties)}")
    if unknown:
        parts.append(f"no generator is ahead where the noise is unknown: {_listed(unknown)}")
    if middle:
        parts.append(f"no direction is known to be better: {_listed(middle)}")
    if alone:
        parts.append(f"not compared, as one generator alone has it: {_listed(alone)}")
    text = "; ".join(parts) or "every comparison with the best is beyond that noise"
    return f"{text[0].upper()}{text[1:]}."


def _tied(line: Line) -> str:
    """Who may be the best; nothing where that is all of two."""
    if len(line.ranked) == 2:
        return ""
    few = len(line.best) <= _MOST
    return f" ({', '.join(line.best) if few else f'{len(line.best)} of {len(line.ranked)}'})"


def _not_to_be_quoted(lines: Sequence[Line]) -> str:
    noted = [
        name
        for name, line in named(lines)
        if any(row["note"] for row in line.cells.values()) or apart_note(line)
    ]
    names = [line.metric for line in lines]
    unlike = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    foreign = list(dict.fromkeys(name for name in names if _is_another_unit(name)))
    parts = []
    if noted:
        parts.append(f"without its note below: {_listed(noted)}")
    if foreign:
        parts.append(f"as if in the unit of the paper: {_listed(foreign)}")
    if unlike:
        parts.append(f"across protocols: {_listed(unlike)}")
    if not parts:
        return f"{_ANOTHER_TRAINING[0].upper()}{_ANOTHER_TRAINING[1:]}."
    return f"Not to be quoted {'; '.join(parts)}; {_ANOTHER_TRAINING}."


def _is_another_unit(metric: str) -> bool:
    quantity = quantity_of(metric)
    return quantity is not None and not has_published_unit(quantity[0], metric)


def _listed(names: Sequence[str], between: str = ", ") -> str:
    """The first few, and how many more."""
    more = len(names) - _MOST
    shown = between.join(names if more <= 1 else names[:_MOST])
    return shown if more <= 1 else f"{shown} and {more} more"


def verdict_part(lines: Sequence[Line], base: Path) -> str:
    """The part at the top of the page."""
    sentences = "".join(f"<p>{shell.text(sentence(words, base))}</p>" for words in verdict(lines))
    return f'<div class="verdict" role="note">{sentences}</div>' if sentences else ""
