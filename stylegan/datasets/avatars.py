"""The bundled data set: cartoon faces with 27 binary labels, drawn on the spot.

Face number i of data set s is a function of (s, i) alone. Needs the extra ``demo``.
"""

import functools
import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan.datasets.archive import Label, encode_png, write_zip
from stylegan.datasets.avatar_recipe import ATTRIBUTES, PART_JITTER, RECIPE_VERSION, draw_face
from stylegan_eval.engine.cache import cache_dir, fetch_file, keep_file
from stylegan_eval.engine.command import work_for_parent
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import map_ordered

_PACKAGES = ("dicebear-core", "dicebear-styles", "resvg-py")
_CHUNK = 25  # images in one task of a worker
_WORTH_A_WORKER = 500  # images; a worker takes seconds to start


def sample_attributes(seed: int, index: int) -> np.ndarray:
    """Labels of one avatar without drawing it: uint8 [27], 0 or 1, in the order of `ATTRIBUTES`."""
    _, present = draw_face(seed, index)
    return np.array([name in present for name in ATTRIBUTES], dtype=np.uint8)


def render(seed: int, index: int, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Avatar number `index` of data set `seed`, uint8 [3, R, R], and its labels, uint8 [27]."""
    style = _style()
    from dicebear import Avatar
    from resvg_py import svg_to_bytes

    options, _ = draw_face(seed, index)
    svg = Avatar(style, options).to_string()
    png = svg_to_bytes(svg_string=svg, width=resolution, height=resolution, skip_system_fonts=True)
    pixels = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))  # [R, R, 3]
    return pixels.transpose(2, 0, 1), sample_attributes(seed, index)


def make_avatars(
    out: Path,
    *,
    count: int,
    resolution: int,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Write `count` avatars, whatever the number of `workers`; drawn once, then from the cache."""
    cached = cache_dir() / "avatars" / _cache_name(count, resolution, seed)
    with atomic_write(out) as temporary:
        if fetch_file(cached, temporary):
            return
        images = _rendered(seed, count, resolution, workers or os.cpu_count() or 1)
        write_zip(temporary, follow(images, "avatars", count, shown=progress), ATTRIBUTES)
        keep_file(temporary, cached)


def _cache_name(count: int, resolution: int, seed: int) -> str:
    try:
        versions = [metadata.version(package) for package in _PACKAGES]
    except metadata.PackageNotFoundError as error:
        raise _missing_extra() from error
    drawn_by = hashlib.sha256(repr((RECIPE_VERSION, versions)).encode()).hexdigest()[:12]
    return f"{count}x{resolution}px-seed{seed}-{drawn_by}.zip"


def _rendered(
    seed: int, count: int, resolution: int, workers: int
) -> Iterator[tuple[bytes, Label]]:
    """PNG and labels of avatars 0 to `count` - 1, in order."""
    _style()  # Reports a missing extra here, not from a worker.
    task = functools.partial(_render_chunk, seed, resolution)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    workers = min(workers, count // _WORTH_A_WORKER)
    if workers < 2:
        for chunk in chunks:
            yield from task(chunk)
        return
    # "spawn", because a fork copies the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, initializer=work_for_parent) as pool:
            for images in map_ordered(pool, task, chunks, ahead=4 * workers):
                yield from images
    except BrokenProcessPool as error:
        raise UserError(
            "a drawing process was killed (out of memory?): try fewer with --workers"
        ) from error


def _render_chunk(seed: int, resolution: int, indices: range) -> list[tuple[bytes, Label]]:
    rendered = (render(seed, index, resolution) for index in indices)
    return [(encode_png(image), labels.tolist()) for image, labels in rendered]


@functools.cache
def _style() -> Any:
    """The drawing style with jittered parts; takes half a second to build."""
    try:
        from dicebear import Style

        text = (resources.files("dicebear_styles") / "avataaars.json").read_text("utf-8")
    except ImportError as error:
        raise _missing_extra() from error
    definition = json.loads(text)
    for part, jitter in PART_JITTER.items():
        component = definition["components"][part]
        if jitter.x or jitter.y:
            component["translate"] = {"x": _symmetric(jitter.x), "y": _symmetric(jitter.y)}
        if jitter.rotation:
            component["rotate"] = _symmetric(jitter.rotation)
        if jitter.scale:
            component["scale"] = {"min": 1 - jitter.scale, "max": 1 + jitter.scale}
    return Style(definition)


def _symmetric(largest: float) -> dict[str, float]:
    return {"min": -largest, "max": largest}


def _missing_extra() -> UserError:
    return UserError(
        "drawing avatars needs packages that are not installed:"
        ' pip install ".[demo]" in the source folder'
    )
