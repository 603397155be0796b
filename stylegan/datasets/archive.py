"""Writes images and labels in the layout of stylegan2-ada: a zip, or a folder of the same shape."""

import functools
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_eval.engine.files import atomic_folder, atomic_write
from stylegan_eval.images.labels import DATASET_JSON

# A class, a list of numbers, or nothing; the same kind for all images of an archive.
Label = int | Sequence[float] | None

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date a zip can hold: same images, same bytes
_IMAGES_PER_FOLDER = 1000


def image_name(index: int) -> str:
    """Name of image `index` in an archive.

    >>> image_name(12345)
    '00012/img00012345.png'
    """
    return f"{index // _IMAGES_PER_FOLDER:05d}/img{index:08d}.png"


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
            _fill(functools.partial(add_file, temporary), images, attributes, channels, classes)


def write_zip(
    path: Path,
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str] = (),
    channels: int = 3,
    classes: Sequence[str] = (),
) -> None:
    """Write the zip of `write_encoded` as the file `path` itself, whatever its name."""
    with zipfile.ZipFile(path, "w") as file:
        add = functools.partial(_add_entry, file)
        _fill(add, images, attributes, channels, classes)


def _add_entry(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    file.writestr(zip_entry(name), data)


def _fill(
    add: Callable[[str, bytes], None],
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str],
    channels: int,
    classes: Sequence[str],
) -> None:
    labels: list[Label] = []
    for index, (png, label) in enumerate(images):
        add(image_name(index), png)
        labels.append(label)
    add(DATASET_JSON, dataset_json(labels, attributes, channels, classes))


def zip_entry(name: str) -> zipfile.ZipInfo:
    """An entry that depends on its name alone: neither on the time nor on the system."""
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.create_system = 3  # Unix on every system
    info.external_attr = 0o644 << 16
    return info


def add_file(folder: Path, name: str, data: bytes) -> None:
    """Write a file below `folder`, and the one folder that it is in."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)


def dataset_json(
    labels: Sequence[Label],
    attributes: Sequence[str],
    channels: int = 3,
    classes: Sequence[str] = (),
) -> bytes:
    """``dataset.json`` for images in the order of their labels, which are of one kind."""
    plain = [None if label is None else np.asarray(label).tolist() for label in labels]
    kinds = {type(label) for label in plain}
    if not kinds <= {int} and not kinds <= {list} and not kinds <= {type(None)}:
        raise ValueError("labels must all be int, all lists of numbers, or all None")
    pairs = [(image_name(index), label) for index, label in enumerate(plain)]
    given = None if kinds == {type(None)} else pairs
    content: dict[str, object] = {"labels": given, "attributes": list(attributes)}
    if channels != 3:  # others' tools look at the PNG files
        content["channels"] = channels
    if classes and kinds == {int}:
        content["class_names"] = list(classes)
    return json.dumps(content).encode()
