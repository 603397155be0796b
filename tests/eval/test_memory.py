"""What measurements hold of N images, as docs/metrics.md says it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_eval.engine import safe_files
from stylegan_eval.engine.blocks import Blocks, split
from stylegan_eval.metrics import METRICS, features
from stylegan_eval.metrics.features import FeatureCollector, gathered
from stylegan_eval.metrics.kid import kid
from stylegan_eval.settings.image_metrics import KidSettings
from tests.eval.fakes import PixelDetector

DIM = 12


class Network(PixelDetector):
    def logits(self, features):
        return features[:, :5]


def seen_of(kind, num, dim=DIM):
    """What is gathered of `num` images."""
    collector = FeatureCollector(detector=Network(), kinds=(kind,), num=num, splits=10)
    blocks = split(num)

    def read(number):
        part, block = collector.begin(), blocks[number]
        vectors = np.random.default_rng(number).random((len(block), dim), dtype=np.float32)
        part.take(torch.from_numpy(vectors), block)
        return dict(part.arrays())

    return gathered(collector, Blocks(len(blocks), read))


def held(kind, num):
    """Bytes of it."""
    seen = seen_of(kind, num)
    of_stats = [value for stats in seen.blocks for value in stats.arrays().values()]
    of_classes = [] if seen.classes is None else list(seen.classes.arrays().values())
    arrays = [seen.vectors, seen.sample, *of_stats, *of_classes]
    return sum(np.asarray(array).nbytes for array in arrays if array is not None)


@pytest.mark.parametrize("kind", ["moments", "classes"])
def test_of_moments_and_classes_it_is_flat(kind):
    assert held(kind, 1300) == held(kind, 13_000) > 0


def test_of_vectors_it_is_four_bytes_of_a_feature():
    assert held("vectors", 1300) == 4 * DIM * 1300


@pytest.fixture
def in_files(tmp_path, monkeypatch):
    """Arrays of more than 1000 bytes lie in files."""
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(safe_files, "MAPPED", 1000)
    return tmp_path


def is_in_a_file(array):
    return array is not None and (isinstance(array, np.memmap) or is_in_a_file(array.base))


def test_vectors_in_a_file_are_those_of_memory_and_leave_none(in_files, monkeypatch):
    seen = seen_of("vectors", 700)
    assert is_in_a_file(seen.vectors)
    assert list((in_files / "work").iterdir()) == []  # gone with the array
    monkeypatch.setattr(safe_files, "MAPPED", 2**27)
    assert np.array_equal(seen.vectors, seen_of("vectors", 700).vectors)
    monkeypatch.setattr(safe_files, "MAPPED", 0)
    values = {
        kid(KidSettings(num=700, features="vgg16", subsets=5, subset_size=50), seen, seen)[0].value
        for seen in (seen, replace(seen, vectors=np.array(seen.vectors)))
    }
    assert len(values) == 1


def test_vectors_of_the_cache_stay_in_their_file_and_damage_is_seen(in_files):
    collector = FeatureCollector(detector=Network(), kinds=("vectors",), num=700)
    seen, key = seen_of("vectors", 700), {"content": "x"}
    features.keep(key, collector, seen)
    found = features.find(key, collector).vectors
    assert is_in_a_file(found)
    assert np.array_equal(found, seen.vectors)
    found[0] = 1  # a copy of a page
    (file,) = features.cached_files()
    assert features.is_as_written(file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert not features.is_as_written(file)
    assert features.find(key, collector) is None


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux reports anonymous memory"
)
def test_kid_of_many_images_holds_few_in_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))

    def anonymous():  # kilobytes that are no file's
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    before = anonymous()
    seen = seen_of("vectors", 40_000, dim=1000)
    settings = KidSettings(num=40_000, features="vgg16", subsets=3, subset_size=100)
    assert abs(kid(settings, seen, seen)[0].value) < 0.1
    assert seen.vectors.nbytes == 160_000_000
    assert anonymous() - before < 60_000


def test_the_metrics_without_vectors_are_those_that_the_document_names():
    of_images = {name: row for name, row in METRICS.items() if row.is_of_images}
    flat = {name for name, row in of_images.items() if "vectors" not in (*row.fake, *row.real)}
    assert flat == {"fid", "sfid", "is"}
