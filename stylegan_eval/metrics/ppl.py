"""Perceptual path length: from settings to rows."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.blocks import Arrays, Key, Run, Tick, split
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.errors import UndefinedMetricError
from stylegan_eval.generators.guarded import GuardedGenerator
from stylegan_eval.metrics.naming import where
from stylegan_eval.metrics.path_length import measure_pairs, perceptual_size, rounding_share
from stylegan_eval.metrics.sources import about_generator, generator_key, load_pure_generator
from stylegan_eval.metrics.trimmed_mean import TrimmedMean, trimmed_mean
from stylegan_eval.networks.lpips import (
    Embedding,
    PerceptualDistance,
    check_image_size,
    load_distance,
    why_not_lpips,
)
from stylegan_eval.results.path_length_file import Distances, check_distances_path, write_distances
from stylegan_eval.results.results import Row, one_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import PplSettings

OFFICIAL_EPSILON = 1e-4
# With more, the error was 0.85 of the true one or better for every law tried, normal to Pareto.
_FEW_CARRIERS = 10
# At 1,000 pairs or more, at most 3 in 100 results of every smooth law tried, normal to Pareto, were
# beyond. Of results within it 95 % intervals held 91 % or more, also where 1 % of the paths jump.
_LARGEST_SHIFT = 4


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """A path length of one kind."""

    metric: str  # Name; it pins the protocol (``ppl_wfull``)
    value: float  # Trimmed mean over the pairs
    stderr: float  # Its standard error, from the spread between pairs
    protocol: Mapping[str, str]  # Choices behind the number, in words
    note: str = ""  # What a reader must know before quoting the number; empty when nothing
    distances: NDArray[np.float64] = field(compare=False, repr=False)
    """float64 [N], the length of every pair's path."""


def measure(
    generator: ImageGenerator,
    distance: Embedding,
    settings: PplSettings,
    run: Run,
    key: Key,
) -> list[PathLength]:
    """Measure the path lengths that the settings ask for, in one pass over the pairs.

    Results are by space, sampling and derivative; none in all processes but the first.
    """

    def compute(block: range, tick: Tick) -> Arrays:
        parts: dict[str, list[Tensor]] = {}
        for start in range(block.start, block.stop, settings.batch):
            pairs = range(start, min(start + settings.batch, block.stop))
            lengths = measure_pairs(generator, distance, settings, pairs, run.device)
            for name, values in lengths.items():
                parts.setdefault(name, []).append(values)
            tick(len(pairs))
        return {name: torch.cat(values).cpu().numpy() for name, values in parts.items()}

    whole_key = {**key, **_work_key(settings, distance)}
    blocks = list(run.map_blocks(whole_key, split(settings.num), compute, "path length", "pair"))
    if not blocks:
        return []
    whole = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return list(summarise(whole, settings, distance))


def _work_key(settings: PplSettings, distance: Embedding) -> dict[str, str | int | float]:
    return {
        "metric": "ppl",
        "distance": distance.identity,
        "seed": settings.seed,
        "num": settings.num,
        "space": settings.space,
        "sampling": settings.sampling,
        "derivative": settings.derivative,
        "epsilon": settings.epsilon,
        "crop": settings.crop,
        "rule": settings.rule,
        "latent_scale": settings.latent_scale,
    }


def summarise(
    distances: Mapping[str, NDArray[np.float64]], settings: PplSettings, distance: Embedding
) -> Iterator[PathLength]:
    """Yield the result of each array of `measure_pairs`, all pairs joined."""
    for name, values in distances.items():
        kind, how = name.split("-")
        trimmed = trimmed_mean(values)
        limit = distances.get(f"{kind}-exact") if how == "finite" else None
        yield PathLength(
            metric=metric_name(kind, how, settings, distance),
            value=trimmed.mean,
            stderr=trimmed.stderr,
            protocol=_protocol(kind, how, settings),
            note=one_note(_note(trimmed.mean, values, limit), _unreliable(trimmed, len(values))),
            distances=values,
        )


def _note(mean: float, values: NDArray[np.float64], limit: NDArray[np.float64] | None) -> str:
    """How far finite differences are off their limit, where that was measured too."""
    if mean == 0:
        return "the images do not change along the paths: does the generator round them?"
    if limit is None:
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):  # a generator that rounds
        off = float(np.divide(mean, trimmed_mean(limit).mean)) - 1
        pairs_off = float(np.median(np.abs(values / limit - 1)))
    return f"{off:+.1e} off its limit; single pairs {pairs_off:.1e} (median)"


def _unreliable(trimmed: TrimmedMean, pairs: int) -> str:
    notes = []
    if trimmed.kept == pairs and trimmed.stderr > 0:
        notes.append(
            f"of {pairs} pairs no percent can be left out on either side: this is the mean of all,"
            " which is biased upwards; measure more pairs"
        )
    if trimmed.carriers < _FEW_CARRIERS:
        notes.append(
            f"the standard error is unreliable: it rests on about {trimmed.carriers:.0f} of {pairs}"
            " pairs; measure more pairs"
        )
    elif trimmed.shift > _LARGEST_SHIFT and trimmed.kept < pairs:
        notes.append(
            "the standard error is unreliable: about 1 % of the paths are far longer than the rest,"
            " and the percent left out takes most of them or few by chance; measure more pairs"
        )
    return "; ".join(notes)


def _protocol(kind: str, how: str, settings: PplSettings) -> dict[str, str]:
    """The choices behind one kind of path length, in words."""
    protocol = {
        "space": kind[0],
        "sampling": kind[1:],
        "crop": settings.crop,
        "shrink": settings.rule,
        "derivative": how,
        "noise": "per-pair",
        "trim": "1-99%",
    }
    if how == "finite":
        protocol["epsilon"] = f"{settings.epsilon:g}"
    if kind.startswith("z"):
        protocol["latent-scale"] = settings.latent_scale
    return protocol


def metric_name(kind: str, how: str, settings: PplSettings, distance: Embedding) -> str:
    """Name of the metric under this protocol.

    ``ppl_wfull`` is the official protocol with official weights but for the number of pairs,
    which a standard error answers for; anything else is said in brackets.

    `kind` is space and sampling: zfull, zend, wfull or wend.
    """
    marks = [
        distance.mark,
        "nocrop" if settings.crop == "none" else "",
        "ada" if settings.rule == "ada" else "",
        "sphere" if kind.startswith("z") and settings.latent_scale == "sphere" else "",
        "exact" if how == "exact" else "",
        f"eps:{settings.epsilon:g}"
        if how == "finite" and settings.epsilon != OFFICIAL_EPSILON
        else "",
    ]
    said = ",".join(mark for mark in marks if mark)
    return f"ppl_{kind}" + (f"[{said}]" if said else "")


def choose_distance(settings: PplSettings, weights: Path | None, run: Run) -> tuple[str, str]:
    """Name of the distance to use, and a note where it is not the one wished for.

    All processes choose alike: the first one says whether LPIPS can be had.
    """
    if settings.distance != "auto":
        return settings.distance, ""
    reason = why_not_lpips(weights) if run.processes.is_first else ""
    if run.processes.of_first(not reason):
        return "lpips-vgg", ""
    return "st-lpips-vgg", f"st-lpips-vgg instead of lpips-vgg: {reason}"


def load_chosen(
    settings: PplSettings, weights: Path | None, resolution: int, run: Run
) -> tuple[PerceptualDistance, str]:
    """Load the perceptual distance that the settings ask for.

    `weights` are VGG16's, for ``lpips-vgg``.

    Returns
    -------
    distance : PerceptualDistance
        On the device of `run`.
    note : str
        Why it is not the distance wished for; empty when it is.
    """
    size = perceptual_size(settings.crop, settings.rule, resolution)
    wished = "lpips-vgg" if settings.distance == "auto" else settings.distance
    check_image_size(wished, size, size)  # before anything is downloaded
    name, note = choose_distance(settings, weights, run)
    check_image_size(name, size, size)
    return load_distance(name, weights, run.device), note


# From here on the error of a path length is as large as its error bars.
_LARGEST_SHARE = 0.05


def evaluate(inputs: Inputs, settings: PplSettings, run: Run) -> list[Row]:
    """Measure the path lengths that are asked for.

    Returns no rows in all processes but the first.
    """
    return prepare(inputs, settings, run)()


def prepare(inputs: Inputs, settings: PplSettings, run: Run) -> Callable[[], list[Row]]:
    """Load generator and distance; calling what is returned does the work."""
    if inputs.distances is not None:
        check_distances_path(inputs.distances)
    loaded = load_pure_generator(inputs, run.device, "ppl")
    if not loaded.smooth:
        raise UndefinedMetricError(
            f"{inputs.ckpt} is conditional: its label jumps from one z to the next, so paths in z"
            " have no length; measure fid or pr"
        )
    weights = inputs.weights_of("lpips-vgg")
    distance, chosen = load_chosen(settings, weights, loaded.generator.resolution, run)
    about: dict[str, Any] = {
        "num": settings.num,
        "seed": settings.seed,
        **about_generator(loaded, inputs),
        "detector": distance.name,
        "weights_sha256": distance.weights_sha256,
        "details": loaded.details,
        "precision": "fp32",
        **where(run),
    }
    note, rounding = one_note(chosen, *loaded.notes), _rounding(loaded, settings, run)
    key = generator_key(loaded, settings, run.device)

    def work() -> list[Row]:
        start = time.perf_counter()
        lengths = measure(loaded.generator, distance, settings, run, key)
        seconds = round(time.perf_counter() - start, 1)
        if inputs.distances is not None and lengths:
            write_distances(
                inputs.distances,
                Distances(
                    lengths={length.metric: length.distances for length in lengths},
                    generator=about["generator"],
                    generator_digest=about["generator_digest"],
                    seed=settings.seed,
                ),
            )
        return [
            Row(
                metric=length.metric,
                value=length.value,
                stderr=length.stderr,
                protocol=length.protocol,
                note=one_note(note, rounding if "epsilon" in length.protocol else "", length.note),
                seconds=seconds,
                **about,
            )
            for length in lengths
        ]

    return work


def _rounding(loaded: LoadedGenerator, settings: PplSettings, run: Run) -> str:
    """Say where the generator's arithmetic is too coarse for finite differences."""
    # A network of a known kind computes in float32, which is enough for the official step.
    known = not isinstance(loaded.generator, GuardedGenerator)
    if "finite" not in settings.derivatives or (known and settings.epsilon >= OFFICIAL_EPSILON):
        return ""
    share = rounding_share(loaded.generator, settings, run.device)
    if share < _LARGEST_SHARE:
        return ""
    remedies = " or a larger --epsilon" if known else ", a larger --epsilon, or float32"
    return (
        f"about {share:.0%} of the finite differences is rounding in the generator, not its path:"
        f" use --derivative exact{remedies}"
    )
