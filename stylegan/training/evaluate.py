"""Metrics during training: each new checkpoint as `stylegan-eval` would measure it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from stylegan.checkpoint import read_checkpoint
from stylegan.training.settings import MetricSettings, NamedMetric, network_of, reals_needed
from stylegan.training.state import TrainState
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.cache import check_cache
from stylegan_eval.engine.files import atomic_write, copy_file
from stylegan_eval.engine.processes import (
    FailedTogetherError,
    Processes,
    processes_from_environment,
)
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import ProcessEndedError, UserError, is_out_of_memory
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.image_metrics import evaluate_each
from stylegan_eval.metrics.measure import measure
from stylegan_eval.metrics.ppl import load_chosen
from stylegan_eval.metrics.sources import check_size
from stylegan_eval.networks.network import load_detector
from stylegan_eval.results.formatting import result_text
from stylegan_eval.results.results import DEFINING, Row
from stylegan_eval.results.run_folder import (
    BEST,
    BEST_FILE,
    METRICS_FILE,
    append_rows,
    read_rows,
)
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FeatureSettings, GeneratedSettings, RealSettings
from stylegan_eval.settings.others import PplSettings

Measured = Mapping[str, Any]
Result = TypeVar("Result")


def check_metrics(
    metrics: Sequence[NamedMetric], data: Path, resolution: int, device: torch.device
) -> None:
    """Refuse, before the training, what could not be measured during it.

    Every feature network is loaded once, so weights that must be downloaded are.
    """
    check_cache()
    check_reals(metrics, data, resolution)
    tried = set()
    for each in metrics:
        network = network_of(each.settings)
        if network in tried:
            continue
        tried.add(network)
        try:
            if isinstance(each.settings, PplSettings):
                load_chosen(each.settings, None, resolution, Run(device=device))
            elif network is not None:
                load_detector(*network, None, device)
        except UserError as error:
            message = f"--metrics: {each.name} cannot be measured: {error}"
            # The options of `stylegan-eval` have longer names here.
            message = re.sub(r"--(crop|distance)\b", r"--ppl-\1", message)
            raise UserError(message.replace("--features", "--metrics-features")) from error


def check_reals(metrics: Sequence[NamedMetric], data: Path, resolution: int) -> None:
    """The part of `check_metrics` that looks at the real images alone."""
    if not any(reals_needed(each.settings) for each in metrics):
        return
    with open_images(data) as files:
        check_size(files, (resolution, resolution))
        for each in metrics:
            if reals_needed(each.settings) > len(files):
                raise UserError(
                    f"--metrics: {each.name} needs {reals_needed(each.settings)} real images,"
                    f" {data} holds {len(files)}: ask for fewer or give more data"
                )


@dataclass(kw_only=True)
class Measurements:
    """Measures checkpoints as they are written, and keeps the best.

    All processes of torchrun take part; the first writes ``metrics.jsonl``, ``best.pt`` and
    ``best.json``. What cannot be measured, for whatever reason, is told and leaves a row with an
    ``error``; it is no reason to end a training.
    """

    folder: Path  # The run's folder
    data: Path  # The real images
    metrics: Sequence[NamedMetric]  # At least one; the first decides which checkpoint is the best
    every: float
    """Interval in kimg: the first checkpoint of each is measured. 0 for every checkpoint."""
    batch: int = MetricSettings.metrics_batch
    """Images at a time; halved, for good, when memory is full."""
    device: torch.device  # Of this process
    tell: Callable[[str], None] = lambda _text: None
    """Takes a line for each number, in the first process."""
    also: Sequence[Callable[[Measured], None]] = ()
    """Each takes every row, in the first process, such as TensorBoard's."""

    def __call__(self, state: TrainState, checkpoint: Path, *, last: bool = False) -> None:
        """Measure a checkpoint if it is due: call it for each one, also for one resumed from.

        The `last` one is due unless measured already. ProcessEndedError where another process has
        ended, so that training cannot go on either.
        """
        run = Run(device=self.device, processes=processes_from_environment())
        names = self._due(state.nimg, last=last) if run.processes.is_first else []
        names = run.processes.of_first(names)
        if not names:
            return
        values: list[tuple[NamedMetric, Row]] = []
        failed: dict[str, str] = {}
        for group in groups_of([each for each in self.metrics if each.name in names]):
            rows, trouble = self._measure(group, checkpoint, run)
            values += rows
            failed |= {each.name: trouble for each in group if trouble}

        def write() -> None:
            if run.processes.is_first:
                self._write(values, failed, state.nimg, checkpoint)
            run.finish()

        _, trouble, _ = _attempt(write, run.processes)
        if trouble:
            self._tell(f"kimg {state.nimg / 1000:.1f}: measurements cannot be kept: {trouble}")

    def _measure(
        self, group: Sequence[NamedMetric], checkpoint: Path, run: Run
    ) -> tuple[list[tuple[NamedMetric, Row]], str]:
        """Measure one group, in smaller batches where memory is full; rows, or what failed."""
        while True:
            sized, inputs = _in_batches(group, self.batch), Inputs(ckpt=checkpoint, data=self.data)
            work = partial(measure_group, sized, inputs, run)
            rows, trouble, full = _attempt(work, run.processes)
            if not full or self.batch == 1:
                return rows or [], f"{trouble} with --metrics-batch 1" if full else trouble
            self.batch //= 2
            names = ", ".join(each.name for each in group)
            self._tell(f"{trouble} as {names} was measured: trying --metrics-batch {self.batch}")

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the disk may be what failed
            self.tell(text)

    def restore(self) -> None:
        """Finish what a kill left undone (first process)."""
        best = self._best_row()
        if best is None or not self._is_new(best):
            return
        with suppress(UserError):  # pruned or damaged: the best before it stays
            # In a short run, a later checkpoint may bear the same name.
            if read_checkpoint(self.folder / str(best["checkpoint"])).nimg == best["nimg"]:
                self._keep(best)

    def _due(self, nimg: int, *, last: bool) -> list[str]:
        """Names of the metrics to measure now, each by when it was last measured."""
        done = dict.fromkeys((each.name for each in self.metrics), 0)
        for row in read_rows(self.folder / METRICS_FILE)[0]:
            if "error" not in row and row.get("asked") in done:
                done[row["asked"]] = max(done[row["asked"]], int(row["nimg"]))
        every = self.every * 1000
        return [
            name
            for name, then in done.items()
            if nimg > then and (last or every == 0 or nimg // every > then // every)
        ]

    def _write(
        self,
        values: Sequence[tuple[NamedMetric, Row]],
        failed: Mapping[str, str],
        nimg: int,
        checkpoint: Path,
    ) -> None:
        place = {"nimg": nimg, "kimg": nimg / 1000, "checkpoint": checkpoint.name}
        values = sorted(values, key=lambda pair: [a.name for a in self.metrics].index(pair[0].name))
        rows = [{**place, "asked": metric.name, **asdict(row)} for metric, row in values]
        failures = [
            {**place, "asked": name, "metric": name, "value": None, "error": trouble}
            for name, trouble in failed.items()
        ]
        for name, trouble in failed.items():
            self._tell(
                f"kimg {nimg / 1000:.1f}: {name} could not be measured: {trouble}; the training"
                " goes on"
            )
        append_rows(self.folder / METRICS_FILE, [*rows, *failures])
        for row in rows:
            for each in self.also:
                each(row)
        best = self._best_row()
        for _, number in values:
            value = result_text(number.value, number.stderr)
            self._tell(f"kimg {nimg / 1000:.1f}: {number.metric} {value}")
        if best is not None and self._is_new(best):
            self._keep(best)
            self._tell(f"kimg {nimg / 1000:.1f}: the best so far, kept as {BEST}")

    def _best_row(self) -> Measured | None:
        """First row with the best value of the first metric whose checkpoint is there.

        Only rows that can be compared with the newest: options of a resumed run may differ.
        """
        decides, best = self.metrics[0], None
        rows = _first_of_each(read_rows(self.folder / METRICS_FILE)[0], decides.name)
        for row in rows:
            is_kept = (self.folder / str(row["checkpoint"])).is_file()
            better = best is None or decides.better(row["value"], best["value"])
            if is_kept and better and _comparable(row, rows[-1]):
                best = row
        return best

    def _is_new(self, row: Measured) -> bool:
        """Whether `row` beats what is kept, if anything is kept."""
        kept = read_best(self.folder)
        if kept is None or not _comparable(kept, row):
            return True
        return self.metrics[0].better(row["value"], kept["value"])

    def _keep(self, row: Measured) -> None:
        """Name the checkpoint of `row` the best; pruning checkpoints does not touch this name."""
        checkpoint = self.folder / str(row["checkpoint"])
        with atomic_write(self.folder / BEST) as temporary:
            copy_file(checkpoint, temporary)
        keys = ("asked", "metric", "value", "stderr", "kimg", "nimg", "checkpoint", *DEFINING)
        kept = {key: row[key] for key in keys if key in row}
        with atomic_write(self.folder / BEST_FILE) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n")


def read_best(folder: Path) -> dict[str, Any] | None:
    """Content of ``best.json``; None where it or ``best.pt`` is missing or damaged."""
    with suppress(UserError), parsing(folder / BEST_FILE):
        best = json.loads((folder / BEST_FILE).read_text(encoding="utf-8"))
        float(best["value"]), str(best["asked"]), str(best["metric"]), float(best["kimg"])
        return dict(best) if (folder / BEST).is_file() else None
    return None


def _first_of_each(rows: Sequence[Measured], name: str) -> list[Measured]:
    """The first number of each measurement by this name: ``fid50k``, not ``fid50k_inf``."""
    first: dict[Any, Measured] = {}
    for row in rows:
        if row.get("asked") == name and row.get("value") is not None:
            first.setdefault(row["nimg"], row)
    return list(first.values())


def _comparable(one: Measured, other: Measured) -> bool:
    """Whether two numbers are of one metric and protocol; older rows say less of it."""
    keys = [key for key in DEFINING if key in one and key in other]
    return all(one.get(key) == other.get(key) for key in ("asked", "metric", *keys))


def groups_of(metrics: Sequence[NamedMetric]) -> list[list[NamedMetric]]:
    """Metrics that look at the same images together, in the order of their first."""
    groups: dict[Any, list[NamedMetric]] = {}
    for each in metrics:
        settings = each.settings
        reals = settings.reals if isinstance(settings, RealSettings) else "random"
        shared = (settings.num, reals) if isinstance(settings, FeatureSettings) else each.name
        groups.setdefault(shared, []).append(each)
    return list(groups.values())


def _in_batches(group: Sequence[NamedMetric], batch: int) -> list[NamedMetric]:
    """The same metrics, looking at so many images at a time; a pair is two."""
    sizes = [
        max(1, batch // 2) if isinstance(each.settings, PplSettings) else batch for each in group
    ]
    return [
        replace(each, settings=replace(each.settings, batch=size))
        for each, size in zip(group, sizes, strict=True)
    ]


def _attempt(work: Callable[[], Result], processes: Processes) -> tuple[Result | None, str, bool]:
    """Result of `work` in all processes, or error of one, and whether memory was full."""
    value, trouble, full = None, "", False
    try:
        with processes.failing_together():
            value = work()
        return value, "", False
    except ProcessEndedError:
        raise
    except FailedTogetherError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, a training is not lost for it
        full = is_out_of_memory(error)
        trouble = "out of memory" if full else _in_one_line(error)
    # By here, what the exception held is gone.
    outcomes = processes.of_all((trouble, full))
    trouble = next(trouble for trouble, _ in outcomes if trouble)
    return None, trouble, any(full for _, full in outcomes)


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"[:300]


def measure_group(
    group: Sequence[NamedMetric], inputs: Inputs, run: Run
) -> list[tuple[NamedMetric, Row]]:
    """Measure metrics of `groups_of`, which look at the same images.

    Returns rows in the order of `group`, each with its metric; empty in all processes but the
    first.
    """
    metrics = [each.settings for each in group if isinstance(each.settings, GeneratedSettings)]
    if metrics:
        rows_of_each = evaluate_each(inputs, metrics, run)
    else:
        [alone] = group
        rows_of_each = [measure(METRICS[alone.entry], inputs, alone.settings, run)]
    return [(each, row) for each, rows in zip(group, rows_of_each, strict=True) for row in rows]
