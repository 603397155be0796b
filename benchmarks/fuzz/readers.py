"""Every reader of files, with a small valid file of its kind and the ways to damage it."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.fuzz import mutants
from benchmarks.fuzz.foreign import IMAGE, example, huangzh13, official, record
from benchmarks.fuzz.mutants import Mutate
from stylegan.checkpoint import checkpoint_path, read_checkpoint, save_checkpoint
from stylegan.configs import CONFIGS, config_text, read_config
from stylegan.datasets.archive import encode_png, write_archive
from stylegan.datasets.sources import open_source
from stylegan.formats.nvidia import read_nvidia
from stylegan.network_file import read_network, save_network
from stylegan.opening import open_networks
from stylegan.png import read_npy, write_npy
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.evaluate import read_best
from stylegan.training.settings import RunSettings, read_settings, write_settings
from stylegan.training.state import TrainState, load_state
from stylegan.training.status import read_status, status_lines
from stylegan_eval.classifiers.classifier import AttributeRecord, ClassifierRecord
from stylegan_eval.classifiers.network import build_network
from stylegan_eval.classifiers.storage import load_classifier, save_classifier
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import read_stats, write_stats
from stylegan_eval.images.decoding import decode
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.report.subjects import find
from stylegan_eval.results.directions_file import Directions, read_directions, write_directions
from stylegan_eval.results.measured import newest_of
from stylegan_eval.results.paired import PROJECTED, projected
from stylegan_eval.results.path_length_file import Distances, read_distances, write_distances
from stylegan_eval.results.results import Row, append_csv
from stylegan_eval.results.run_folder import append_rows, read_rows, read_run

CPU = torch.device("cpu")


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
    provenance = Provenance(seed=0, data="x", version="1")
    save_checkpoint(path, state.snapshot(config, provenance, torch.eye(2)))
    return path


def _network(folder: Path) -> Path:
    path = folder / "network.safetensors"
    save_network(path, read_checkpoint(_checkpoint(folder)))
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
    write_archive(path, ((IMAGE + k, k % 2) for k in range(3)))
    return path


def _of_format(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"x.{kind.lower()}"
        Image.fromarray(IMAGE).save(path, kind)
        return path

    return make


def _file(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content())
        return folder / name

    return make


def _read_images(path: Path) -> None:
    with closing(open_source(path)) as opened:
        for index in range(len(opened)):
            opened.header(index)
            opened.read(index)


def _tar(folder: Path) -> Path:
    path = folder / "x.tar"
    with tarfile.open(path, "w") as file:
        for k in range(2):
            for ending, data in (("png", encode_png(IMAGE)), ("json", b'{"label": 1}')):
                info = tarfile.TarInfo(f"{k:05d}.{ending}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def _example() -> bytes:
    return example(IMAGE.transpose(2, 0, 1))


def _of_records(_data: bytes, rng: np.random.Generator) -> bytes:
    return record(mutants.of_bytes(_example(), rng)) + record(_example())


def _database(folder: Path) -> Path:
    import lmdb

    with lmdb.open(str(folder), map_size=2**20) as found, found.begin(write=True) as writing:
        writing.put(b"length", b"1")
        writing.put(b"8-00000", encode_png(IMAGE))
    (folder / "lock.mdb").unlink()
    return folder / "data.mdb"


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
    return newest_of(read_run(path.parent))


def _read_status(path: Path) -> object:
    """Read as `stylegan-train status` does, with the time left."""
    return list(status_lines(read_status(path.parent)))


def _table(folder: Path) -> Path:
    path = folder / "results.csv"
    row = Row(
        metric="fid50k", value=1.5, stderr=0.1, num=10, seed=0, protocol={"a": "b"},
        details={"c": "d", PROJECTED: projected(np.arange(9.0), 9, 0.1)}, precision="fp32",
        device="cpu", seconds=1.0, generator="g",
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
    save_classifier(path, record, network)
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
        make=lambda folder: huangzh13(folder, as_zip=True),
        read=open_networks,
        mutate=(mutants.of_zip(mutants.of_bytes),),
        saved=True,
    ),
    "old PyTorch": Reader(make=lambda folder: huangzh13(folder, as_zip=False), read=open_networks),
    "weights": Reader(
        make=lambda folder: huangzh13(folder, as_zip=True), read=read_weights, saved=True
    ),
    "network file": Reader(make=_network, read=read_network, mutate=_SAFETENSORS),
    "weights as safetensors": Reader(make=_network, read=read_weights, mutate=_SAFETENSORS),
    "pickle": Reader(make=official, read=read_nvidia),
    "pickled classifier": Reader(make=official, read=lambda path: load_classifier(path, CPU)),
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
    "TFRecords": Reader(
        make=_file("x.tfrecords", lambda: record(_example()) * 2),
        read=_read_images,
        mutate=(_of_records,),
    ),
    "LMDB": Reader(make=_database, read=_read_images),
    "PNG": Reader(
        make=_file("x.png", lambda: encode_png(IMAGE)),
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
    "configuration": Reader(
        make=_file("config.json", lambda: config_text(_config()).encode()),
        read=read_config,
        mutate=(mutants.of_json,) * 3,
    ),
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
