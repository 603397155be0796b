"""How a folder of results stands, in words."""

from collections.abc import Iterator, Sequence

from benchmarks.outcomes import Outcome


def request_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for every cell of a request: its seeds' values beside the paper's."""
    cells: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        place = (outcome.line, outcome.space, outcome.metric, outcome.condition)
        cells.setdefault(place, []).append(outcome)
    width = max((len(outcome.label) for outcome in outcomes), default=0)
    for seeds in cells.values():
        first = seeds[0]
        what = " ".join(word for word in (first.metric, first.space, first.condition) if word)
        paper = "" if first.published is None else f"paper {first.published:g}"
        yield (
            f"{first.line:<16s} {first.label:<{width}s}  {what:<18s} "
            f"{'  '.join(map(_said, seeds))}  {paper}".rstrip()
        )


def _said(outcome: Outcome) -> str:
    if outcome.state == "failed":
        return f"seed {outcome.seed} failed: {outcome.reason}"
    if outcome.value is None:
        return f"seed {outcome.seed} {outcome.state}"
    return f"{outcome.value:.4g}"
