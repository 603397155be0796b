"""Writes images and labels in the layout of stylegan2-ada: a zip, or a folder of the same shape."""

import io
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan.datasets.targets import ImageFolder, ImageZip, Target, image_name
from stylegan_eval.engine.files import atomic_folder, atomic_write

# A class, a list of numbers, or nothing; the same kind for all images of an archive.
Label = int | Sequence[float] | None

_AT_ONCE = 10_000  # labels


def encode_png(image: np.ndarray) -> bytes:
    """PNG of one image, uint8 [C, H, W], C being 1, 3 or 4; or [H, W, 3]."""
    first = image.ndim == 3 and len(image) in (1, 3, 4) and image.shape[2] != 3
    if image.dtype != np.uint8 or not (first or image.shape[2:] == (3,)):
        raise ValueError(f"expected uint8 [3, H, W] or [H, W, 3], got {image.dtype} {image.shape}")
    if first:
        image = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # [H, W] or [H, W, C]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_archive(
    out: Path,
    images: Iterable[tuple[np.ndarray, Label]],
    *,
    attributes: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Write RGB images, uint8 [3, H, W] or [H, W, 3], as an archive; see `write_encoded`."""
    encoded = ((encode_png(image), label) for image, label in images)
    write_encoded(out, encoded, attributes=attributes, classes=classes)


def write_encoded(
    out: Path,
    images: Iterable[tuple[bytes, Label]],
    *,
    attributes: Sequence[str] = (),
    channels: int = 3,
    classes: Sequence[str] = (),
) -> None:
    """Write PNG files as ``00000/img00000000.png``, ... and their labels as ``dataset.json``.

    The zip is uncompressed and its bytes depend on nothing but the arguments. `out` appears
    whole or not at all; an existing zip is replaced, an existing folder is not.
    It is a zip if it ends in ``.zip``, else a folder. `attributes` name the numbers in each label,
    or `classes` the classes; labels of several kinds are a ValueError. `channels` are those of all
    images.
    """
    if out.suffix.lower() == ".zip":
        with atomic_write(out) as temporary:
            write_zip(temporary, images, attributes, channels, classes)
    else:
        with atomic_folder(out) as temporary:
            _fill(ImageFolder(temporary), images, attributes, channels, classes)


def write_zip(
    path: Path,
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str] = (),
    channels: int = 3,
    classes: Sequence[str] = (),
) -> None:
    """Write the zip of `write_encoded` as the file `path` itself, whatever its name."""
    with path.open("wb") as stream:
        _fill(ImageZip(stream), images, attributes, channels, classes)


def _fill(
    target: Target,
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str],
    channels: int,
    classes: Sequence[str],
) -> None:
    labels: list[Label] = []
    for png, label in images:
        target.add(png)
        labels.append(label)
    target.finish(dataset_json(labels, attributes, channels, classes))


def dataset_json(
    labels: Iterable[Label],
    attributes: Sequence[str],
    channels: int = 3,
    classes: Sequence[str] = (),
) -> bytes:
    """``dataset.json`` for images in the order of their labels, which are of one kind."""
    kinds, parts, count = set[type](), list[str](), 0
    rest = iter(labels)
    while block := list(itertools.islice(rest, _AT_ONCE)):
        plain = [None if label is None else np.asarray(label).tolist() for label in block]
        kinds |= {type(label) for label in plain}
        if kinds != {type(None)}:
            pairs = [(image_name(count + at), label) for at, label in enumerate(plain)]
            parts.append(json.dumps(pairs)[1:-1])
        count += len(block)
    if not kinds <= {int} and not kinds <= {list} and not kinds <= {type(None)}:
        raise ValueError("labels must all be int, all lists of numbers, or all None")
    given = "null" if kinds == {type(None)} else f"[{', '.join(parts)}]"
    content: dict[str, object] = {"attributes": list(attributes)}
    if channels != 3:  # others' tools look at the PNG files
        content["channels"] = channels
    if classes and kinds == {int}:
        content["class_names"] = list(classes)
    return f'{{"labels": {given}, {json.dumps(content)[1:]}'.encode()
