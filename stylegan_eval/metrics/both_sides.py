"""Whether the same images stand on both sides of a comparison."""

import hashlib
from functools import cache
from pathlib import Path

from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.images.files import ImageFiles
from stylegan_eval.metrics.image_pass import FileImages, Images

_LOOKED_UP = 64  # images of files that are looked for among the real ones


def on_both_sides(fakes: Images | StoredStats, reals: Images | StoredStats) -> str:
    """Note that images stand on both sides; "" where none is found, and of halves of one set."""
    if isinstance(fakes, Images) and (fakes.are_real or not isinstance(fakes.source, FileImages)):
        return ""
    same = _content(fakes) == _content(reals)
    which = "the images of --images are those of --data"
    if isinstance(fakes, Images) and isinstance(reals, Images):
        assert isinstance(fakes.source, FileImages)
        assert isinstance(reals.source, FileImages)
        found, looked_up = _in_both(fakes.source, reals.source, same=same)
        same = found > 0
        which = (
            f"{found} of {looked_up} images of --images that were looked up are among the real ones"
        )
    remedy = "give others, or use fid --floor, which compares halves of one set"
    return f"{which}: the value is no distance between two samples; {remedy}" if same else ""


def _content(images: Images | StoredStats) -> str:
    return images.content if isinstance(images, StoredStats) else str(images.key["content"])


def _in_both(fakes: FileImages, reals: FileImages, *, same: bool) -> tuple[int, int]:
    """How many generated images are real ones too, and of how many; `same`: of one content.

    Of other sets, a zip of the files say, some images are looked for by the bytes of their files.
    """
    if same:
        return len(set(fakes.indices) & set(reals.indices)), len(fakes.indices)
    ours, theirs = fakes.files, reals.files
    if not isinstance(ours, ImageFiles) or not isinstance(theirs, ImageFiles):  # in memory
        return 0, 0
    of_size: dict[int, list[int]] = {}
    for index in reals.indices:
        of_size.setdefault(theirs.size(index), []).append(index)

    @cache
    def digest(real: int) -> bytes:
        return hashlib.sha256(theirs.encoded(real)).digest()

    found = 0
    looked_up = fakes.indices[:_LOOKED_UP]
    for fake in looked_up:
        name = Path(ours.names[fake]).name
        alike = of_size.get(ours.size(fake), [])
        # Of many files of one size (BMP) those of the same name come first.
        alike = sorted(alike, key=lambda real: Path(theirs.names[real]).name != name)
        wanted = hashlib.sha256(ours.encoded(fake)).digest()
        found += wanted in map(digest, alike[:_LOOKED_UP])
    return found, len(looked_up)
