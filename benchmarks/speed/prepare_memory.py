"""Memory that an image more takes of a preparation, for each kind of set.

``python -m benchmarks.speed.prepare_memory``: `stylegan-data prepare` of two sets of each kind, in
a process of its own each. What the larger one takes more at most is divided by the images more.
Files that are mapped into memory, as a database is, do not count. Linux only.
"""

import io
import itertools
import json
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import click
import numpy as np
from PIL import Image

from benchmarks.fuzz.foreign import example, record
from benchmarks.speed.prepare import side_command, some_jpegs
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.images.source import needed

_SIZE = 16  # pixels
_PAUSE = 0.003  # seconds
Images = Iterator[tuple[str, bytes]]  # names and JPEGs


def _zip(path: Path, images: Images) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in images:
            file.writestr(name, data)
    return path


def _labelled_zip(path: Path, images: Images) -> Path:
    names: list[str] = []

    def named() -> Images:
        for name, data in images:
            names.append(name)
            yield name, data

    _zip(path, named())
    pairs = [[name, number % 1000] for number, name in enumerate(names)]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("dataset.json", json.dumps({"labels": pairs}))
    return path


def _folder(path: Path, images: Images) -> Path:
    path.mkdir()
    for name, data in images:
        (path / name).write_bytes(data)
    return path


def _tar(path: Path, images: Images) -> Path:
    """A tar, packed where its name says so, with a class beside each image."""
    packed = path.suffix == ".gz"
    with tarfile.open(path, "w:gz") if packed else tarfile.open(path, "w") as file:
        for number, (name, data) in enumerate(images):
            for member, content in ((name, data), (f"{name[:-4]}.cls", b"%d" % (number % 1000))):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


def _parquet(path: Path, images: Images) -> Path:
    pyarrow, parquet = (needed(f"pyarrow{part}", "pyarrow", "parquet") for part in ("", ".parquet"))
    data = [{"bytes": data, "path": name} for name, data in images]
    labels = [number % 1000 for number in range(len(data))]
    parquet.write_table(pyarrow.table({"image": data, "label": labels}), path, row_group_size=1000)
    return path


def _lmdb(path: Path, images: Images) -> Path:
    import lmdb

    with lmdb.open(str(path), map_size=2**32) as database, database.begin(write=True) as writing:
        for name, data in images:
            writing.put(name.encode(), data)
    return path


def _tfrecords(path: Path, images: Images) -> Path:
    with path.open("wb") as file:
        for _, data in images:
            pixels = np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)
            file.write(record(example(pixels)))
    return path


KINDS: Mapping[str, tuple[str, Callable[[Path, Images], Path]]] = MappingProxyType(
    {
        "zip": ("x.zip", _zip),
        "zip with dataset.json": ("x.zip", _labelled_zip),
        "folder": ("x", _folder),
        "tar": ("x.tar", _tar),
        "tar.gz": ("x.tar.gz", _tar),
        "parquet": ("x.parquet", _parquet),
        "LMDB": ("x", _lmdb),
        "TFRecords": ("x.tfrecords", _tfrecords),
    }
)


def _images(jpegs: Sequence[bytes], count: int) -> Images:
    for number, data in enumerate(itertools.islice(itertools.cycle(jpegs), count)):
        yield f"{number:07d}.jpg", data


def peak_of(source: Path) -> float:
    """Most memory, in MiB, that preparing a set takes, looked at every few milliseconds."""
    words = side_command("prepare", source, _SIZE // 2)
    peak = 0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    peak = max(peak, int(line.split()[1]))
            time.sleep(_PAUSE)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak / 1024


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--few", type=click.IntRange(min=1000), default=20_000, help="Images of a set.")
@click.option("--many", type=click.IntRange(min=2000), default=60_000, help="Of the larger set.")
@click.option("--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, default=list(KINDS))
def main(few: int, many: int, kinds: Sequence[str]) -> None:
    """Print a row for each kind of set."""
    jpegs = some_jpegs(64, _SIZE)
    for kind in kinds:
        name, write = KINDS[kind]
        peaks = []
        for count in (few, many):
            with tempfile.TemporaryDirectory() as folder:
                source = write(Path(folder, name), _images(jpegs, count))
                peaks.append(peak_of(source))
        grown = 2**20 * (peaks[1] - peaks[0]) / (many - few)
        print(
            f"{kind}: {peaks[0]:.0f} and {peaks[1]:.0f} MiB at most for {few:,} and {many:,}"
            f" images: {grown:.0f} bytes an image"
        )


if __name__ == "__main__":
    main()
