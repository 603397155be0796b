"""Status of a run from its folder, as text."""

import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import pandas as pd

from stylegan.checkpoint import checkpoints_in
from stylegan.configs import Config, config_from_dict
from stylegan.training.cost import Phase, phase_costs
from stylegan.training.evaluate import read_best
from stylegan.training.schedule import longer_kimg
from stylegan_eval.engine.files import atomic_write, is_held
from stylegan_eval.engine.processes import PROCESS_ENDED
from stylegan_eval.engine.untrusted import one_line, parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import duration, result_text
from stylegan_eval.results.run_folder import ADVICE, LOG, SETTINGS, TEXT_LOG, is_run, read_run
from stylegan_eval.results.significance import known

State = Literal["running", "finished", "stopped"]
# Words of train.log: of a process that begins, and of one that ends before its time.
_BEGINS = re.compile(
    r"config \S+,(?: images of \d+ channel\(s\),)? seed \d+, (?:.*from kimg ([\d.]+))?"
)
_COLLAPSED = re.compile(r"training collapsed at kimg ([\d.]+)")
_STOPPED_BY_IT = "go on regardless with --on-collapse warn"
_TROUBLE = ("training collapsed", "stopped by signal", "error:")
_COLOUR = {"running": "green", "finished": "green", "stopped": "yellow"}
_TERMS = ("loss_D", "loss_G", "score_real", "score_fake", "r1", "gp", "fake_spread")


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """One phase of the schedule, and the time it took or will take."""

    cost: Phase  # The phase
    spent: float  # Seconds of training so far, by the speeds in the log
    left: float | None  # Seconds left; None while no speed is known
    img_per_s: float | None  # Speed so far; None before its first tick
    current: bool  # Whether the run is in it


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """Status of a run, read from its folder."""

    folder: Path  # The folder
    config: Config  # What is trained
    data: str  # Path of the real images
    seed: int  # Seed of all randomness
    fixed_length: bool  # Whether it may become longer in another folder alone
    rows: list[dict[str, Any]]  # Of the log
    metrics: list[dict[str, Any]]  # Rows of the metrics
    unmeasured: list[dict[str, Any]]
    """Rows of what could not be measured, with an ``error``, since the last that could."""
    damaged: int  # Lines of both that cannot be read
    best: dict[str, Any] | None  # What ``best.json`` says
    checkpoints: list[Path]  # Oldest first
    state: State  # Whether a process holds the run, or it is at its end, or neither
    trouble: str  # The last trouble that its last process wrote down; empty where there was none
    collapse: str  # The collapse after which it was trained on; empty for none
    quiet: float | None  # Seconds since the last tick; None before the first
    phases: list[PhaseTime]  # The schedule

    @property
    def nimg(self) -> int:
        """Images shown at the last tick."""
        return int(self.rows[-1]["nimg"]) if self.rows else 0

    @property
    def best_collapsed(self) -> bool:
        """Whether the best checkpoint is of a time after the collapse."""
        found = _COLLAPSED.match(self.collapse)
        return bool(found and self.best and self.best["kimg"] >= float(found[1]))

    @property
    def left(self) -> float | None:
        """Seconds left in all phases; None while no speed is known."""
        known = [phase.left for phase in self.phases if phase.left is not None]
        return sum(known) if len(known) == len(self.phases) else None


def read_status(folder: Path) -> RunStatus:
    """Read a run's folder; what is missing or damaged in it is left out."""
    if not is_run(folder):
        what = "no run's folder" if folder.is_dir() else "no folder"
        raise UserError(
            f"{folder}: {what}: expected one that stylegan-train --out wrote, with a run.json"
        )
    run = read_run(folder)
    with parsing(folder / SETTINGS, "is damaged or of another version", ADVICE):
        config = config_from_dict(run.content["config"])
        data, seed = str(run.content["data"]), int(run.content["seed"])
    last = max((row["nimg"] for row in run.metrics), default=-1)
    done = {(row["nimg"], row.get("asked")) for row in run.metrics}
    nimg = int(run.log[-1]["nimg"]) if run.log else 0
    state: State = "finished" if nimg >= config.schedule.total_kimg * 1000 else "stopped"
    log = folder / TEXT_LOG
    return RunStatus(
        folder=folder,
        config=config,
        data=data,
        seed=seed,
        fixed_length=run.content.get("fixed_length") is True,
        rows=run.log,
        metrics=run.metrics,
        unmeasured=[
            row
            for row in run.failed
            if row["nimg"] >= last and (row["nimg"], row.get("asked")) not in done
        ],
        damaged=run.damaged,
        best=read_best(folder),
        checkpoints=checkpoints_in(folder),
        state="running" if is_held(log) else state,
        trouble=last_trouble(log),
        collapse=collapse_in(log),
        quiet=time.time() - (folder / LOG).stat().st_mtime if run.log else None,
        phases=phase_times(phase_costs(config), run.log),
    )


def last_trouble(log: Path) -> str:
    """Last error or stop that the last process logged; empty for none."""
    trouble = ""
    for words in _logged(log):
        if _BEGINS.match(words):
            trouble = ""
        elif words.startswith(_TROUBLE) and not (trouble and words.endswith(PROCESS_ENDED)):
            trouble = words
    return trouble


def collapse_in(log: Path) -> str:
    """The collapse after which a run was trained on; empty where it begins before it again."""
    collapse, collapsed = "", 0.0
    for words in _logged(log):
        if begun := _BEGINS.match(words):
            if float(begun[1] or 0) < collapsed:
                collapse = ""
        elif (found := _COLLAPSED.match(words)) and not collapse and _STOPPED_BY_IT not in words:
            collapse, collapsed = words, float(found[1])
    return collapse


def _logged(log: Path) -> Iterator[str]:
    """Lines of ``train.log`` without their times."""
    if log.is_file():
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            yield line.partition("  ")[2]


def phase_times(costs: Sequence[Phase], rows: Sequence[dict[str, Any]]) -> list[PhaseTime]:
    """Time of each phase: the past from the log, the rest from the cost of its images."""
    seconds = [0.0] * len(costs)
    images = [0.0] * len(costs)
    nimg, rate = 0, 0.0  # floating-point operations per second, of the latest phase with a tick
    for row in rows:
        speed = row.get("img_per_s")
        shown, nimg = int(row["nimg"]) - nimg, int(row["nimg"])
        if not isinstance(speed, int | float) or speed <= 0 or shown <= 0:
            continue
        # A tick may reach over several phases: its time goes to each by what its images cost.
        parts = _overlaps(costs, nimg - shown, nimg)
        flop = [part * cost.flop_per_image for part, cost in zip(parts, costs, strict=True)]
        for at, part in enumerate(parts):
            images[at] += part
            seconds[at] += shown / speed * flop[at] / sum(flop)
        at = _phase_at(costs, nimg - 1)
        rate = images[at] / seconds[at] * costs[at].flop_per_image
    current = _phase_at(costs, nimg)
    return [
        PhaseTime(
            cost=cost,
            spent=seconds[at],
            left=_seconds_left(cost, nimg, rate),
            img_per_s=images[at] / seconds[at] if seconds[at] else None,
            current=at == current,
        )
        for at, cost in enumerate(costs)
    ]


def _phase_at(costs: Sequence[Phase], nimg: int) -> int:
    return max(sum(1 for cost in costs if cost.point.nimg <= nimg) - 1, 0)


def _overlaps(costs: Sequence[Phase], start: int, stop: int) -> list[int]:
    """Images start .. stop by phase; what lies beyond the end belongs to the last."""
    begins = [cost.point.nimg for cost in costs]
    ends = [*begins[1:], max(stop, begins[-1])]
    return [
        max(min(stop, end) - max(start, begin), 0) for begin, end in zip(begins, ends, strict=True)
    ]


def _seconds_left(cost: Phase, nimg: int, rate: float) -> float | None:
    left = cost.images - min(max(nimg - cost.point.nimg, 0), cost.images)
    if left == 0:
        return 0.0
    return left * cost.flop_per_image / rate if rate > 0 else None


def ticks_and_metrics(status: RunStatus) -> pd.DataFrame:
    """The ticks, one row each; a metric stands in the first tick at or after it."""
    rows = [dict(row) for row in status.rows]
    for measured in status.metrics:
        later = [row for row in rows if row["nimg"] >= measured["nimg"]]
        if later:
            later[0][str(measured["metric"])] = measured["value"]
    return pd.DataFrame(rows)


def write_table(statuses: Sequence[RunStatus], path: Path) -> None:
    """Write the ticks as CSV; of several runs with a first column `run`."""
    table = ticks_and_metrics(statuses[0])
    if len(statuses) > 1:
        parts = [ticks_and_metrics(status).assign(run=str(status.folder)) for status in statuses]
        table = pd.concat(parts, ignore_index=True)
        table.insert(0, "run", table.pop("run"))
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def status_lines(status: RunStatus) -> Iterator[str]:
    """Lines to print, with colours that `click.echo` removes outside of a terminal."""
    config = status.config
    yield _style(status.folder, bold=True)
    mirror = ", mirrored" if config.mirror else ""
    size = f"{config.resolution}x{config.resolution}"
    yield _line("configuration", f"{config.name} ({config.change}), {size}{mirror}")
    yield _line("data", f"{one_line(str(status.data))}, seed {status.seed}")
    yield _line("state", _state(status))
    told = status.trouble if status.state == "stopped" else ""  # by its state
    for trouble in dict.fromkeys([status.collapse, status.trouble]):
        if trouble not in ("", told):
            yield _line("trouble", _style(trouble, fg="red"))
    yield _line("progress", _progress(status))
    if status.rows:
        yield from _last_row(status.rows[-1])
    for name, text in (("metrics", _metrics(status)), ("checkpoints", _checkpoints(status))):
        yield _line(name, one_line(text))
    if status.unmeasured:
        row = status.unmeasured[-1]
        text = f"{row.get('asked')} at kimg {row['nimg'] / 1000:.1f}: {row['error']}"
        yield _line("not measured", _style(text, fg="red"))
    if status.damaged:
        lines = "1 line" if status.damaged == 1 else f"{status.damaged} lines"
        yield _line("damaged", f"{lines} of log.jsonl or metrics.jsonl, left out here")
    yield ""
    yield "   from kimg  phase                img/s       time       left"
    yield from map(_phase, status.phases)


def _line(name: str, text: str) -> str:
    return f"  {name:<14} {text}"


def _style(text: object, **style: Any) -> str:
    return click.style(one_line(str(text)), **style)


def _state(status: RunStatus) -> str:
    name = _style(status.state, fg=_COLOUR[status.state])
    if status.state == "running":
        ago = "" if status.quiet is None else f", its last tick was {duration(status.quiet)} ago"
        return f"{name}: a process holds the run{ago}"
    again = f"stylegan-train --resume --out {shlex.quote(str(status.folder))}"
    if status.state == "finished":
        longer = longer_kimg(status.config, status.nimg)
        if status.fixed_length:
            again = shlex.join(
                ["stylegan-train", "--resume", str(status.folder), "--out", "FOLDER"]
            )
        return f"{name}; to train on: {one_line(again)} --kimg {longer}"
    go_on = f"continue with {one_line(again)}"
    if not status.trouble:
        return f"{name} without an error message (killed?): {go_on}"
    if status.trouble.startswith("stopped "):
        name = _style(status.trouble, fg=_COLOUR["stopped"])
        return name if "--resume" in status.trouble else f"{name}; {go_on}"
    if status.trouble.startswith("training collapsed"):
        return f"{name}: {one_line(status.trouble)}"  # which says what to do
    return f"{name}: {one_line(status.trouble)}; {go_on}"


def _progress(status: RunStatus) -> str:
    kimg, total = status.nimg / 1000, status.config.schedule.total_kimg
    text = f"kimg {kimg:.1f} of {total:.1f} ({min(kimg / total, 1):.0%})"
    if status.state != "finished" and status.left is not None:
        text += f", {duration(status.left)} left"
    return text if status.rows else f"{text}; no tick is over yet"


def _last_row(row: dict[str, Any]) -> Iterator[str]:
    size, minibatch = row.get("resolution", "?"), row.get("minibatch", "?")
    yield _line(
        "last tick",
        f"lod {number_text(row, 'lod', '.2f')}, {size}x{size}, minibatch {minibatch},"
        f" learning rate {number_text(row, 'lrate', 'g')}",
    )
    yield _line(
        "speed",
        f"{number_text(row, 'img_per_s', '.1f')} img/s,"
        f" peak memory {number_text(row, 'peak_memory_mib', '.0f')} MiB",
    )
    shown = [f"{key} {number_text(row, key, '.4g')}" for key in _TERMS if key in row]
    if shown:
        yield _line("losses", "  ".join(shown))
    skipped = {name: row.get(f"skipped_{name}") or 0 for name in ("G", "D")}
    if any(skipped.values()):
        yield _line("skipped steps", f"G {skipped['G']:.0f}, D {skipped['D']:.0f}")


def number_text(row: Mapping[str, Any], key: str, how: str) -> str:
    """A row's number in this format, or a question mark."""
    value = row.get(key)
    return format(value, how) if isinstance(value, int | float) else "?"


def _metrics(status: RunStatus) -> str:
    if not status.metrics:
        return "none measured"
    newest = max(int(row["nimg"]) for row in status.metrics)
    first: dict[Any, dict[str, Any]] = {}  # fid50k, not fid50k_inf
    for row in status.metrics:
        if row["nimg"] == newest:
            first.setdefault(row.get("asked"), row)
    values = [f"{row.get('metric')} {_measured(row)}" for row in first.values()]
    text = f"kimg {newest / 1000:.1f}: {', '.join(values)}"
    if status.best is not None:
        best = status.best
        text += f"; best {best['metric']} {_measured(best)} at kimg {best['kimg']:.1f}"
        text += ", after the collapse" if status.best_collapsed else ""
    return text


def _measured(row: Mapping[str, Any]) -> str:
    value, error = row.get("value"), row.get("stderr")
    if not isinstance(value, int | float):
        return "?"
    return result_text(value, known(error if isinstance(error, int | float) else None, value))


def _checkpoints(status: RunStatus) -> str:
    if not status.checkpoints:
        return "none"
    text = f"{len(status.checkpoints)}, newest {status.checkpoints[-1].name}"
    return text if status.best is None else f"{text}; best.pt of kimg {status.best['kimg']:.1f}"


def _phase(phase: PhaseTime) -> str:
    point = phase.cost.point
    name = f"{'fade to ' if phase.cost.fades else ''}{point.resolution}x{point.resolution}"
    speed = "" if phase.img_per_s is None else f"{phase.img_per_s:.1f}"
    spent = duration(phase.spent) if phase.spent else ""
    left = "?" if phase.left is None else duration(phase.left) if phase.left else "done"
    mark = ">" if phase.current and phase.left != 0 else " "
    return (
        f" {mark}{point.nimg / 1000:10.1f}  {name:<18} {speed:>7} {spent:>10} {left:>10}".rstrip()
    )
