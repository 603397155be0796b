"""One pass over generated and real images for any number of metrics."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

import torch

from stylegan_eval.engine.blocks import Arrays, Blocks, Run
from stylegan_eval.engine.protocols import Detector
from stylegan_eval.engine.stats_file import StoredStats, check_new, write_stats
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import Kind, features, metric_of
from stylegan_eval.metrics.features import FeatureCollector, ImageFeatures, gathered
from stylegan_eval.metrics.image_pass import Collector, collect, pass_key
from stylegan_eval.metrics.named_images import Named, open_named
from stylegan_eval.metrics.provenance import about_fakes, make_row, where
from stylegan_eval.metrics.sources import Fakes, Reals, choose_reals
from stylegan_eval.networks.loading import load_detector
from stylegan_eval.results.results import Row
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    FeatureSettings,
    GeneratedSettings,
    IsSettings,
    StatsSettings,
)

# A feature network is loaded once for all metrics that look through it.
_Network = tuple[str, str]


class Consumer(Protocol):
    """A metric of generated images that needs more than their features."""

    @property
    def collector(self) -> Collector:
        """What it keeps of them."""

    @property
    def settings(self) -> Sampling:
        """How many, and with which seed."""

    def check(self, fakes: Fakes) -> None:
        """Refuse images that it cannot use, before the work."""

    def rows(self, parts: Sequence[Arrays], fakes: Fakes, run: Run) -> list[Row]:
        """Results, from the arrays of all blocks."""


def evaluate(
    inputs: Inputs,
    metrics: Sequence[FeatureSettings],
    run: Run,
    consumers: Sequence[Consumer] = (),
) -> list[Row]:
    """Rows of `evaluate_each`, one after the other."""
    return [row for rows in evaluate_each(inputs, metrics, run, consumers) for row in rows]


def evaluate_each(
    inputs: Inputs,
    metrics: Sequence[FeatureSettings],
    run: Run,
    consumers: Sequence[Consumer] = (),
) -> list[list[Row]]:
    """Measure images of one generator (or of files) by several metrics in one pass.

    All processes must call it alike.

    Parameters
    ----------
    metrics : sequence of FeatureSettings
        Metrics of images, with equal `num`, `seed`, `batch` and choice of real images.
    consumers : sequence of Consumer
        Other metrics of the generated images, with the same seed and batch.

    Returns
    -------
    list of list of Row
        For each metric, then for each consumer; empty lists in all processes but the first.
    """
    start = time.perf_counter()
    samplings = [*metrics, *(consumer.settings for consumer in consumers)]
    sampling = max(samplings, key=lambda settings: settings.num)
    with open_named(inputs, metrics, sampling, run) as named:
        for consumer in consumers:
            assert isinstance(named.fakes, Fakes)
            consumer.check(named.fakes)
        plans = {
            network: _plan(network, seen_by, inputs, run.device)
            for network, seen_by in _by_network(metrics).items()
        }
        real = {network: _real_features(named, plan, run) for network, plan in plans.items()}
        fake, parts = _fake_features(named, plans, consumers, run)
        if not run.processes.is_first:
            return [[] for _ in samplings]
        rows: list[list[Row]] = []
        for settings in metrics:
            network, metric = _network(settings), metric_of(settings)
            about = _about(inputs, settings, named, plans[network].detector, run)
            values = resolve_name(metric.place)(settings, fake[network], real[network])
            rows.append([make_row(value, about) for value in values])
        for consumer, arrays in zip(consumers, parts, strict=True):
            assert isinstance(named.fakes, Fakes)
            rows.append(consumer.rows(arrays, named.fakes, run))
    seconds = round(time.perf_counter() - start, 1)
    return [[replace(row, seconds=seconds) for row in of_one] for of_one in rows]


def _network(settings: FeatureSettings) -> _Network:
    return settings.features, settings.resize


def _by_network(metrics: Sequence[FeatureSettings]) -> dict[_Network, list[FeatureSettings]]:
    groups: dict[_Network, list[FeatureSettings]] = {}
    for settings in metrics:
        groups.setdefault(_network(settings), []).append(settings)
    return groups


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A network, and what is to be kept of what it sees."""

    detector: Detector
    fake: tuple[Kind, ...]
    real: tuple[Kind, ...]
    num: int
    splits: int

    def collector(self, kinds: tuple[Kind, ...], num: int) -> FeatureCollector:
        return FeatureCollector(detector=self.detector, kinds=kinds, num=num, splits=self.splits)


def _plan(
    key: _Network, metrics: Sequence[FeatureSettings], inputs: Inputs, device: torch.device
) -> _Plan:
    features, resize = key
    kinds: tuple[Kind, ...] = ("moments", "vectors", "classes")
    rows = [metric_of(settings) for settings in metrics]
    scores = [settings.splits for settings in metrics if isinstance(settings, IsSettings)]
    settings = metrics[0]
    return _Plan(
        detector=load_detector(
            features, resize, inputs.weights_of(features), device, settings.precision
        ),
        fake=tuple(kind for kind in kinds if any(kind in row.fake for row in rows)),
        real=tuple(kind for kind in kinds if any(kind in row.real for row in rows)),
        num=settings.num,
        splits=scores[0] if scores else 1,
    )


def _real_features(named: Named, plan: _Plan, run: Run) -> ImageFeatures:
    if not plan.real or named.reals is None:
        return ImageFeatures(detector=plan.detector)
    if isinstance(named.reals, StoredStats):
        _check_stored(named.reals, plan.detector)
        return ImageFeatures(detector=plan.detector, stored=named.reals)
    return files_features(named.reals, plan.collector(plan.real, named.reals.num), run)


def files_features(reals: Reals, collector: FeatureCollector, run: Run) -> ImageFeatures:
    """From the cache, or by looking at the images and into the cache."""
    found = features.find(reals.key, collector) if run.processes.is_first else None
    work_key = {**reals.key, "batch": reals.source.batch, "device": run.device.type}
    if run.processes.agree(answer=found is not None):
        run.supersede(pass_key(work_key, [collector]))  # of a run that was killed
        return found or ImageFeatures(detector=collector.detector)
    parts = collect(reals.source, [collector], work_key, run, "real images")
    if not run.processes.is_first:
        return ImageFeatures(detector=collector.detector)
    seen = gathered(collector, parts[collector.name], groups=1)
    features.keep(reals.key, collector, seen)
    return seen


def _fake_features(
    named: Named, plans: Mapping[_Network, _Plan], consumers: Sequence[Consumer], run: Run
) -> tuple[dict[_Network, ImageFeatures], list[Blocks]]:
    """Features of the generated images and the consumers' arrays, all from one pass."""
    collectors = {network: plan.collector(plan.fake, plan.num) for network, plan in plans.items()}
    if named.reference is not None:
        halves = {
            network: files_features(named.reference, collector, run)
            for network, collector in collectors.items()
        }
        return halves, []
    if isinstance(named.fakes, StoredStats):
        for plan in plans.values():
            _check_stored(named.fakes, plan.detector)
        stored = {
            network: ImageFeatures(detector=plan.detector, stored=named.fakes)
            for network, plan in plans.items()
        }
        return stored, []
    assert named.fakes is not None
    others = [consumer.collector for consumer in consumers]
    parts = collect(
        named.fakes.source, [*collectors.values(), *others], named.fakes.key, run,
        "generated images",
    )  # fmt: skip
    if not run.processes.is_first:
        return {}, []
    features = {network: gathered(c, parts[c.name]) for network, c in collectors.items()}
    return features, [parts[other.name] for other in others]


def _check_stored(stats: StoredStats, detector: Detector) -> None:
    if len(stats.mean) != detector.feature_dim:
        raise UserError(
            f"the statistics have {len(stats.mean)} features, {detector.name} has"
            f" {detector.feature_dim}: name their network with --features"
        )
    if stats.detector and stats.detector != detector.identity:
        raise UserError(
            f"the statistics are of {stats.detector}, asked is {detector.identity}:"
            " choose the same --features, --resize, --precision and --weights"
        )


def _about(
    inputs: Inputs, settings: FeatureSettings, named: Named, detector: Detector, run: Run
) -> dict[str, Any]:
    """Everything of a row but the number, its name and its time."""
    about = {**about_fakes(named.fakes, inputs), **where(run)}
    protocol = {"resize": detector.resize, "quantisation": "round-half-up"}
    if isinstance(settings, GeneratedSettings):
        protocol |= settings.variant.said
    reals = named.reals if metric_of(settings).real else None
    if isinstance(reals, StoredStats):
        about |= {
            "data": str(inputs.data),
            "data_digest": reals.content,
            "data_count": reals.count or 0,
        }
        protocol["reals"] = "statistics"
    elif reals is not None:
        halves = named.reference
        about |= {
            "data": str(inputs.data),
            "data_digest": reals.key["content"],
            "data_count": reals.num + (halves.num if halves else 0),
        }
        protocol["mirror"] = "yes" if reals.source.mirror else "no"
        protocol["reals"] = "disjoint-halves" if halves else reals.rule
    return {
        **about,
        "protocol": protocol,
        "num": settings.num,
        "seed": settings.seed,
        "detector": detector.name,
        "weights_sha256": detector.weights_sha256,
        "precision": settings.precision,
    }


def write_statistics(out: Path, inputs: Inputs, settings: StatsSettings, run: Run) -> str:
    """Write mean and covariance of the features of ``--data`` to `out`.

    Returns
    -------
    str
        What was written, for people.
    """
    check_new(out)
    if inputs.data is None:
        raise UserError("--data is missing: name a folder or a zip of images")
    inputs.check_weights(settings.features)
    with open_images(inputs.data) as files:
        num = settings.num or len(files)
        reals = choose_reals(files, num, settings.reals, settings, mirror=settings.mirror)
        if num < 2:
            raise UserError(f"a covariance needs two images or more, got {num}")
        detector = load_detector(
            settings.features,
            settings.resize,
            inputs.weights_of(settings.features),
            run.device,
            settings.precision,
        )
        collector = FeatureCollector(detector=detector, kinds=("moments",), num=num)
        features = files_features(reals, collector, run)
    if run.processes.is_first:
        write_stats(out, reduce(add, features.blocks), reals.key)
    return f"{out}: {num} images, {detector.feature_dim} features of {detector.identity}"
