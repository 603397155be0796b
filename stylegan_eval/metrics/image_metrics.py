"""One pass over generated and real images for any number of metrics."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import torch

from stylegan_eval.engine.blocks import Arrays, Blocks, Key, Run
from stylegan_eval.engine.device import device_name
from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.protocols import Detector
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import Kind, features, metric_of
from stylegan_eval.metrics.both_sides import (
    content_of,
    in_held_out,
    odd_values,
    on_both_sides,
    shown_as_rgb,
    unknown_count,
    unknown_mirror,
    unlike_sizes,
    unnamed,
)
from stylegan_eval.metrics.features import FeatureCollector, ImageFeatures, gathered
from stylegan_eval.metrics.given import only_moments, opened, statistics_unused
from stylegan_eval.metrics.image_pass import Collector, FileImages, Images, collect, pass_key
from stylegan_eval.metrics.image_tables import write_tables
from stylegan_eval.metrics.naming import make_row, where
from stylegan_eval.metrics.sources import choose_reals, open_held_out, open_pair
from stylegan_eval.networks.network import FeatureNetwork, load_detector
from stylegan_eval.plugins import resolve
from stylegan_eval.results.image_tables import TABLES
from stylegan_eval.results.results import Row, one_note
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    AuthenticitySettings,
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
        """Collector of what it needs of the images."""

    @property
    def settings(self) -> Sampling:
        """How many, and with which seed."""

    def check(self, fakes: Images) -> None:
        """Refuse images that it cannot use, before the work."""

    def rows(self, parts: Sequence[Arrays], fakes: Images, run: Run) -> list[Row]:
        """Results, from the arrays of all blocks."""


def evaluate(
    inputs: Inputs,
    metrics: Sequence[GeneratedSettings],
    run: Run,
    consumers: Sequence[Consumer] = (),
) -> list[Row]:
    """Rows of `evaluate_each`, one after the other."""
    return [row for rows in evaluate_each(inputs, metrics, run, consumers) for row in rows]


def evaluate_each(
    inputs: Inputs,
    metrics: Sequence[GeneratedSettings],
    run: Run,
    consumers: Sequence[Consumer] = (),
) -> list[list[Row]]:
    """Measure images of one generator (or of files) by several metrics in one pass.

    All processes must call it alike.

    Returns lists for each metric, then for each consumer; empty in all processes but the first.

    Parameters
    ----------
    metrics : sequence of GeneratedSettings
        Metrics of images, with equal `num`, `seed`, `batch` and choice of real images.
    consumers : sequence of Consumer
        Other metrics of the generated images, with the same seed and batch.
    """
    start = time.perf_counter()
    for table in TABLES:
        if (path := getattr(inputs, table)) is not None:
            check_writable(path)
    samplings = [*metrics, *(consumer.settings for consumer in consumers)]
    sampling = max(samplings, key=lambda settings: settings.num)
    with (
        open_pair(inputs, metrics, sampling, run) as (fakes, reals),
        open_held_out(inputs, metrics, reals) as held_out,
    ):
        if inputs.influence is not None and not any(isinstance(s, Images) for s in (fakes, reals)):
            raise UserError(
                "--influence is of images, and both sides are statistics: give the images of one"
            )
        for consumer in consumers:
            assert isinstance(fakes, Images)
            consumer.check(fakes)
        groups: dict[_Network, list[GeneratedSettings]] = {}
        for settings in metrics:
            groups.setdefault(_network(settings), []).append(settings)
        collectors = {
            network: _collector(group, inputs, run.device) for network, group in groups.items()
        }
        real = {
            network: _real_features(reals, groups[network], collector, run, inputs)
            for network, collector in collectors.items()
        }
        held = {
            network: _vectors_of(held_out, collector, run)
            for network, collector in collectors.items()
            if held_out is not None
            and any("held_out" in metric_of(one).inputs for one in groups[network])
        }
        fake, parts = _fake_features(fakes, collectors, consumers, run)
        if not run.processes.is_first:
            return [[] for _ in samplings]
        same = on_both_sides(fakes, reals) if reals is not None else ""
        rows: list[list[Row]] = []
        for settings in metrics:
            network, metric = _network(settings), metric_of(settings)
            compared = reals if metric.real else None
            about = {
                **_about_generated(fakes, inputs),
                **_about_real(compared, fakes, inputs),
                **_about_protocol(compared, fakes, settings, collectors[network].detector),
                **where(run),
            }
            about["note"] = one_note(
                about.get("note", ""),
                # Of copies that is the value itself.
                same if metric.real and not isinstance(settings, AuthenticitySettings) else "",
                in_held_out(held_out, fakes, reals) if "held_out" in metric.inputs else "",
                odd_values(fakes, compared),
                unknown_mirror(compared, fakes, settings),
                shown_as_rgb(fakes, compared),
                unlike_sizes(fakes, compared, fake[network], real[network]),
                fake[network].repeated,
                *(
                    statistics_unused(side)
                    for side in (inputs.images, inputs.data)
                    if only_moments([type(settings)]) and not only_moments(map(type, metrics))
                ),
                unnamed(fakes, inputs.images, settings),
                unnamed(compared, inputs.data, settings),
                unknown_count(fakes, inputs.images, settings),
            )
            seen = [fake[network], real[network]]
            if "held_out" in metric.inputs:
                assert held_out is not None
                seen.append(held[network])
                about["protocol"]["held-out"] = (
                    f"{len(held[network].tensor())}:{content_of(held_out)[:8]}"
                )
            values = resolve(metric.place)(settings, *seen)
            about["details"] = {
                **about.get("details", {}),
                **write_tables(
                    {name: getattr(inputs, name) for name in TABLES if name in metric.inputs},
                    (fakes, reals),
                    (fake[network], real[network]),
                ),
            }
            rows.append([make_row(value, about) for value in values])
        for consumer, arrays in zip(consumers, parts, strict=True):
            assert isinstance(fakes, Images)
            rows.append(consumer.rows(arrays, fakes, run))
    seconds = round(time.perf_counter() - start, 1)
    return [[replace(row, seconds=seconds) for row in of_one] for of_one in rows]


def _vectors_of(
    images: Images | StoredStats, collector: FeatureCollector, run: Run
) -> ImageFeatures:
    if isinstance(images, StoredStats):
        return stored_features(images, collector.detector, ("vectors",))
    return files_features(images, replace(collector, kinds=("vectors",), num=images.num), run)


def _network(settings: FeatureSettings) -> _Network:
    return settings.features, settings.resize


def detector_of(settings: FeatureSettings, inputs: Inputs, device: torch.device) -> FeatureNetwork:
    """Load the feature network that the settings name, with its weights of the inputs."""
    weights = inputs.weights_of(settings.features)
    return load_detector(settings.features, settings.resize, weights, device, settings.precision)


def _collector(
    metrics: Sequence[GeneratedSettings], inputs: Inputs, device: torch.device
) -> FeatureCollector:
    """Load the network that these metrics share, to see generated images."""
    settings = metrics[0]
    splits = [one.splits for one in metrics if isinstance(one, IsSettings)]
    return FeatureCollector(
        detector=detector_of(settings, inputs, device),
        kinds=_kinds(metrics, "fake", inputs),
        num=settings.num,
        splits=splits[0] if splits else 1,
    )


def _kinds(
    metrics: Sequence[GeneratedSettings], side: Literal["fake", "real"], inputs: Inputs
) -> tuple[Kind, ...]:
    """Kinds of features that these metrics need on one side."""
    rows = [metric_of(settings) for settings in metrics]
    found = {kind for row in rows for kind in (row.fake if side == "fake" else row.real)}
    if found and inputs.influence is not None and any("influence" in row.inputs for row in rows):
        found.add("vectors")
    kinds: tuple[Kind, ...] = ("moments", "vectors", "classes")
    return tuple(kind for kind in kinds if kind in found)


def _real_features(
    reals: Images | StoredStats | None,
    metrics: Sequence[GeneratedSettings],
    collector: FeatureCollector,
    run: Run,
    inputs: Inputs,
) -> ImageFeatures:
    kinds = _kinds(metrics, "real", inputs)
    if not kinds or reals is None:
        return ImageFeatures(detector=collector.detector)
    if isinstance(reals, StoredStats):
        return stored_features(reals, collector.detector, kinds)
    collector = replace(collector, kinds=kinds, num=reals.num)
    seen = files_features(reals, collector, run)
    wanted = "moments" in kinds and reals.num > collector.detector.feature_dim
    if not run.processes.of_first(wanted and seen.sample is None):
        return seen
    return _with_sample(seen, reals, replace(collector, kinds=("moments",)), run)


def _with_sample(
    seen: ImageFeatures, reals: Images, collector: FeatureCollector, run: Run
) -> ImageFeatures:
    """Add the sample of images that earlier versions did not keep beside their moments."""
    assert isinstance(reals.source, FileImages)
    indices = [reals.source.indices[position] for position in sorted(collector.sampled)]
    some = replace(collector, kinds=("vectors",), num=len(indices))
    source = replace(reals.source, indices=indices)
    work: Key = {"sample_of": reals.num, "batch": source.batch, "device": device_name(run.device)}
    parts = collect(source, [some], {**reals.key, **work}, run, "sample of real images")
    if not run.processes.is_first:
        return seen
    seen = replace(seen, sample=gathered(some, parts[some.name]).vectors)
    features.keep(reals.key, collector, seen)
    return seen


def files_features(reals: Images, collector: FeatureCollector, run: Run) -> ImageFeatures:
    """From the cache, or by looking at the images and into the cache."""
    cached = features.find(reals.key, collector) if run.processes.is_first else None
    work_key = {**reals.key, "batch": reals.source.batch, "device": device_name(run.device)}
    if run.processes.of_first(cached is not None):
        run.supersede(pass_key(work_key, [collector]))  # of a run that was killed
        return cached or ImageFeatures(detector=collector.detector)
    parts = collect(reals.source, [collector], work_key, run, "real images")
    if not run.processes.is_first:
        return ImageFeatures(detector=collector.detector)
    seen = gathered(collector, parts[collector.name], groups=1)
    features.keep(reals.key, collector, seen)
    return seen


def _fake_features(
    fakes: Images | StoredStats,
    collectors: Mapping[_Network, FeatureCollector],
    consumers: Sequence[Consumer],
    run: Run,
) -> tuple[dict[_Network, ImageFeatures], list[Blocks]]:
    """Features of the generated images and the consumers' arrays, all from one pass."""
    if isinstance(fakes, StoredStats):
        return {
            network: stored_features(fakes, c.detector, c.kinds, c.splits)
            for network, c in collectors.items()
        }, []
    if fakes.are_real:
        return {network: files_features(fakes, c, run) for network, c in collectors.items()}, []
    others = [consumer.collector for consumer in consumers]
    parts = collect(
        fakes.source, [*collectors.values(), *others], fakes.key, run, "generated images"
    )
    if not run.processes.is_first:
        return {}, []
    seen = {network: gathered(c, parts[c.name]) for network, c in collectors.items()}
    return seen, [parts[other.name] for other in others]


def stored_features(
    stats: StoredStats, detector: Detector, kinds: tuple[Kind, ...], splits: int = 1
) -> ImageFeatures:
    """Features for metrics from stored statistics or features, checked to be of this network."""
    if len(stats.mean) != detector.feature_dim:
        raise UserError(
            f"the statistics have {len(stats.mean)} features, {detector.name} has"
            f" {detector.feature_dim}: name their network with --features"
        )
    if stats.detector and stats.detector != detector.identity:
        raise UserError(
            f"the statistics are of {stats.detector}, asked is {detector.identity}:"
            " choose the same --features, --resize, --precision and --weights, or make them again"
        )
    if stats.vectors is not None:
        return features.features_of(detector, stats.vectors, kinds, splits)
    return ImageFeatures(detector=detector, stored=stats)


def _about_generated(fakes: Images | StoredStats, inputs: Inputs) -> Mapping[str, Any]:
    if isinstance(fakes, Images):
        return fakes.about
    return {
        "generator": str(inputs.images),
        "generator_digest": fakes.content,
        "description": "statistics",
    }


def _about_real(
    reals: Images | StoredStats | None, fakes: Images | StoredStats, inputs: Inputs
) -> dict[str, Any]:
    if reals is None:
        return {}
    if isinstance(reals, StoredStats):
        digest, count = reals.content, reals.count or 0
    else:
        halves = isinstance(fakes, Images) and fakes.are_real
        digest, count = str(reals.key["content"]), reals.num * (2 if halves else 1)
    return {"data": str(inputs.data), "data_digest": digest, "data_count": count}


def _about_protocol(
    reals: Images | StoredStats | None,
    fakes: Images | StoredStats,
    settings: GeneratedSettings,
    detector: Detector,
) -> dict[str, Any]:
    protocol = {
        "resize": detector.resize, "quantisation": "round-half-up", **settings.variation
    }  # fmt: skip
    if isinstance(reals, StoredStats):
        protocol["reals"] = "statistics"
    elif reals is not None:
        halves = isinstance(fakes, Images) and fakes.are_real
        mirror = isinstance(reals.source, FileImages) and reals.source.mirror
        protocol["mirror"] = "yes" if mirror else "no"
        protocol["reals"] = "disjoint-halves" if halves else reals.rule
    return {
        "protocol": protocol,
        "num": settings.num,
        "seed": settings.seed,
        "detector": detector.name,
        "weights_sha256": detector.weights_sha256,
        "precision": settings.precision,
    }


def moments_of(inputs: Inputs, settings: StatsSettings, run: Run) -> tuple[ImageFeatures, Key]:
    """Mean and covariance of the features of ``--data``, and what they depend on.

    All processes must call it alike; only the first one gets moments.
    """
    if inputs.data is None:
        raise UserError("--data is missing: name the images (a folder, a zip, ...)")
    inputs.check_weights(settings.features)
    with opened(inputs.data) as files:
        num = settings.num or len(files)
        if num < 2:
            raise UserError(f"a covariance needs two images or more, got {num}")
        reals = choose_reals(files, num, settings.reals, settings, mirror=settings.mirror)
        detector = detector_of(settings, inputs, run.device)
        collector = FeatureCollector(detector=detector, kinds=("moments",), num=num)
        return files_features(reals, collector, run), reals.key
