"""Small images and archives for the tests of the data part."""

import io
import json
import resource
import struct
import sys
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests import starting


def noise(height, width, seed=0):
    """uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image, file_format="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def write_folder(path, files):
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def write_zip(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def pngs(count, size=8):
    """Names and files of `count` square noise images."""
    return {f"{n:03d}.png": encoded(noise(size, size, n)) for n in range(count)}


def dataset_json(labels, **more):
    return json.dumps({"labels": labels, **more}).encode()


def everything_below(path):
    """Relative names of all there is below a folder, hidden files and folders included."""
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))


def run_with_small_disk(script, arguments):
    """Run a Python script in a process that cannot write a file of more than 10,000 bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))

    return starting.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def channels_first(image):
    return image.transpose(2, 0, 1)


def png_chunks(*chunks):
    """A PNG made by hand: what Pillow cannot write."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        parts += [struct.pack(">I", len(data)), kind, data, checksum]
    return b"".join(parts)


BOMB = png_chunks(
    (b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))
)
