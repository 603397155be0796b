"""The real images of a run: what is known before they are prepared, and the prepared ones."""

from dataclasses import dataclass
from pathlib import Path

from stylegan.datasets.pyramid import Pyramid, open_pyramid
from stylegan.datasets.reals import label_size
from stylegan.datasets.survey import survey
from stylegan.runtime import Runtime
from stylegan_eval.content import content_digest
from stylegan_eval.errors import UserError
from stylegan_eval.images import open_images


@dataclass(frozen=True, kw_only=True)
class RealSet:
    """What the choice of a configuration depends on, of a set of real images."""

    path: Path
    resolution: int
    count: int
    label_size: int
    digests: tuple[str, ...]  # any of which a checkpoint may know it by

    @classmethod
    def of(cls, pyramid: Pyramid, path: Path) -> "RealSet":
        """Facts of prepared images."""
        return cls(
            path=path,
            resolution=pyramid.resolution,
            count=len(pyramid),
            label_size=label_size(pyramid.labels),
            digests=(pyramid.digest, pyramid.earlier_digest),
        )


def look_at(path: Path, cache: Path | None = None) -> RealSet:
    """Read the headers of images that a training could take; refuse others as `open_pyramid`."""
    with open_images(path) as files:
        found = survey(files)
        if (fault := found.fault()) is not None:
            raise UserError(
                f"{path}: {fault}; make a set that fits with: stylegan-data prepare {path} OUT.zip"
            )
        return RealSet(
            path=path,
            resolution=found.smallest_side,
            count=len(files),
            label_size=label_size(files.labels),
            digests=(content_digest(files, cache), files.digest),
        )


def open_together(data: Path, cache: Path | None, runtime: Runtime) -> Pyramid:
    """Open the images in all processes; the first prepares them while the others wait.

    Raises
    ------
    UserError
        See `open_pyramid`; or another process has ended.
    """
    if not runtime.is_first:
        runtime.processes.wait()
    pyramid = open_pyramid(data, cache=cache, progress=runtime.is_first)
    if runtime.is_first:
        runtime.processes.wait()
    return pyramid
