"""Which images a command line names, opened and checked before any network is loaded."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.sampling import Stream, random_stream
from stylegan_eval.engine.stats_file import StoredStats, read_stats
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import ImageFiles, open_images
from stylegan_eval.metrics import metric_of
from stylegan_eval.metrics.sources import (
    Fakes,
    Reals,
    check_size,
    choose_reals,
    open_fakes,
    pick_reals,
    statistics_file,
)
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    FeatureSettings,
    FidSettings,
    GeneratedSettings,
    RealSettings,
    Variant,
)


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the command line names as images."""

    fakes: Fakes | StoredStats | None = None
    """Generated images; None where real ones take their place (a floor)."""
    reals: Reals | StoredStats | None = None  # Real images; None where no metric needs them
    reference: Reals | None = None  # For a floor: the first half of the real images


@contextlib.contextmanager
def open_named(
    inputs: Inputs, metrics: Sequence[FeatureSettings], sampling: Sampling, run: Run
) -> Iterator[Named]:
    """Open generated and real images, and refuse what can be refused before a network is loaded.

    Parameters
    ----------
    inputs : Inputs
        What the command line names.
    metrics : sequence of FeatureSettings
        Metrics of images, with equal choices of real ones.
    sampling : Sampling
        How many images are generated, and with which seed.
    run : Run
        Where.
    """
    variant = _variant(metrics)
    compared = [settings for settings in metrics if isinstance(settings, RealSettings)]
    rows = [metric_of(settings) for settings in metrics]
    only_moments = rows and all(row.fake == row.real == ("moments",) for row in rows)
    if any(map(statistics_file, (inputs.images, inputs.data))) and not only_moments:
        raise UserError("a file of statistics holds mean and covariance: only fid can use it")
    with contextlib.ExitStack() as stack:
        if any(isinstance(settings, FidSettings) and settings.floor for settings in metrics):
            if inputs.ckpt or inputs.generator or inputs.images:
                raise UserError(
                    "--floor compares real images with real ones: leave out --ckpt, --generator,"
                    " and --images"
                )
            variant.check_absent("--floor draws no images")
            yield _halves(stack.enter_context(_open_reals(inputs)), compared[0])
            return
        fakes: Fakes | StoredStats
        if (path := statistics_file(inputs.images)) is not None:
            variant.check_absent("--images are drawn already")
            fakes = read_stats(path)
        else:
            fakes = stack.enter_context(open_fakes(inputs, sampling, run.device, variant))
        if not compared:
            yield Named(fakes=fakes)
        elif (path := statistics_file(inputs.data)) is not None:
            yield Named(fakes=fakes, reals=read_stats(path))
        else:
            files = stack.enter_context(_open_reals(inputs))
            reals = _chosen(files, compared[0], fakes)
            for settings in compared:
                settings.check_reals(reals.num)
            yield Named(fakes=fakes, reals=reals)


def _variant(metrics: Sequence[FeatureSettings]) -> Variant:
    """How the generator shall draw; all metrics say the same."""
    drawn = [settings for settings in metrics if isinstance(settings, GeneratedSettings)]
    return drawn[0].variant if drawn else Variant()


def _open_reals(inputs: Inputs) -> ImageFiles:
    if inputs.data is None:
        raise UserError("--data is missing: name a folder or a zip of real images")
    if statistics_file(inputs.data) is not None:
        raise UserError("--floor needs images: --data is a file of statistics")
    return open_images(inputs.data)


def _chosen(files: ImageFiles, settings: RealSettings, fakes: Fakes | StoredStats) -> Reals:
    """The real images that the settings ask for."""
    trained = False
    if isinstance(fakes, Fakes):
        what = "the generator draws" if fakes.generator is not None else "--images are"
        check_size(files, fakes.size, what)
        trained = fakes.mirrored and settings.reals != "full"
    mirror = trained if settings.mirror == "auto" else settings.mirror == "yes"
    return choose_reals(files, settings.num, settings.reals, settings, mirror=mirror)


def _halves(files: ImageFiles, settings: RealSettings) -> Named:
    """Two disjoint random sets of `num` real images each."""
    num = settings.num
    if 2 * num > len(files):
        raise UserError(
            f"the data has {len(files)} images, --floor with --num {num} needs"
            f" {2 * num}: use --num {len(files) // 2} or give more data"
        )
    order = random_stream(settings.seed, 0, Stream.SUBSET).permutation(len(files))
    first, second = (
        pick_reals(
            files,
            # Sorted for the disk's sake: statistics do not depend on the order.
            sorted(int(i) for i in order[part * num : (part + 1) * num]),
            f"half {part} of seed {settings.seed}",
            settings,
            mirror=settings.mirror == "yes",
        )
        for part in (0, 1)
    )
    return Named(reals=second, reference=first)
