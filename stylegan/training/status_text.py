"""A run's status as lines for a terminal."""

from collections.abc import Iterator
from typing import Any

import click

from stylegan.training.run_status import PhaseTime, RunStatus
from stylegan.training.units import duration
from stylegan_eval.names import printable

_COLOUR = {"running": "green", "finished": "green", "stopped": "yellow"}
_TERMS = ("loss_D", "loss_G", "score_real", "score_fake", "r1", "gp", "fake_spread")


def status_lines(status: RunStatus) -> Iterator[str]:
    """Lines to print; colours are there for `click.echo` to take away where nobody looks."""
    config = status.config
    yield _style(status.folder, bold=True)
    mirror = ", mirrored" if config.mirror else ""
    size = f"{config.resolution}x{config.resolution}"
    yield _line("configuration", f"{config.name} ({config.change}), {size}{mirror}")
    yield _line("data", f"{printable(str(status.data))}, seed {status.seed}")
    yield _line("state", _state(status))
    if status.trouble and status.state == "running":
        yield _line("trouble", _style(status.trouble, fg="red"))
    yield _line("progress", _progress(status))
    if status.rows:
        yield from _last_row(status.rows[-1])
    for name, text in (("metrics", _metrics(status)), ("checkpoints", _checkpoints(status))):
        yield _line(name, printable(text))
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
    return click.style(printable(str(text)), **style)


def _state(status: RunStatus) -> str:
    name = _style(status.state, fg=_COLOUR[status.state])
    if status.state == "running":
        ago = "" if status.quiet is None else f", its last tick was {duration(status.quiet)} ago"
        return f"{name}: a process holds the run{ago}"
    if status.state == "finished":
        return name
    go_on = f"continue with stylegan-train --resume --out {printable(str(status.folder))}"
    if not status.trouble:
        return f"{name} without a word, killed perhaps: {go_on}"
    if status.trouble.startswith("stopped "):
        name = _style(status.trouble, fg=_COLOUR["stopped"])
        return name if "--resume" in status.trouble else f"{name}; {go_on}"
    if status.trouble.startswith("training collapsed"):
        return f"{name}: {printable(status.trouble)}"  # which says what to do
    return f"{name}: {printable(status.trouble)}; {go_on}"


def _progress(status: RunStatus) -> str:
    kimg, total = status.nimg / 1000, status.config.schedule.total_kimg
    text = f"kimg {kimg:.1f} of {total:.1f} ({min(kimg / total, 1):.0%})"
    if status.state != "finished" and status.left is not None:
        text += f", {duration(status.left)} left"
    return text if status.rows else f"{text}; no tick is over yet"


def _last_row(row: dict[str, Any]) -> Iterator[str]:
    size = row.get("resolution", "?")
    yield _line(
        "last tick",
        f"lod {_number(row, 'lod', '.2f')}, {size}x{size}, minibatch {row.get('minibatch', '?')},"
        f" learning rate {_number(row, 'lrate', 'g')}",
    )
    yield _line(
        "speed",
        f"{_number(row, 'img_per_s', '.1f')} img/s,"
        f" peak memory {_number(row, 'peak_memory_mib', '.0f')} MiB",
    )
    shown = [f"{key} {_number(row, key, '.4g')}" for key in _TERMS if key in row]
    if shown:
        yield _line("losses", "  ".join(shown))
    skipped = {name: row.get(f"skipped_{name}") or 0 for name in ("G", "D")}
    if any(skipped.values()):
        yield _line("skipped steps", f"G {skipped['G']:.0f}, D {skipped['D']:.0f}")


def _number(row: dict[str, Any], key: str, how: str) -> str:
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
    said = [f"{row.get('metric')} {_number(row, 'value', '.4f')}" for row in first.values()]
    text = f"kimg {newest / 1000:.1f}: {', '.join(said)}"
    if status.best is not None:
        best = status.best
        text += f"; best {best['metric']} {best['value']:.4f} at kimg {best['kimg']:.1f}"
    return text


def _checkpoints(status: RunStatus) -> str:
    if not status.checkpoints:
        return "none"
    text = f"{len(status.checkpoints)}, newest {status.checkpoints[-1].name}"
    return text if status.best is None else f"{text}; best.pt of kimg {status.best['kimg']:.1f}"


def _phase(phase: PhaseTime) -> str:
    point = phase.cost.point
    name = f"{'fade to ' if phase.fades else ''}{point.resolution}x{point.resolution}"
    speed = "" if phase.img_per_s is None else f"{phase.img_per_s:.1f}"
    spent = duration(phase.spent) if phase.spent else ""
    left = "?" if phase.left is None else duration(phase.left) if phase.left else "done"
    mark = ">" if phase.current and phase.left != 0 else " "
    return (
        f" {mark}{point.nimg / 1000:10.1f}  {name:<18} {speed:>7} {spent:>10} {left:>10}".rstrip()
    )
