"""What a request comes to: trainings, and measurements of them, each named by all it depends on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.scales import Protocol, Scale, named_scale, training_config
from benchmarks.tables import Cell, Dataset, Line, Metric, Space, Table, named_table, published
from stylegan.configs import Config, config_to_dict
from stylegan_eval.errors import UserError

_DIGITS = 10  # of a hash, in names: 40 bits
KIND_OF: Mapping[str, str] = {
    "fid": "fid",
    "precision": "pr",
    "recall": "pr",
    "ppl_full": "ppl",
    "ppl_end": "ppl",
    "separability": "ls",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user asks for."""

    table: Table  # The table
    scale: Scale  # Size, length, protocol
    dataset: Dataset  # Whose losses and published numbers
    kimg: float | None = None  # Another length than the scale's
    precision: str = "fp32"  # Arithmetic of training
    gpus: int = 1  # Processes of a training

    def config(self, network: str) -> Config:
        """What is trained for a network of the table."""
        return training_config(network, self.scale, self.dataset, kimg=self.kimg, gpus=self.gpus)

    @property
    def name(self) -> str:
        """Name of the request: equal for equal questions, whatever seeds and lines are asked."""
        key = {
            "trainings": {
                line.network: _identity(self.config(line.network)) for line in self.table.lines
            },
            "precision": self.precision,
            "protocol": asdict(self.scale.protocol),
        }
        return f"{self.table.name}-{self.scale.name}-{self.dataset}-{_hash(key)}"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training."""

    network: str  # Key of `benchmarks.tables.NETWORKS`
    seed: int  # Seed of the training
    config: Config  # What is trained
    precision: str  # Arithmetic
    data: str  # Content digest of the real images

    @property
    def name(self) -> str:
        """Folder of the training: equal for equal trainings, in whatever table."""
        key = {
            "config": _identity(self.config),
            "seed": self.seed,
            "precision": self.precision,
            "data": self.data,
        }
        return f"{self.network}-seed{self.seed}-{_hash(key)}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One call of `stylegan-eval` on a trained network."""

    kind: str  # Its subcommand: 'fid', 'pr', 'ppl' or 'ls'
    options: tuple[str, ...]  # What is chosen; files are added when it runs

    @property
    def needs_classifiers(self) -> bool:
        """Whether it takes attribute classifiers."""
        return self.kind == "ls"

    def name(self, classifiers: str) -> str:
        """Name of its table: equal for equal measurements of one network.

        Parameters
        ----------
        classifiers : str
            SHA-256 of the attribute classifiers.
        """
        used = classifiers if self.needs_classifiers else ""
        return f"{self.kind}-{_hash({'options': self.options, 'classifiers': used})}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A cell of a table for one seed: which number it is."""

    line: Line  # Line of the table
    cell: Cell  # Its column
    training: Training  # The network
    measurement: Measurement  # What gives the number
    row: str  # Beginning of the metric's name among the rows of the measurement
    published: float | None  # The paper's number


def ask(
    table: str,
    scale: str,
    dataset: str | None,
    *,
    kimg: float | None = None,
    precision: str = "fp32",
    gpus: int = 1,
) -> Asked:
    """A question by the names of its parts."""
    wanted = named_table(table)
    names: Mapping[str, Dataset] = {name: name for name in wanted.datasets}
    if dataset is not None and dataset not in names:
        raise UserError(f"{table} is of {', '.join(names)}, not of {dataset!r}")
    return Asked(
        table=wanted,
        scale=named_scale(scale),
        dataset=wanted.datasets[0] if dataset is None else names[dataset],
        kimg=kimg,
        precision=precision,
        gpus=gpus,
    )


def cells_of(asked: Asked, lines: Sequence[Line], seeds: Sequence[int], data: str) -> list[Wanted]:
    """Every cell of every seed: lines as in the table, then cells, then seeds."""
    return [
        Wanted(
            line=line,
            cell=cell,
            training=Training(
                network=line.network,
                seed=seed,
                config=asked.config(line.network),
                precision=asked.precision,
                data=data,
            ),
            measurement=measurement_of(cell, line.space, asked.scale.protocol),
            row=_row(cell.metric, line.space),
            published=published(asked.table, asked.dataset, line, cell),
        )
        for line in lines
        for cell in asked.table.cells
        for seed in seeds
    ]


def measurement_of(cell: Cell, space: Space, protocol: Protocol) -> Measurement:
    """The call that gives a cell; cells that one call gives share it."""
    kind = KIND_OF[cell.metric]
    drawn: list[str] = []
    if cell.condition:
        what, _, value = cell.condition.partition("=")
        # 1 is the plain generator, and its number that of the other tables.
        if float(value) != 1:
            drawn = [{"latents": "--mixing", "psi": "--psi"}[what], value]
    if kind == "fid":
        options = ["--features", protocol.features, "--num", str(protocol.num), *drawn]
    elif kind == "pr":
        options = ["--features", protocol.pr_features, "--num", str(protocol.num), *drawn]
    elif kind == "ppl":
        options = ["--space", space, "--num", str(protocol.pairs)]
        options += ["--distance", protocol.distance, "--crop", protocol.crop]
    else:
        options = ["--space", space, "--num", str(protocol.ls_num)]
        options += ["--keep", str(protocol.ls_keep)]
        if protocol.attributes:
            options += ["--attributes", protocol.attributes]
    return Measurement(kind=kind, options=tuple(options))


def _row(metric: Metric, space: Space) -> str:
    """How the name of the row begins that holds the number."""
    if metric in ("ppl_full", "ppl_end"):
        return f"ppl_{space}{metric.removeprefix('ppl_')}"
    return {"fid": "", "precision": "precision", "recall": "recall"}.get(metric, f"ls_{space}")


def _identity(config: Config) -> dict[str, Any]:
    """All of a configuration but what it is called."""
    tree = config_to_dict(config)
    del tree["name"], tree["change"]
    return tree


def _hash(key: Any) -> str:
    text = json.dumps(key, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
