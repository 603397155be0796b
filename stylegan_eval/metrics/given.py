"""One side of a measurement: a set of images, or statistics of one."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from stylegan_eval.engine.safe_files import names_in_npz
from stylegan_eval.engine.stats_file import IMAGES, StoredStats, read_stats
from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import ImageFunction
from stylegan_eval.images.files import open_images
from stylegan_eval.images.source import ImageSet
from stylegan_eval.images.storage import STDIN
from stylegan_eval.metrics import METRICS
from stylegan_eval.pickles.statistics import PICKLED, read_pickled_stats
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import FeatureSettings, subset_size_for


def all_images(inputs: Inputs, kind: type[Sampling], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are given; where `num` is not, it is all images that are there.

    All real ones are taken then as well, and a subset of kid is no larger than both sides.
    """
    if inputs.images == inputs.data == STDIN:
        raise UserError("--images and --data are both -: write one of the lists to a file")
    settings = dict(given)
    moments = only_moments([kind])
    count: int | None
    several = not any(row.settings is kind for row in METRICS.values())
    if (moments or several) and (side := uncounted(inputs.images, moments=moments)):
        if "num" not in given:
            raise UserError(
                f"{side}: does not say how many images its statistics are of: give --num N"
            )
        count = given["num"]
    else:
        count = None if "num" in given else _count(inputs.images, moments=moments)
    if count is None or not issubclass(kind, FeatureSettings):
        return settings
    if count < 2:
        raise UserError(f"{inputs.images}: holds {count} image; give 2 or more")
    settings["num"] = count
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    reals = _count(inputs.data, moments=moments) if "reals" in defaults else None
    if reals is not None:
        if reals < 2:
            raise UserError(f"{inputs.data}: holds {reals} image; give 2 or more")
        settings.setdefault("reals", "random" if reals == count else "full")
    most = min(count, reals or count)
    if defaults.get("subset_size", 0) > most:
        settings.setdefault("subset_size", subset_size_for(most))
    return settings


def only_moments(kinds: Iterable[type[Sampling]]) -> bool:
    """Whether metrics with settings of these kinds need nothing but mean and covariance."""
    rows = [row for kind in kinds for row in METRICS.values() if row.settings is kind]
    return bool(rows) and all(row.fake == row.real == ("moments",) for row in rows)


def _count(side: Any, *, moments: bool) -> int | None:
    """How many images are there; None where they are drawn, or the file does not say it."""
    if side is None or isinstance(side, ImageFunction):
        return None
    if is_statistics(side, moments=moments):
        return statistics_of(side).count
    with opened(side) as files:
        return len(files)


def uncounted(side: Any, *, moments: bool) -> Any:
    """What it is, if it is statistics that do not say how many images they are of."""
    if not is_statistics(side, moments=moments) or statistics_of(side).count is not None:
        return None
    return side


def is_statistics(side: Any, *, moments: bool = True) -> bool:
    """Whether a side is statistics, or a file (.npz, .pkl) of them.

    A file may hold images besides: those are meant where more than `moments` are wanted.
    """
    if isinstance(side, StoredStats):
        return True
    if not isinstance(side, Path) or side.suffix.lower() not in (".npz", PICKLED):
        return False
    if side.suffix.lower() == PICKLED:
        return True
    names: frozenset[str] = frozenset()
    if side.is_file():
        with contextlib.suppress(UserError, OSError):  # the reader of statistics says what is wrong
            names = names_in_npz(side)
    return IMAGES not in names or (moments and {"mu", "sigma"} <= names)


def statistics_of(side: Any, *, spatial: bool = False) -> StoredStats:
    """Statistics, or those of a file; see `read_stats`."""
    if isinstance(side, StoredStats):
        return side
    if side.suffix.lower() == PICKLED:
        return read_pickled_stats(side)
    return read_stats(side, spatial=spatial)


def statistics_unused(side: Any) -> str:
    """Note that a file's images were measured and not its statistics; "" where it has none."""
    if not isinstance(side, Path) or not is_statistics(side) or is_statistics(side, moments=False):
        return ""
    return f"of the images in {side}, not of its mu and sigma, which are for fid alone"


def opened(side: Any) -> contextlib.AbstractContextManager[ImageSet]:
    """The images of a path, or those that a program holds."""
    if not isinstance(side, Path):
        images: contextlib.AbstractContextManager[ImageSet] = side
        return images
    return open_images(side, labelled=False)
