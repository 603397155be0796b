"""Trainings of a question, and their measurements, each named by all that it depends on."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.scales import Protocol, Scale, named_scale, training_config
from benchmarks.tables import (
    Dataset,
    PaperTable,
    Quantity,
    Space,
    TableLine,
    named_table,
    published,
)
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
class Question:
    """Options of `python -m benchmarks run`, without lines and seeds."""

    table: PaperTable
    scale: Scale  # Size, length, protocol
    dataset: Dataset  # Whose losses and published numbers
    kimg: float | None = None  # Another length than the scale's
    precision: str = "fp32"  # Arithmetic of training
    gpus: int = 1  # Processes of a training

    def config(self, network: str) -> Config:
        """Training configuration of a network of the table."""
        return training_config(network, self.scale, self.dataset, kimg=self.kimg, gpus=self.gpus)

    @property
    def name(self) -> str:
        """Name of its file: equal for equal questions, whatever seeds and lines are asked."""
        key = {
            "trainings": {
                line.network: _identity(self.config(line.network)) for line in self.table.lines
            },
            "precision": self.precision,
            "protocol": asdict(self.scale.protocol),
        }
        return f"{self.table.name}-{self.scale.name}-{self.dataset}-{_hash(key)}"

    def command(self, seeds: Sequence[int], lines: Sequence[str], files: Sequence[str] = ()) -> str:
        """Command line of the question, with DATA and DIR for its folders.

        `files`: the options that name other files, without the files' folders.
        """
        words = ["python -m benchmarks run", self.table.name, "--scale", self.scale.name]
        words += ["--data DATA --out DIR --seeds", ",".join(map(str, seeds))]
        if len(lines) < len(self.table.lines):
            words += ["--rows", ",".join(lines)]
        if self.dataset != self.table.datasets[0]:
            words += ["--dataset", self.dataset]
        if self.kimg is not None:
            words += ["--kimg", f"{self.kimg:g}"]
        if self.precision != "fp32":
            words += ["--precision", self.precision]
        if self.gpus > 1:
            words += ["--gpus", str(self.gpus)]
        return " ".join([*words, *map(shlex.quote, files)])


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training."""

    network: str  # Key of `benchmarks.tables.NETWORKS`
    seed: int
    config: Config
    precision: str
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
    options: tuple[str, ...]  # Its options, without files

    @property
    def needs_classifiers(self) -> bool:
        """Whether it takes attribute classifiers."""
        return self.kind == "ls"

    def name(self, classifiers: str) -> str:
        """Name of its table: equal for equal measurements with classifiers of one SHA-256."""
        used = classifiers if self.needs_classifiers else ""
        return f"{self.kind}-{_hash({'options': self.options, 'classifiers': used})}"


@dataclass(frozen=True, kw_only=True)
class WantedCell:
    """A cell of a table for one seed."""

    line: TableLine
    quantity: Quantity
    training: Training
    measurement: Measurement
    published: float | None  # The paper's number

    @property
    def row(self) -> str:
        """Beginning of the metric's name among the rows of the measurement."""
        metric, space = self.quantity.metric, self.line.space
        if metric in ("ppl_full", "ppl_end"):
            return f"ppl_{space}{metric.removeprefix('ppl_')}"
        return {"fid": "", "precision": "precision", "recall": "recall"}.get(metric, f"ls_{space}")

    def tree(self, measurement: str, missing: str) -> dict[str, Any]:
        """The cell in the question's file; `missing` says why there is no `measurement`."""
        return {
            "line": self.line.key,
            "label": self.line.label or self.training.config.change,
            "space": self.line.space,
            "metric": self.quantity.metric,
            "condition": self.quantity.condition,
            "seed": self.training.seed,
            "kimg": self.training.config.schedule.total_kimg,
            "network": self.training.network,
            "training": self.training.name,
            "measurement": measurement,
            "missing": "" if measurement else missing,
            "row": self.row,
            "published": self.published,
        }


def ask(
    table: str,
    scale: str,
    dataset: str | None,
    *,
    kimg: float | None = None,
    precision: str = "fp32",
    gpus: int = 1,
) -> Question:
    """A question by the names of its parts."""
    datasets = {str(name): name for name in named_table(table).datasets}
    if dataset is not None and dataset not in datasets:
        raise UserError(f"{table} is of {', '.join(datasets)}, not of {dataset!r}")
    return Question(
        table=named_table(table),
        scale=named_scale(scale),
        dataset=datasets[dataset or next(iter(datasets))],
        kimg=kimg,
        precision=precision,
        gpus=gpus,
    )


def cells_of(
    question: Question, lines: Sequence[TableLine], seeds: Sequence[int], data: str
) -> list[WantedCell]:
    """Every cell of every seed: lines as in the table, then cells, then seeds."""
    return [
        WantedCell(
            line=line,
            quantity=quantity,
            training=Training(
                network=line.network,
                seed=seed,
                config=question.config(line.network),
                precision=question.precision,
                data=data,
            ),
            measurement=measurement_of(quantity, line.space, question.scale.protocol),
            published=published(question.table, question.dataset, line, quantity),
        )
        for line in lines
        for quantity in question.table.quantities
        for seed in seeds
    ]


def measurement_of(quantity: Quantity, space: Space, protocol: Protocol) -> Measurement:
    """The call that measures a quantity; quantities of one call share it."""
    kind = KIND_OF[quantity.metric]
    drawn: list[str] = []
    if quantity.condition:
        what, _, value = quantity.condition.partition("=")
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


def _identity(config: Config) -> dict[str, Any]:
    """All of a configuration but what it is called."""
    tree = config_to_dict(config)
    del tree["name"], tree["change"]
    return tree


def _hash(key: Any) -> str:
    text = json.dumps(key, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
