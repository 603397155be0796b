"""Every reader of files, with a small valid file of its kind and the ways to damage it."""

import io
import json
import struct
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.fuzz import mutants
from benchmarks.fuzz.mutants import Mutate
from stylegan.checkpoint import checkpoint_path, load_state, read_checkpoint, save_checkpoint
from stylegan.config_file import config_text, read_config
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import encode_png, write_archive
from stylegan.datasets.sources.detect import open_source
from stylegan.draw.arrays import read_npy, write_npy
from stylegan.formats.nvidia import read_nvidia
from stylegan.network_file import read_network, save_network
from stylegan.opening import network_of, open_networks
from stylegan.presets import apply_preset, with_options
from stylegan.provenance import Provenance
from stylegan.runtime import Runtime
from stylegan.training.evaluate import read_best
from stylegan.training.run_status import read_status
from stylegan.training.settings import RunSettings, read_settings, write_settings
from stylegan.training.state import TrainState
from stylegan.training.status_text import status_lines
from stylegan_eval.classifiers.classifier import (
    AttributeRecord,
    ClassifierRecord,
    TrainedClassifier,
)
from stylegan_eval.classifiers.network import build_network
from stylegan_eval.classifiers.storage import load_classifier, save_classifier
from stylegan_eval.decoding import decode
from stylegan_eval.directions import Directions, read_directions, write_directions
from stylegan_eval.distances import Distances, read_distances, write_distances
from stylegan_eval.json_lines import append_rows, read_rows
from stylegan_eval.report.finding import find
from stylegan_eval.report.runs import read_run
from stylegan_eval.results import Row, append_csv
from stylegan_eval.statistics import FeatureStats
from stylegan_eval.stats_file import read_stats, write_stats
from stylegan_eval.weights import read_weights

CPU = torch.device("cpu")
_RNG = np.random.default_rng(0)
_IMAGE = _RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A kind of file."""

    make: Callable[[Path], Path]  # writes valid files into a folder; which of them is damaged
    read: Callable[[Path], object]
    mutate: tuple[Mutate, ...] = ()  # beside `mutants.of_bytes`
    saved: bool = False  # whether `mutants.of_saved` applies
    memory: int = 2**30  # beyond what the process has before
    share: float = 1  # of all copies: less where reading takes long


def _config() -> Any:
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=8)
    network = replace(
        config.network, fmap_base=16, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4, label_size=2
    )
    return replace(config, network=replace(network, mapping_layers=1))


def _checkpoint(folder: Path) -> Path:
    config, runtime = _config(), Runtime.choose("cpu")
    path = checkpoint_path(folder, 0)
    state = TrainState.fresh(config, runtime, 0)
    save_checkpoint(path, state, config, Provenance(seed=0, data="x", version="1"), torch.eye(2))
    return path


def _network(folder: Path) -> Path:
    path = folder / "network.safetensors"
    save_network(path, network_of(read_checkpoint(_checkpoint(folder))))
    return path


def _foreign(folder: Path, *, as_zip: bool) -> Path:
    """Generator in huangzh13's layout, the smallest."""
    width, path = 4, folder / "foreign.pth"
    tree: dict[str, Any] = {}
    for k in range(2):
        tree[f"g_mapping.map.dense{k}.weight"] = torch.randn(
            width, width, generator=torch.Generator().manual_seed(k)
        )
        tree[f"g_mapping.map.dense{k}.bias"] = torch.zeros(width)
    for i, block in enumerate(("init_block", "blocks.0")):
        at = f"g_synthesis.{block}"
        if i == 0:
            tree |= {f"{at}.const": torch.ones(1, width, 4, 4), f"{at}.bias": torch.zeros(width)}
            second = "conv"
        else:
            tree |= {f"{at}.conv0_up.weight": torch.ones(width, width, 3, 3)}
            tree |= {f"{at}.conv0_up.bias": torch.zeros(width)}
            taps = torch.tensor([1.0, 2.0, 1.0]) / 4
            tree[f"{at}.conv0_up.intermediate.kernel"] = torch.outer(taps, taps)[None, None]
            second = "conv1"
        tree |= {f"{at}.{second}.weight": torch.ones(width, width, 3, 3)}
        tree |= {f"{at}.{second}.bias": torch.ones(width)}
        for k in (1, 2):
            tree[f"{at}.epi{k}.top_epi.noise.weight"] = torch.ones(width)
            tree[f"{at}.epi{k}.style_mod.lin.weight"] = torch.ones(2 * width, width)
            tree[f"{at}.epi{k}.style_mod.lin.bias"] = torch.ones(2 * width)
        tree[f"g_synthesis.to_rgb.{i}.weight"] = torch.ones(3, width, 1, 1)
        tree[f"g_synthesis.to_rgb.{i}.bias"] = torch.ones(3)
    torch.save(tree, path, _use_new_zipfile_serialization=as_zip)
    return path


_DTYPE = (
    b"cnumpy\ndtype\n(X\2\0\0\0f4\x89\x88tR(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
)


def _pickled(value: Any) -> bytes:
    """Opcodes of plain values and arrays."""
    if isinstance(value, dict):
        pairs = b"".join(_pickled(k) + _pickled(v) for k, v in value.items())
        return b"}(" + pairs + b"u"
    if isinstance(value, list | tuple):
        inner = b"".join(map(_pickled, value))
        return b"](" + inner + b"e" if isinstance(value, list) else b"(" + inner + b"t"
    if isinstance(value, str):
        return b"X" + struct.pack("<L", len(value)) + value.encode()
    if isinstance(value, np.ndarray):
        state = b"(K\1" + _pickled(value.shape) + _DTYPE + b"\x89B"
        raw = value.astype("<f4").tobytes()
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR"
        return made + state + struct.pack("<L", len(raw)) + raw + b"tb"
    if isinstance(value, int):
        return b"J" + struct.pack("<l", value)
    assert value is None
    return b"N"


def _official(folder: Path) -> Path:
    """A discriminator of 8x8 as NVIDIA's pickles hold it."""
    C = 4
    shapes = {
        "FromRGB_lod0": (1, 1, 3, C), "FromRGB_lod1": (1, 1, 3, C), "8x8/Conv0": (3, 3, C, C),
        "8x8/Conv1_down": (3, 3, C, C), "4x4/Conv": (3, 3, C + 1, C), "4x4/Dense0": (16 * C, C),
        "4x4/Dense1": (C, 1),
    }  # fmt: skip
    variables: list[tuple[str, Any]] = [("lod", np.zeros((), np.float32))]
    for name, shape in shapes.items():
        variables.append((f"{name}/weight", np.ones(shape, np.float32)))
        variables.append((f"{name}/bias", np.zeros(shape[-1], np.float32)))
    state = {
        "version": 3,
        "name": "D",
        "static_kwargs": {"resolution": 8, "fmap_max": C, "num_channels": 3, "label_size": 0},
        "components": {},
        "build_func_name": "D_basic",
        "variables": variables,
    }
    path = folder / "network.pkl"
    made = b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81" + _pickled(state) + b"b."
    path.write_bytes(made)
    return path


def _statistics(folder: Path) -> Path:
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    path = folder / "stats.npz"
    write_stats(path, FeatureStats.of(features, "x"), {"content": "y"})
    return path


def _distances(folder: Path) -> Path:
    path = folder / "lengths.npz"
    lengths = {"ppl_wend": np.arange(5.0), "ppl_zfull": np.arange(5.0)}
    write_distances(path, Distances(lengths=lengths, generator="g", generator_digest="d", seed=0))
    return path


def _labelled(path: Path) -> Path:
    write_archive(path, ((_IMAGE + k, k % 2) for k in range(3)))
    return path


def _of_format(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"x.{kind.lower()}"
        Image.fromarray(_IMAGE).save(path, kind)
        return path

    return make


def _png(folder: Path) -> Path:
    path = folder / "x.png"
    path.write_bytes(encode_png(_IMAGE))
    return path


def _read_images(path: Path) -> None:
    opened = open_source(path)
    try:
        for index in range(len(opened)):
            opened.header(index)
            opened.read(index)
    finally:
        opened.close()


def _tar(folder: Path) -> Path:
    path = folder / "x.tar"
    with tarfile.open(path, "w") as file:
        for k in range(2):
            for ending, data in (("png", encode_png(_IMAGE)), ("json", b'{"label": 1}')):
                info = tarfile.TarInfo(f"{k:05d}.{ending}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def _record(data: bytes) -> bytes:
    import google_crc32c

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<L", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def _example() -> bytes:
    """tf.train.Example of an image [3, 8, 8]: features "shape" and "data"."""

    def field(number: int, data: bytes) -> bytes:
        size = len(data)
        prefix = bytes([size & 127 | 128, size >> 7]) if size > 127 else bytes([size])
        return bytes([number << 3 | 2]) + prefix + data

    shape = field(3, field(1, bytes([3, 8, 8])))
    pixels = field(1, field(1, _IMAGE.transpose(2, 0, 1).tobytes()))
    entries = (("data", pixels), ("shape", shape))
    return field(
        1, b"".join(field(1, field(1, n.encode()) + field(2, value)) for n, value in entries)
    )


def _tfrecords(folder: Path) -> Path:
    path = folder / "x.tfrecords"
    path.write_bytes(_record(_example()) * 2)
    return path


def _of_records(_data: bytes, rng: np.random.Generator) -> bytes:
    return _record(mutants.of_bytes(_example(), rng)) + _record(_example())


def _database(folder: Path) -> Path:
    import lmdb

    with lmdb.open(str(folder), map_size=2**20) as found, found.begin(write=True) as writing:
        writing.put(b"length", b"1")
        writing.put(b"8-00000", encode_png(_IMAGE))
    (folder / "lock.mdb").unlink()
    return folder / "data.mdb"


def _config_file(folder: Path) -> Path:
    path = folder / "config.json"
    path.write_text(config_text(_config()))
    return path


def _run(folder: Path) -> Path:
    """A training's folder."""
    write_settings(_config(), RunSettings(out=folder, data=folder / "x.zip"))
    for name in ("log.jsonl", "metrics.jsonl"):
        numbers = {"nimg": 1000, "kimg": 1.0, "lod": 0.0, "seconds": 1.0, "resolution": 8}
        named = {"metric": "fid50k", "asked": "fid50k", "value": 3.5, "stderr": None}
        append_rows(folder / name, [{**numbers, **named, "checkpoint": "x.pt"}] * 2)
    best = {"asked": "fid50k", "metric": "fid50k", "value": 3.0, "stderr": None, "kimg": 1.0}
    (folder / "best.json").write_text(json.dumps(best))
    (folder / "best.pt").write_bytes(b"")
    return folder / "run.json"


def _beside(name: str) -> Callable[[Path], Path]:
    return lambda folder: _run(folder).with_name(name)


def _read_run(path: Path) -> object:
    read_settings(path.parent)
    read_best(path.parent)
    return read_run(path.parent).newest


def _read_status(path: Path) -> object:
    """What `stylegan-train status` reads: it also computes what is left."""
    return list(status_lines(read_status(path.parent)))


def _table(folder: Path) -> Path:
    path = folder / "results.csv"
    row = Row(
        metric="fid50k", value=1.5, stderr=0.1, num=10, seed=0, protocol={"a": "b"},
        details={"c": "d"}, precision="fp32", device="cpu", seconds=1.0, generator="g",
    )  # fmt: skip
    append_csv(path, [row, replace(row, metric="is50k")])
    return path


def _directions(folder: Path) -> Path:
    path = folder / "directions.safetensors"
    normals = np.eye(2, 4, dtype=np.float32)
    ones = np.ones(2, np.float32)
    write_directions(
        path,
        Directions(
            names=("a", "b"), normals=normals, spreads=ones, accuracies=ones,
            generator_digest="x", description="y",
        ),
    )  # fmt: skip
    return path


def _classifiers(folder: Path) -> Path:
    path = folder / "classifiers.safetensors"
    network = build_network("small", 16, 1).to_empty(device="cpu")
    network.initialise(torch.Generator().manual_seed(0))
    attribute = AttributeRecord(name="a", share=0.5, accuracy=0.9, balanced_accuracy=0.9)
    record = ClassifierRecord(
        architecture="small", resolution=16, attributes=(attribute,), data_digest="x", images=4,
        held_out=2, epochs=1, batch=2, seed=0, lrate=0.1, version="1",
    )  # fmt: skip
    save_classifier(path, TrainedClassifier(network=network, record=record))
    return path


def _latents(folder: Path) -> Path:
    path = folder / "w.npy"
    write_npy(path, np.ones((2, 4), np.float32))
    return path


_DECODED = 2**32  # images have up to 2^28 pixels, whatever their files have
_SAFETENSORS = (mutants.of_safetensors,)
_ARRAYS = (mutants.of_zip(mutants.of_npy), mutants.of_zip(mutants.of_bytes))

READERS: Mapping[str, Reader] = {
    "checkpoint": Reader(
        make=_checkpoint,
        read=lambda path: load_state(read_checkpoint(path), Runtime.choose("cpu")),
        mutate=(mutants.of_zip(mutants.of_bytes),) * 2,
        saved=True,
    ),
    "networks": Reader(
        make=lambda folder: _foreign(folder, as_zip=True),
        read=open_networks,
        mutate=(mutants.of_zip(mutants.of_bytes),),
        saved=True,
    ),
    "old PyTorch": Reader(make=lambda folder: _foreign(folder, as_zip=False), read=open_networks),
    "weights": Reader(
        make=lambda folder: _foreign(folder, as_zip=True), read=read_weights, saved=True
    ),
    "network file": Reader(make=_network, read=read_network, mutate=_SAFETENSORS),
    "weights as safetensors": Reader(make=_network, read=read_weights, mutate=_SAFETENSORS),
    "pickle": Reader(make=_official, read=read_nvidia),
    "pickled classifier": Reader(make=_official, read=lambda path: load_classifier(path, CPU)),
    "statistics": Reader(make=_statistics, read=read_stats, mutate=_ARRAYS),
    "path lengths": Reader(make=_distances, read=read_distances, mutate=_ARRAYS),
    "zip": Reader(
        make=lambda folder: _labelled(folder / "x.zip"),
        read=_read_images,
        mutate=(mutants.of_zip(mutants.of_bytes), mutants.of_zip(mutants.of_chunks)),
    ),
    "labels": Reader(
        make=lambda folder: _labelled(folder / "images") / "dataset.json",
        read=lambda path: _read_images(path.parent),
        mutate=(mutants.of_json,) * 3,
    ),
    "tar": Reader(make=_tar, read=_read_images, mutate=(mutants.of_members,)),
    "TFRecords": Reader(make=_tfrecords, read=_read_images, mutate=(_of_records,)),
    "LMDB": Reader(make=_database, read=_read_images),
    "PNG": Reader(
        make=_png,
        read=lambda path: decode(path.read_bytes(), str(path)),
        mutate=(mutants.of_chunks,) * 2,
        memory=_DECODED,
    ),
    **{
        kind: Reader(
            make=_of_format(kind),
            read=lambda path: decode(path.read_bytes(), str(path)),
            memory=_DECODED,
        )
        for kind in ("JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
    },
    "configuration": Reader(make=_config_file, read=read_config, mutate=(mutants.of_json,) * 3),
    "run.json": Reader(make=_run, read=_read_run, mutate=(mutants.of_json,) * 3),
    "log": Reader(make=_beside("log.jsonl"), read=_read_run, mutate=(mutants.of_lines,) * 3),
    "metrics of a run": Reader(
        make=_beside("metrics.jsonl"), read=_read_run, mutate=(mutants.of_lines,) * 3
    ),
    "best.json": Reader(
        make=_beside("best.json"),
        read=_read_run,
        mutate=(mutants.of_json,) * 2,
    ),
    "table of results": Reader(
        make=_table, read=lambda path: find([path]), mutate=(mutants.of_cells,) * 2
    ),
    "directions": Reader(make=_directions, read=read_directions, mutate=_SAFETENSORS),
    "classifiers": Reader(
        make=_classifiers, read=lambda path: load_classifier(path, CPU), mutate=_SAFETENSORS
    ),
    "latents": Reader(
        make=_latents, read=lambda path: read_npy(path, (None, 4), "w"), mutate=(mutants.of_npy,)
    ),
    "status by run.json": Reader(
        make=_run, read=_read_status, mutate=(mutants.of_json,) * 3, share=0.05
    ),
    "status by the log": Reader(
        make=_beside("log.jsonl"), read=_read_status, mutate=(mutants.of_lines,) * 3, share=0.05
    ),
    "rows": Reader(make=_beside("log.jsonl"), read=read_rows, mutate=(mutants.of_lines,)),
}
