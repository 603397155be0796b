"""What measurements hold of N images, as docs/metrics.md says it."""

import numpy as np
import pytest
import torch

from stylegan_eval.engine.blocks import Blocks, split
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.features import FeatureCollector, gathered
from tests.eval.fakes import PixelDetector

DIM = 12


class Network(PixelDetector):
    def logits(self, features):
        return features[:, :5]


def held(kind, num):
    """Bytes of what is gathered of `num` images."""
    collector = FeatureCollector(detector=Network(), kinds=(kind,), num=num, splits=10)
    blocks = split(num)

    def read(number):
        part, block = collector.begin(), blocks[number]
        vectors = np.random.default_rng(number).random((len(block), DIM), dtype=np.float32)
        part.take(torch.from_numpy(vectors), block)
        return dict(part.arrays())

    seen = gathered(collector, Blocks(len(blocks), read))
    of_stats = [value for stats in seen.blocks for value in stats.arrays().values()]
    of_classes = [] if seen.classes is None else list(seen.classes.arrays().values())
    arrays = [seen.vectors, seen.sample, *of_stats, *of_classes]
    return sum(np.asarray(array).nbytes for array in arrays if array is not None)


@pytest.mark.parametrize("kind", ["moments", "classes"])
def test_of_moments_and_classes_it_is_flat(kind):
    assert held(kind, 1300) == held(kind, 13_000) > 0


def test_of_vectors_it_is_four_bytes_of_a_feature():
    assert held("vectors", 1300) == 4 * DIM * 1300


def test_the_metrics_without_vectors_are_those_that_the_document_names():
    of_images = {name: row for name, row in METRICS.items() if row.is_of_images}
    flat = {name for name, row in of_images.items() if "vectors" not in (*row.fake, *row.real)}
    assert flat == {"fid", "sfid", "is"}
