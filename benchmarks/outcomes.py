"""One cell of a table for one seed: what was measured, or how it stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["done", "failed", "running", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to `python -m benchmarks run`."""

    table: str
    title: str
    """table, title: 'table1', and in words."""
    scale: str  # 'demo-32', say
    dataset: str  # Whose losses and published numbers
    kimg: float  # Length of the trainings
    data: str  # Name and number of the real images
    command: str  # What to type for it


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a training stands."""

    name: str  # 'A-seed0-1f2e3d4c5b', say
    folder: Path  # Of `stylegan-train`; may not exist yet
    network: str  # Key of `benchmarks.tables.NETWORKS`
    seed: int  # Its seed
    kimg: float  # How far it came
    seconds: float  # Wall time, measurements on the way included
    machine: str  # What it ran on; empty before its end


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A cell for one seed."""

    request: Request  # The table it belongs to
    line: str
    label: str
    """line, label: Key of the line; and in the paper's words."""
    space: str  # 'z', 'w' or empty
    metric: str  # 'fid', 'precision', 'recall', 'ppl_full', 'ppl_end' or 'separability'
    condition: str  # 'latents=2' or 'psi=0.7'; empty for plainly drawn images
    seed: int  # Of the training
    state: State  # How it stands
    reason: str = ""  # Why it failed
    value: float | None = None  # The number
    stderr: float | None = None  # Standard error of the measurement, where it is known
    measured_as: str = ""
    """Name of the metric that was measured: only Inception's distance is an FID."""
    protocol: str = ""  # How
    published: float | None = None  # The paper's number
    training: Training | None = None  # The network
