"""Perceptual path length: how fast images change along interpolated latents (Section 4.1).

The squared perceptual distance of two images a step epsilon apart on a path between two latents,
divided by epsilon^2, averaged over pairs of latents without the outermost percent on either side.
Paths are great circles in Z and straight lines in W, without truncation; ``full`` measures
anywhere on them, ``end`` at their beginning. Both images of a pair share their noise. Here every
pair has noise of its own; the official code draws it anew for each minibatch.

``exact`` takes the limit of epsilon to 0: the squared length of the derivative of the embedding
along the path. It costs what a finite difference costs and is free of two errors of that: the
kinks of the networks between the two points, and rounding, which dividing by epsilon magnifies
10,000 times. For 256 pairs of a trained network at 32x32, held against float64, differences in
float32 are off by 6e-3 to 8e-3 (median of single pairs) and 3e-3 to 7e-3 (mean); derivatives in
float32 by 2e-6 and up to 2e-4, with 2e-2 the most for a single pair, where a kink falls on the
other side (docs/metrics.md). Another batch size changes rounding, and with it results by about half
as much.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, equations 2 and 3.
metrics/perceptual_path_length.py of the official StyleGAN.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.blocks import Arrays, Key, Run, Tick, split
from stylegan_eval.metrics.path_length import TrimmedMean, perceptual_size, trimmed_mean
from stylegan_eval.metrics.path_pairs import Camera, measure_pairs
from stylegan_eval.perceptual import check_image_size, load_distance, why_not_lpips
from stylegan_eval.perceptual.distance import Embedding, PerceptualDistance
from stylegan_eval.protocols import ImageGenerator
from stylegan_eval.settings.ppl import PplSettings

OFFICIAL_EPSILON = 1e-4
# With more, the error was 0.85 of the true one or better for every law tried, normal to Pareto.
_FEW_CARRIERS = 10


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """A path length of one kind.

    Attributes
    ----------
    metric : str
        Name; it pins the protocol (``ppl_wfull``).
    value : float
        Trimmed mean over the pairs.
    stderr : float
        Its standard error, from the spread between pairs.
    kept : int
        Pairs that were not trimmed.
    untrimmed : float
        Mean over all pairs.
    protocol : mapping
        Choices behind the number, in words.
    off_limit : float or None
        For a finite difference beside its limit: relative difference of the value from it.
    pair_off_limit : float or None
        The median over pairs of the same, without sign.
    note : str
        What a reader must know before quoting the number; empty when nothing.
    distances : ndarray
        float64 [N], the length of every pair's path.
    """

    metric: str
    value: float
    stderr: float
    kept: int
    untrimmed: float
    protocol: Mapping[str, str]
    off_limit: float | None = None
    pair_off_limit: float | None = None
    note: str = ""
    distances: NDArray[np.float64] = field(compare=False, repr=False)


def measure(
    generator: ImageGenerator,
    distance: Embedding,
    settings: PplSettings,
    run: Run,
    key: Key,
) -> list[PathLength]:
    """Measure the path lengths that the settings ask for, in one pass over the pairs.

    Parameters
    ----------
    generator : ImageGenerator
        On the device of `run`.
    distance : Embedding
        On the device of `run`.
    settings : PplSettings
        What to measure.
    run : Run
        Where; the work is resumable.
    key : mapping
        What identifies the generator.

    Returns
    -------
    list of PathLength
        By space, sampling and derivative; empty in all processes but the first.

    Raises
    ------
    UserError
        Images of a wrong shape, or path lengths that are not finite.
    """
    camera = Camera(generator=generator, distance=distance, settings=settings)

    def compute(block: range, tick: Tick) -> Arrays:
        parts: dict[str, list[NDArray[np.float64]]] = {}
        for start in range(block.start, block.stop, settings.batch):
            pairs = range(start, min(start + settings.batch, block.stop))
            for name, values in measure_pairs(camera, pairs, run.device).items():
                parts.setdefault(name, []).append(values.cpu().numpy())
            tick(len(pairs))
        return {name: np.concatenate(values) for name, values in parts.items()}

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
    """Yield the result of each array of `measure_pairs`, all pairs joined.

    Raises
    ------
    UserError
        Values that are not finite.
    """
    for name, values in distances.items():
        kind, how = name.split("-")
        trimmed = trimmed_mean(values)
        off_limit = pair_off_limit = None
        if how == "finite" and f"{kind}-exact" in distances:
            limit = distances[f"{kind}-exact"]
            with np.errstate(divide="ignore", invalid="ignore"):  # a generator that rounds
                off_limit = float(np.divide(trimmed.mean, trimmed_mean(limit).mean)) - 1
                pair_off_limit = float(np.median(np.abs(values / limit - 1)))
        compared = _note(trimmed.mean, off_limit, pair_off_limit)
        yield PathLength(
            metric=metric_name(kind, how, settings, distance),
            value=trimmed.mean,
            stderr=trimmed.stderr,
            kept=trimmed.kept,
            untrimmed=trimmed.untrimmed,
            protocol=_protocol(kind, how, settings),
            off_limit=off_limit,
            pair_off_limit=pair_off_limit,
            note="; ".join(filter(None, (compared, _unreliable(trimmed, len(values))))),
            distances=values,
        )


def _note(value: float, off_limit: float | None, pair_off_limit: float | None) -> str:
    if value == 0:
        return "the images do not change along the paths: does the generator round them?"
    if off_limit is None:
        return ""
    return f"{off_limit:+.1e} off its limit; single pairs {pair_off_limit:.1e} (median)"


def _unreliable(trimmed: TrimmedMean, pairs: int) -> str:
    if trimmed.carriers >= _FEW_CARRIERS:
        return ""
    return (
        f"the standard error is unreliable: it rests on about {trimmed.carriers:.0f} of {pairs}"
        " pairs; measure more pairs"
    )


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

    Parameters
    ----------
    kind : {"zfull", "zend", "wfull", "wend"}
        Space and sampling.
    how : {"finite", "exact"}
        Kind of derivative.
    settings : PplSettings
        The protocol.
    distance : Embedding
        Its mark is used.
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
    if run.processes.agree(answer=not reason):
        return "lpips-vgg", ""
    return "st-lpips-vgg", f"st-lpips-vgg instead of lpips-vgg: {reason}"


def load_chosen(
    settings: PplSettings, weights: Path | None, resolution: int, run: Run
) -> tuple[PerceptualDistance, str]:
    """Load the perceptual distance that the settings ask for.

    Parameters
    ----------
    settings : PplSettings
        What to measure.
    weights : Path or None
        VGG16 for ``lpips-vgg``.
    resolution : int
        Of the generator's images.
    run : Run
        Where.

    Returns
    -------
    distance : PerceptualDistance
        On the device of `run`.
    note : str
        Why it is not the distance wished for; empty when it is.

    Raises
    ------
    UserError
        The weights cannot be had, or the images are too small for the network.
    """
    size = perceptual_size(settings.crop, settings.rule, resolution)
    wished = "lpips-vgg" if settings.distance == "auto" else settings.distance
    check_image_size(wished, size, size)  # before anything is downloaded
    name, note = choose_distance(settings, weights, run)
    check_image_size(name, size, size)
    return load_distance(name, weights, run.device), note
