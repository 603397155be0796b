"""The report in words: numbers with their errors, what is missing, what was asked for.

Plain text; the page and the Markdown escape it for themselves.
"""

import math
from collections.abc import Sequence

from benchmarks.report.tables import Cell, Column, Section
from stylegan_eval.words import duration, number_plain, with_error


def cell_value(cell: Cell, common_n: int | None = None) -> str:
    """Mean and its error, with n where it is not the common one; empty while there is none."""
    sample = cell.sample
    if sample is None:
        return ""
    n = len(sample.values)
    said = "" if n == common_n else f" (n = {n})"
    if n > 1:
        return with_error(sample.mean, sample.std) + said
    marked = "" if sample.measuring is None else "*"
    return f"{with_error(sample.mean, sample.measuring)}{marked}{said}"


def cell_troubles(cell: Cell) -> list[tuple[str, str]]:
    """What is not there: (state, words), a failure with its reason."""
    troubles = [
        ("failed", f"seed {o.seed} failed: {o.reason or 'no reason was written down'}")
        for o in cell.outcomes
        if o.state == "failed"
    ]
    troubles += [
        ("failed", f"seed {o.seed} gave no number ({o.value})")
        for o in cell.outcomes
        if o.state == "done" and o not in cell.done
    ]
    for state in ("running", "waiting"):
        seeds = cell.seeds(state)
        if seeds:
            plural = "s" if len(seeds) > 1 else ""
            troubles.append((state, f"{state} (seed{plural} {', '.join(map(str, seeds))})"))
    return troubles


def legend(section: Section) -> list[str]:
    """What the numbers of a table mean."""
    cells = [cell for line in section.lines for cell in line.cells if cell is not None]
    sizes = {len(cell.sample.values) for cell in cells if cell.sample is not None}
    said = []
    if max(sizes, default=0) > 1:
        n = section.common_n
        said.append(f"Mean ± standard deviation over {'n' if n is None else f'n = {n}'} seeds.")
    if 1 in sizes:
        said.append(
            "* One seed (n = 1): ± is the standard error of the measurement alone; how much"
            " another seed would give is not known."
        )
    if any(cell.published is not None for cell in cells):
        said.append("Under 'paper': the published value.")
    return said + _units(section.columns)


def _units(columns: Sequence[Column]) -> list[str]:
    """What must be said of a column that is not measured as the paper did."""
    said: dict[str, None] = {}
    for column in columns:
        if not column.published_unit:
            verb = "is" if len(column.names) == 1 else "are"
            said[
                f"{', '.join(column.names)} {verb} not the paper's"
                f" {column.published_heading}: compare the order, not the values."
            ] = None
        if not column.comparable:
            ways = column.protocols if column.unlike else column.measured_as
            said[
                f"{column.heading}: its cells were measured in unlike ways ({'; '.join(ways)}) and"
                " are not compared with each other."
            ] = None
    return list(said)


def facts(section: Section) -> list[tuple[str, str]]:
    """What was asked for and what it took: (word, value) pairs, the command apart."""
    request = section.request
    said = [
        ("Scale", f"{request.scale}, {number_plain(request.kimg)} kimg per training"),
        ("Losses and published numbers", {"ffhq": "FFHQ", "celebahq": "CelebA-HQ"}.get(
            request.dataset, request.dataset)),
        ("Data", request.data),
    ]  # fmt: skip
    protocols = list(dict.fromkeys(p for column in section.columns for p in column.protocols))
    if protocols:
        said.append(("Measured", "; ".join(protocols)))
    if section.trainings:
        seconds = math.fsum(training.seconds for training in section.trainings)
        count = len(section.trainings)
        plural = "s" if count > 1 else ""
        said.append(("Time", f"{duration(seconds)} for {count} training{plural}, with measuring"))
        machines = dict.fromkeys(t.machine for t in section.trainings if t.machine)
        said.append(("Machine", "; ".join(machines)))
    return said


def published_words(section: Section, at: int) -> dict[str, str]:
    """The paper's numbers of a column by line, all with the decimals that the longest has."""
    numbers = section.published(at)
    decimals = max((len(f"{x:.10g}".partition(".")[2]) for x in numbers.values()), default=0)
    return {key: f"{value:.{decimals}f}" for key, value in numbers.items()}
