"""`stylegan-eval ppl`: path lengths of a generator, as rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stylegan_eval.blocks import Run
from stylegan_eval.distances import Distances, check_distances_path, write_distances
from stylegan_eval.errors import UndefinedMetricError
from stylegan_eval.evaluation.provenance import where
from stylegan_eval.evaluation.sources import generator_key, load_named_generator
from stylegan_eval.metrics.ppl import PathLength, load_chosen, measure
from stylegan_eval.results import Row, one_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.ppl import PplSettings


def evaluate(inputs: Inputs, settings: PplSettings, run: Run) -> list[Row]:
    """Measure the path lengths that are asked for.

    Returns
    -------
    list of Row
        Empty in all processes but the first.

    Raises
    ------
    UserError
        Something of the inputs cannot be used.
    """
    return prepare(inputs, settings, run)()


def prepare(inputs: Inputs, settings: PplSettings, run: Run) -> Callable[[], list[Row]]:
    """Load generator and distance; calling what is returned does the work."""
    if inputs.distances is not None:
        check_distances_path(inputs.distances)
    loaded = load_named_generator(inputs, run.device)
    if not loaded.smooth:
        raise UndefinedMetricError(
            f"{inputs.ckpt} is conditional: its label jumps from one z to the next, so paths in z"
            " have no length; measure fid or pr"
        )
    weights = inputs.weights_of("lpips-vgg")
    distance, note = load_chosen(settings, weights, loaded.generator.resolution, run)
    about = {
        "num": settings.num,
        "seed": settings.seed,
        "generator": str(inputs.ckpt or inputs.generator or ""),
        "generator_digest": loaded.sha256,
        "description": loaded.description,
        "detector": distance.name,
        "weights_sha256": distance.weights_sha256,
        "precision": "fp32",
        **where(run),
    }
    key = generator_key(loaded, settings, run.device)

    def work() -> list[Row]:
        start = time.perf_counter()
        lengths = measure(loaded.generator, distance, settings, run, key)
        seconds = round(time.perf_counter() - start, 1)
        if inputs.distances is not None and lengths:
            write_distances(inputs.distances, _all(lengths, about))
        return [_row(length, note, about, seconds) for length in lengths]

    return work


def _all(lengths: Sequence[PathLength], about: Mapping[str, Any]) -> Distances:
    return Distances(
        lengths={length.metric: length.distances for length in lengths},
        generator=about["generator"],
        generator_digest=about["generator_digest"],
        seed=about["seed"],
    )


def _row(length: PathLength, note: str, about: dict[str, Any], seconds: float) -> Row:
    return Row(
        metric=length.metric,
        value=length.value,
        stderr=length.stderr,
        protocol=length.protocol,
        note=one_note(note, length.note),
        seconds=seconds,
        **about,
    )
