"""Which images a command line names, opened and checked before any network is loaded."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stylegan_eval.blocks import Run
from stylegan_eval.errors import UserError
from stylegan_eval.images import ImageFiles, open_images
from stylegan_eval.metrics.image_metric import Request
from stylegan_eval.sampling import Stream, random_stream
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.images import FidSettings, RealSettings
from stylegan_eval.sources import (
    Fakes,
    Reals,
    check_count,
    check_size,
    open_fakes,
    pick_reals,
    statistics_file,
)
from stylegan_eval.stats_file import StoredStats, read_stats


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the command line names as images.

    Attributes
    ----------
    fakes : Fakes or StoredStats or None
        Generated images; None where real ones take their place (a floor).
    reals : Reals or StoredStats or None
        Real images; None where no metric needs them.
    reference : Reals or None
        For a floor: the first half of the real images.
    mirror : bool
        Whether real images are flipped.
    """

    fakes: Fakes | StoredStats | None
    reals: Reals | StoredStats | None
    reference: Reals | None
    mirror: bool


@contextlib.contextmanager
def open_named(inputs: Inputs, requests: Sequence[Request], run: Run) -> Iterator[Named]:
    """Open generated and real images, and refuse what can be refused before anything is loaded."""
    settings = requests[0].settings
    wants_reals = any(request.metric.real for request in requests)
    floor = isinstance(settings, FidSettings) and settings.floor
    with contextlib.ExitStack() as stack:
        fakes: Fakes | StoredStats | None = None
        if floor:
            if inputs.ckpt or inputs.generator or inputs.images:
                raise UserError("--floor compares real images with real ones: leave out --ckpt")
        elif (path := statistics_file(inputs.images)) is not None:
            fakes = read_stats(path)
        else:
            fakes = stack.enter_context(open_fakes(inputs, settings, run.device))
        if not wants_reals:
            yield Named(fakes=fakes, reals=None, reference=None, mirror=False)
            return
        if inputs.data is None:
            raise UserError("--data is missing: name a folder or a zip of real images")
        assert isinstance(settings, RealSettings)
        trained = isinstance(fakes, Fakes) and fakes.mirrored and settings.reals != "full"
        mirror = trained if settings.mirror == "auto" else settings.mirror == "yes"
        if (path := statistics_file(inputs.data)) is not None:
            if floor or any("moments" not in r.metric.real for r in requests if r.metric.real):
                raise UserError("--data FILE.npz holds mean and covariance: only fid can use them")
            yield Named(fakes=fakes, reals=read_stats(path), reference=None, mirror=False)
            return
        files = stack.enter_context(open_images(inputs.data))
        if floor:
            first, second = _halves(files, settings, mirror=mirror)
            yield Named(fakes=None, reals=second, reference=first, mirror=mirror)
            return
        if settings.reals == "first":
            check_count(files, settings.num)
        if isinstance(fakes, Fakes):
            check_size(files, fakes.size)
        indices = range(len(files) if settings.reals == "full" else settings.num)
        reals = pick_reals(files, indices, settings.reals, settings, mirror=mirror)
        yield Named(fakes=fakes, reals=reals, reference=None, mirror=mirror)


def _halves(files: ImageFiles, settings: Sampling, *, mirror: bool) -> tuple[Reals, Reals]:
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
            sorted(int(i) for i in order[part * num : (part + 1) * num]),
            f"half {part} of seed {settings.seed}",
            settings,
            mirror=mirror,
        )
        for part in (0, 1)
    )
    return first, second
