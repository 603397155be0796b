"""`stylegan-eval ppl`: path lengths of a generator, as rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stylegan_eval.blocks import Run
from stylegan_eval.distances import Distances, check_distances_path, write_distances
from stylegan_eval.errors import UndefinedMetricError
from stylegan_eval.evaluation.provenance import where
from stylegan_eval.evaluation.sources import generator_key, load_pure_generator
from stylegan_eval.guarded import GuardedGenerator
from stylegan_eval.metrics.path_pairs import rounding_share
from stylegan_eval.metrics.ppl import PathLength, load_chosen, measure
from stylegan_eval.protocols import LoadedGenerator
from stylegan_eval.results import Row, one_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.ppl import PplSettings

# From here on the error of a path length is as large as its error bars.
_LARGEST_SHARE = 0.05


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
    loaded = load_pure_generator(inputs, run.device, "ppl")
    if not loaded.smooth:
        raise UndefinedMetricError(
            f"{inputs.ckpt} is conditional: its label jumps from one z to the next, so paths in z"
            " have no length; measure fid or pr"
        )
    weights = inputs.weights_of("lpips-vgg")
    distance, chosen = load_chosen(settings, weights, loaded.generator.resolution, run)
    about = {
        "num": settings.num,
        "seed": settings.seed,
        "generator": str(inputs.ckpt or inputs.generator or ""),
        "generator_digest": loaded.sha256,
        "description": loaded.description,
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
            write_distances(inputs.distances, _all(lengths, about))
        return [
            _row(
                length,
                one_note(note, rounding if "epsilon" in length.protocol else ""),
                about,
                seconds,
            )
            for length in lengths
        ]

    return work


def _rounding(loaded: LoadedGenerator, settings: PplSettings, run: Run) -> str:
    """Say where the generator's arithmetic is too coarse for finite differences: 16-bit floats."""
    # A network of a known kind computes in float32.
    if "finite" not in settings.derivatives or not isinstance(loaded.generator, GuardedGenerator):
        return ""
    share = rounding_share(loaded.generator, settings, run.device)
    if share < _LARGEST_SHARE:
        return ""
    return (
        f"about {share:.0%} of the finite differences is rounding in the generator, not its path:"
        " use --derivative exact, a larger --epsilon, or float32"
    )


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
