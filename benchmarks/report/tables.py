"""Cells, columns and legends of the tables of a report."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.jobs import KIND_OF
from benchmarks.outcomes import Outcome, Request, TrainingState
from stylegan_eval.metrics import METRICS
from stylegan_eval.report.paper import QUANTITIES
from stylegan_eval.results.formatting import duration, number_plain, with_error
from stylegan_eval.results.published import has_published_unit
from stylegan_eval.results.results import note_lines
from stylegan_eval.results.significance import Sample


@dataclass(frozen=True, kw_only=True)
class Column:
    """One quantity of a table."""

    metric: str  # As in `Outcome`
    condition: str  # Likewise
    measured_as: tuple[str, ...] = ()
    """Names of what was really measured, in order; more than one cannot be compared."""
    protocols: tuple[str, ...] = ()  # Likewise
    unlike: tuple[str, ...] = ()
    """What differs between measurements that would have to be alike, in words; see `unlike`."""
    published: Mapping[str, float] = field(default_factory=dict)
    """The paper's numbers by the keys of lines, where it has one."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is the better one."""
        return bool(METRICS[KIND_OF[self.metric]].higher_is_better)

    @property
    def published_unit(self) -> bool:
        """Whether what was measured has the unit of the paper's number."""
        return all(has_published_unit(self.metric, name) for name in self.measured_as)

    @property
    def comparable(self) -> bool:
        """Whether all of it was measured in one way but for the latent space."""
        return not self.unlike

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names without the latent space, which is in the table's line."""
        return tuple(dict.fromkeys(map(_without_space, self.measured_as)))

    @property
    def published_heading(self) -> str:
        """The paper's name of the metric."""
        return QUANTITIES.get(self.metric, self.metric)

    @property
    def heading(self) -> str:
        """Column heading: the paper's name only for the paper's unit."""
        one_name = len(self.names) == 1 and not self.published_unit
        name = self.names[0] if one_name else self.published_heading
        name = name[0].upper() + name[1:] if self.published_unit else name
        condition = self.condition.replace("=", " ")
        return f"{name}, {condition}" if condition else name

    @property
    def published_words(self) -> dict[str, str]:
        """The paper's numbers by line, all with the decimals that the longest has."""
        numbers = self.published
        decimals = max((len(f"{x:.10g}".partition(".")[2]) for x in numbers.values()), default=0)
        return {key: f"{value:.{decimals}f}" for key, value in numbers.items()}

    @property
    def paper_heading(self) -> str:
        """Over the published numbers: what they are, where it is not what was measured."""
        return "paper" if self.published_unit else f"paper, {self.published_heading}"


def _without_space(name: str) -> str:
    """'ppl_wfull[x]' is 'ppl_full[x]', 'ls_z' is 'ls'."""
    return re.sub(r"^ls_[zw]", "ls", re.sub(r"^ppl_[zw]", "ppl_", name))


def unlike(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What differs in how numbers of one column were measured, in words; what is unknown does not.

    The latent space of path length and separability is in their names, which are compared without
    it, and in their protocols, which are compared within one space.
    """
    seen: dict[tuple[str, str], dict[str, None]] = {}
    for outcome in outcomes:
        name = _without_space(outcome.measured_as)
        space = "" if name == outcome.measured_as else outcome.space
        ways = {
            ("metric", ""): name,
            ("protocol", space): outcome.protocol,
            **{(column, ""): value for column, value in outcome.conditions},
        }
        for way, value in ways.items():
            if value:
                seen.setdefault(way, {})[value] = None
    return tuple(
        f"{name} {' or '.join(map(_short, values))}"
        for (name, _), values in seen.items()
        if len(values) > 1
    )


def _short(value: str) -> str:
    """The beginning of a digest; other values whole."""
    return value[:12] if re.fullmatch("[0-9a-f]{64}", value) else value


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One line in one column, over its seeds."""

    outcomes: tuple[Outcome, ...]  # One per seed; at least one

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Those with a number."""
        done = (o for o in self.outcomes if o.state == "done" and o.value is not None)
        return tuple(o for o in done if math.isfinite(o.value or 0))

    @property
    def unlike(self) -> tuple[str, ...]:
        """What differs between its seeds' measurements, which then have no mean; see `unlike`."""
        return unlike(self.done)

    @property
    def sample(self) -> Sample | None:
        """Values over seeds; None where there is none, or where they were not measured alike."""
        values = tuple(o.value for o in self.done if o.value is not None)
        if self.unlike or not values:
            return None
        trainings = [o.training.name for o in self.done if o.training is not None]
        return Sample(
            values=values,
            stderrs=tuple(o.stderr for o in self.done),
            freedoms=tuple(o.freedom for o in self.done),
            units=tuple(trainings) if len(trainings) == len(values) else (),
            seeds=tuple(o.seed for o in self.done) if len(values) == len(self.done) else (),
        )

    @property
    def published(self) -> float | None:
        """The paper's number."""
        return next((o.published for o in self.outcomes if o.published is not None), None)

    def seeds(self, state: str) -> list[int]:
        """Seeds in this state."""
        return [o.seed for o in self.outcomes if o.state == state]


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One line of a table: its cells by column; a cell may be missing."""

    key: str
    label: str
    space: str
    cells: tuple[Cell | None, ...]

    def measurements(self, column: int) -> set[tuple[str, str]]:
        """Names of trainings and measurements that the numbers of a cell are from."""
        cell = self.cells[column]
        outcomes = () if cell is None else cell.done
        return {(o.training.name, o.measurement) for o in outcomes if o.training and o.measurement}


@dataclass(frozen=True, kw_only=True)
class Section:
    """One request: what the report shows under one heading."""

    request: Request
    columns: tuple[Column, ...]
    lines: tuple[TableRow, ...]
    trainings: tuple[TrainingState, ...]

    @property
    def common_n(self) -> int | None:
        """Seeds of every cell that has any; None where they are not as many in each."""
        cells = [cell for line in self.lines for cell in line.cells if cell is not None]
        counts = {len(cell.done) for cell in cells if cell.sample is not None}
        return counts.pop() if len(counts) == 1 else None

    def samples(self, column: int) -> dict[str, Sample]:
        """Values of each line that has any, in the order of the lines; see `same_lines`."""
        samples: dict[str, Sample] = {}
        for key, lines in self.same_lines(column).items():
            outcomes: dict[int, Outcome] = {}  # each training counts once
            for line in lines:
                cell = line.cells[column]
                for outcome in () if cell is None else cell.done:
                    outcomes.setdefault(outcome.seed, outcome)
            sample = Cell(outcomes=tuple(outcomes.values())).sample
            if sample is not None:
                samples[key] = sample
        return samples

    def same_lines(self, column: int) -> dict[str, list[TableRow]]:
        """Lines by the key of the first that shares a measurement with them.

        FID does not depend on the latent space: one network has the same FID in its Z and W lines.
        """
        groups: dict[str, list[TableRow]] = {}
        for line in self.lines:
            of = line.measurements(column)
            first = next(
                (key for key, [other, *_] in groups.items() if of & other.measurements(column)),
                line.key,
            )
            groups.setdefault(first, []).append(line)
        return groups


def sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """Group outcomes by request, line and column, each in its first order."""
    by_request: dict[Request, list[Outcome]] = {}
    for outcome in outcomes:
        by_request.setdefault(outcome.request, []).append(outcome)
    return [_section(request, members) for request, members in by_request.items()]


def _section(request: Request, outcomes: Sequence[Outcome]) -> Section:
    quantities = list(dict.fromkeys((o.metric, o.condition) for o in outcomes))
    lines: dict[str, dict[tuple[str, str], list[Outcome]]] = {}
    for outcome in outcomes:
        cells = lines.setdefault(outcome.line, {})
        cells.setdefault((outcome.metric, outcome.condition), []).append(outcome)
    trainings = {o.training.name: o.training for o in outcomes if o.training is not None}
    return Section(
        request=request,
        columns=tuple(_column(quantity, outcomes) for quantity in quantities),
        lines=tuple(_line(key, cells, quantities) for key, cells in lines.items()),
        trainings=tuple(trainings.values()),
    )


def _column(quantity: tuple[str, str], outcomes: Sequence[Outcome]) -> Column:
    cells = [o for o in outcomes if (o.metric, o.condition) == quantity]
    members = [o for o in cells if o.state == "done"]
    return Column(
        metric=quantity[0],
        condition=quantity[1],
        measured_as=tuple(dict.fromkeys(o.measured_as for o in members if o.measured_as)),
        protocols=tuple(dict.fromkeys(o.protocol for o in members if o.protocol)),
        unlike=unlike(members),
        published={o.line: o.published for o in cells if o.published is not None},
    )


def _line(
    key: str,
    cells: dict[tuple[str, str], list[Outcome]],
    quantities: Sequence[tuple[str, str]],
) -> TableRow:
    first = next(iter(cells.values()))[0]
    return TableRow(
        key=key,
        label=first.label,
        space=first.space,
        cells=tuple(
            Cell(outcomes=tuple(cells[quantity])) if quantity in cells else None
            for quantity in quantities
        ),
    )


def cell_value(cell: Cell, common_n: int | None = None) -> str:
    """Mean and its error, with n where it is not the common one; empty while there is none."""
    sample = cell.sample
    if sample is None:
        return ""
    n = len(sample.values)
    count = "" if n == common_n else f" (n = {n})"
    if n > 1:
        return with_error(sample.mean, sample.std) + count
    marked = "" if sample.measuring is None else "*"
    return f"{with_error(sample.mean, sample.measuring)}{marked}{count}"


def cell_troubles(cell: Cell) -> list[tuple[str, str]]:
    """Missing seeds as (state, text), failures with their reason."""
    troubles: list[tuple[str, str]] = [
        (o.state, f"seed {o.seed} {o.state}: {o.reason or 'no reason was written down'}")
        for o in cell.outcomes
        if o.state in ("failed", "undefined")
    ]
    troubles += [
        ("failed", f"seed {o.seed} gave no number ({o.value})")
        for o in cell.outcomes
        if o.state == "done" and o not in cell.done
    ]
    if cell.unlike:
        values = ", ".join(
            f"seed {o.seed} {with_error(o.value or 0.0, o.stderr)}" for o in cell.done
        )
        ways = "; ".join(cell.unlike)
        troubles.append(("failed", f"no mean: measured in unlike ways ({ways}): {values}"))
    for state in ("running", "waiting"):
        seeds = cell.seeds(state)
        if seeds:
            plural = "s" if len(seeds) > 1 else ""
            troubles.append((state, f"{state} (seed{plural} {', '.join(map(str, seeds))})"))
    return troubles


def legend(section: Section) -> list[str]:
    """Legend of a table."""
    cells = [cell for line in section.lines for cell in line.cells if cell is not None]
    sizes = {len(cell.sample.values) for cell in cells if cell.sample is not None}
    lines = []
    if max(sizes, default=0) > 1:
        n = section.common_n
        lines.append(f"Mean ± standard deviation over {'n' if n is None else f'n = {n}'} seeds.")
    single = [cell.sample for cell in cells if cell.sample and len(cell.sample.values) == 1]
    if any(sample.measuring is not None for sample in single):
        lines.append(
            "* One seed (n = 1): ± is the standard error of the measurement alone; how much"
            " another seed would give is not known."
        )
    if any(sample.measuring is None for sample in single):
        lines.append("Without ±: one seed (n = 1), and no standard error of the measurement.")
    if any(cell.published is not None for cell in cells):
        lines.append("Under 'paper': the published value.")
    return lines + _units(section.columns)


def _units(columns: Sequence[Column]) -> list[str]:
    """Notes on columns that are not measured as in the paper."""
    lines: dict[str, None] = {}
    for column in columns:
        if not column.published_unit:
            verb = "is" if len(column.names) == 1 else "are"
            lines[
                f"{', '.join(column.names)} {verb} not the paper's"
                f" {column.published_heading}: compare the order, not the values."
            ] = None
        if not column.comparable:
            lines[
                f"{column.heading}: its cells were measured in unlike ways"
                f" ({'; '.join(column.unlike)}) and are not compared with each other."
            ] = None
    return list(lines)


def notes(section: Section) -> list[str]:
    """The notes of the measurements, each with the cells whose number it is of."""
    return note_lines(
        (f"{column.heading} of {line.key}, seed {outcome.seed}", outcome.note)
        for line in section.lines
        for column, cell in zip(section.columns, line.cells, strict=True)
        for outcome in (() if cell is None else cell.done)
    )


def facts(section: Section) -> list[tuple[str, str]]:
    """Settings, time and machine of a section as (label, value) pairs."""
    request = section.request
    rows = [
        ("Scale", f"{request.scale}, {number_plain(request.kimg)} kimg per training"),
        ("Losses and published numbers", {"ffhq": "FFHQ", "celebahq": "CelebA-HQ"}.get(
            request.dataset, request.dataset)),
        ("Data", request.data),
    ]  # fmt: skip
    protocols = list(dict.fromkeys(p for column in section.columns for p in column.protocols))
    if protocols:
        rows.append(("Measured", "; ".join(protocols)))
    if section.trainings:
        seconds = math.fsum(training.seconds for training in section.trainings)
        rows.append(
            ("Time", f"{duration(seconds)} for {_count(section.trainings)}, with measuring")
        )
        machines = dict.fromkeys(t.machine for t in section.trainings if t.machine)
        rows.append(("Machine", "; ".join(machines)))
    return rows


def _count(trainings: Sequence[TrainingState]) -> str:
    """'12 trainings', or how many of them are done."""
    done = sum(bool(training.machine) for training in trainings)
    begun = sum(training.seconds > 0 and not training.machine for training in trainings)
    plural = "s" if len(trainings) > 1 else ""
    if done == len(trainings):
        return f"{done} training{plural}"
    parts = f" and the beginning of {begun}" if begun else ""
    return f"{done} of {len(trainings)} training{plural} that are done{parts}"
