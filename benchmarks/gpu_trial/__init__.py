"""Trial of a GPU: measures the claims about training and evaluation on this machine.

Runs from a checkout of the repository: the official numbers are data of its tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Part:
    """A row of the table of parts."""

    place: str  # ``module:name`` of a function from a `trial.GpuTrial` to its `claims.Check`s
    title: str


def _row(module: str, title: str, function: str = "checks") -> Part:
    return Part(place=f"{__name__}.{module}:{function}", title=title)


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "discipline": _row("discipline", "Steps never wait for the device"),
        "numbers": _row("numbers", "The official numbers"),
        "random": _row("random_numbers", "Random numbers"),
        "resume": _row("resume", "Resumed trainings"),
        "memory": _row("memory", "Memory"),
        "speed": _row("speed", "Speed of the training step"),
        "evaluation": _row("evaluation", "Evaluation"),
        "forecast": _row("speed", "Forecast of a training's length", "lengths"),
        "processes": _row("processes", "Several processes"),
    }
)
