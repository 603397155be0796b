"""Lines that `python -m benchmarks` prints: scales, tables, progress, plans of trainings."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.folder import FINISHED, ResultsFolder
from benchmarks.outcomes import Outcome, State, TrainingState, read_outcomes
from benchmarks.plan.machine import quick_estimates
from benchmarks.plan.model import Throughput, training_amounts, training_storage, work_of
from benchmarks.plan.official import check_line
from benchmarks.scales import SCALES, training_config
from benchmarks.tables import NETWORKS, TABLES
from stylegan.configs import Config
from stylegan_eval.results.formatting import duration, size_text, with_error
from stylegan_eval.results.results import note_lines

_STATES: tuple[State, ...] = ("done", "undefined", "running", "failed", "waiting")


def listing(device: str) -> Iterator[str]:
    """Scales, tables and rows, with the time of a training at each scale on this machine."""
    for scale in SCALES.values():
        yield f"{scale.name:10s}  {scale.description}"
    yield ""
    yield "Time of one training, one seed, on this machine (as idle as it was when last timed):"
    yield ""
    seconds = quick_estimates(
        {
            f"{network} {scale.name}": training_config(network, scale, "ffhq")
            for network in NETWORKS
            for scale in SCALES.values()
        },
        device,
    )
    widths = {name: max(len(name), 7) for name in SCALES}
    head = "  ".join(f"{name:>{width}s}" for name, width in widths.items())
    for table in TABLES.values():
        yield table.title
        yield f"  {table.name + ' --rows':34s}  {head}"
        for line in table.lines:
            times = "  ".join(
                f"{duration(seconds[f'{line.network} {name}']):>{width}s}"
                for name, width in widths.items()
            )
            yield f"  {line.key:16s} {_short(line.label or 'F'):17s}  {times}"
        networks = {line.network for line in table.lines}
        totals = {name: sum(seconds[f"{n} {name}"] for n in networks) for name in SCALES}
        times = "  ".join(f"{duration(totals[name]):>{width}s}" for name, width in widths.items())
        yield f"  {'in all':34s}  {times}"
        yield ""
    yield "Tables share trainings: what one has trained, the others only measure."


def _short(label: str) -> str:
    return label if len(label) <= 17 else label[:16] + "…"


def progress_lines(folder: ResultsFolder) -> Iterator[str]:
    """Progress of the requests of a folder."""
    yield f"{folder.path}: {folder.images}"
    for name in folder.request_names():
        outcomes = read_outcomes(folder, name)
        counts = Counter(outcome.state for outcome in outcomes)
        counted = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
        yield f"  {name}: {counted} of {len(outcomes)} cells"
        for training in dict.fromkeys(o.training for o in outcomes if o.training is not None):
            yield f"    {_progress([o for o in outcomes if o.training == training], training)}"
    yield from left_out(folder)


def left_out(folder: ResultsFolder) -> list[str]:
    """A line on finished trainings and measurements that no question names, if there are any."""
    cells = [cell for tree in folder.requests() for cell in tree["cells"]]
    finished = {of.parent.name for of in folder.path.glob(f"trainings/*/{FINISHED}")}
    trainings = finished.difference(cell["training"] for cell in cells)
    tables = {(of.parent.name, of.stem) for of in folder.path.glob("measurements/*/[!.]*.csv")}
    tables = {both for both in tables if both[0] not in trainings}
    tables = tables.difference((cell["training"], cell["measurement"]) for cell in cells)
    measurements = ["/".join(both) for both in sorted(tables)]
    names = [*sorted(trainings), *measurements]
    if not names:
        return []
    kinds = {"finished training": len(trainings), "measurement": len(measurements)}
    counts = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in kinds.items() if n]
    line = f"not shown, for no request in {folder.path / 'requests'} names"
    them = "them" if len(names) > 1 else "it"
    return [f"{line} {them}: {' and '.join(counts)} ({', '.join(names)})"]


def _progress(outcomes: Sequence[Outcome], training: TrainingState) -> str:
    states = [outcome.state for outcome in outcomes]
    trouble = [
        f"{state}: {outcome.reason}"
        for state in ("failed", "undefined")
        for outcome in outcomes
        if outcome.state == state
    ]
    if "running" in states:
        trouble = ["running"]
    reached = (
        f"{training.kimg:.1f} of {outcomes[0].request.kimg:g} kimg,"
        f" {states.count('done')} of {len(states)} cells"
    )
    return f"{training.name:36s} {'; '.join([reached, *trouble[:1]])}"


def request_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for every cell of a request: its seeds' values beside the paper's."""
    cells: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        place = (outcome.line, outcome.space, outcome.metric, outcome.condition)
        cells.setdefault(place, []).append(outcome)
    width = max((len(outcome.label) for outcome in outcomes), default=0)
    for seeds in cells.values():
        first = seeds[0]
        what = _quantity(first)
        paper = "" if first.published is None else f"paper {first.published:g}"
        yield (
            f"{first.line:<16s} {first.label:<{width}s}  {what:<18s} "
            f"{'  '.join(map(_said, seeds))}  {paper}".rstrip()
        )


def noted_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """The notes of the measurements of a request, each with the cells whose number it is of."""
    return note_lines(
        (f"{outcome.line} {_quantity(outcome)} seed {outcome.seed}", outcome.note)
        for outcome in outcomes
        if outcome.value is not None
    )


def _quantity(outcome: Outcome) -> str:
    return " ".join(word for word in (outcome.metric, outcome.space, outcome.condition) if word)


def _said(outcome: Outcome) -> str:
    if outcome.state in ("failed", "undefined"):
        return f"seed {outcome.seed} {outcome.state}: {outcome.reason}"
    if outcome.value is None:
        return f"seed {outcome.seed} {outcome.state}"
    return with_error(outcome.value, outcome.stderr)


_HEAD = (
    f"  {'params':>8s}  {'kimg':>7s}  {'EFLOP':>8s}  {'hours':>8s}  {'GPU-days':>8s}  {'disk':>8s}"
)


def plan_lines(
    trainings: Sequence[tuple[str, Config]],
    *,
    gpus: int,
    throughput: Throughput,
) -> Iterator[str]:
    """Needs of each training (name, configuration) on `gpus` GPUs, their sum, assumptions."""
    needs: dict[Config, NDArray[np.float64]] = {}  # seeds of a row need the same
    for _, config in trainings:
        if config not in needs:
            storage = training_storage(config, keeps_best=True)
            amounts = training_amounts(config, gpus=gpus)
            seconds = throughput.seconds(amounts)
            kimg, flop = config.schedule.total_kimg, amounts.flop * gpus
            needs[config] = np.array([kimg, flop, seconds, seconds * gpus, storage])
    width = max([len("in all"), *(len(name) for name, _ in trainings)])
    yield " " * width + _HEAD
    for name, config in trainings:
        parameters = work_of(config, config.resolution).parameters
        yield f"{name:{width}s}{_line(f'{parameters / 1e6:.1f}M', *needs[config])}"
    total = np.sum([needs[config] for _, config in trainings], axis=0)
    yield f"{'in all':{width}s}{_line('', *total)}"
    yield (
        f"hours: of one training on {gpus} x {throughput.name}, trainings one after the other;"
        " EFLOP: 1e18 operations of both networks' steps; disk: at most"
    )
    yield check_line()


def _line(
    parameters: str, kimg: float, flop: float, seconds: float, gpu_seconds: float, storage: float
) -> str:
    """All but the name, below `_HEAD`."""
    return (
        f"  {parameters:>8s}  {kimg:7,.0f}  {flop / 1e18:8.3g}  {seconds / 3600:8.1f}"
        f"  {gpu_seconds / 86400:8.2f}  {size_text(int(storage)):>8s}"
    )
