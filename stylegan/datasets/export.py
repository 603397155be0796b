"""A set of images in the layout of another tool."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from stylegan.datasets.archive import encode_png, write_encoded
from stylegan.datasets.prepare import label_list
from stylegan.datasets.sources.detect import open_source
from stylegan.datasets.sources.files import Files
from stylegan.datasets.sources.source import Source
from stylegan.datasets.survey import survey
from stylegan_eval.errors import UserError
from stylegan_eval.images import prepare_command
from stylegan_eval.parallel import map_ordered
from stylegan_eval.progress import follow


def export_ada(
    src: Path | str, out: Path, *, workers: int | None = None, progress: bool = True
) -> int:
    """Write images and labels as stylegan2-ada and stylegan3 read them.

    PNG files of 8-bit RGB are copied byte for byte, all else becomes such a file.

    Parameters
    ----------
    src : Path or str
        Whatever `open_source` opens; square images of one size, a power of two.
    out : Path
        A zip if it ends in ``.zip``, else a folder; whole or absent.

    Returns
    -------
    int
        How many images there are.

    Raises
    ------
    UserError
        An image cannot be read, sizes do not fit, or `out` cannot be written.
    """
    source = open_source(src)
    try:
        if (fault := survey(source, progress=progress).fault()) is not None:
            raise UserError(f"{src}: {fault}; make a set that fits with: {prepare_command(src)}")
        labels = label_list(source, range(len(source)))
        stored = _stored(source, workers or os.cpu_count() or 1)
        images = follow(stored, "export", len(source), shown=progress)
        write_encoded(out, zip(images, labels, strict=True), attributes=source.attributes)
        return len(source)
    finally:
        source.close()


def _stored(source: Source, workers: int) -> Iterator[bytes]:
    def png(index: int) -> bytes:
        pixels = source.read(index)  # also where bytes are kept: what is damaged is not copied
        if isinstance(source, Files):
            data = source.files.encoded(index)
            if _is_plain_png(data):
                return data
        return encode_png(pixels)

    with ThreadPoolExecutor(workers) as pool:
        yield from map_ordered(pool, png, range(len(source)), ahead=4 * workers)


def _is_plain_png(data: bytes) -> bool:
    """Whether any reader of PNG takes the same pixels from it as `decoding.decode`."""
    with Image.open(io.BytesIO(data)) as image:
        plain = image.format == "PNG" and image.mode == "RGB"
        return plain and not image.has_transparency_data and not image.getexif()
