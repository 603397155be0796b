"""Images of unlike sizes: each goes through the network's resize, as packages do it."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import stylegan_eval as se
from stylegan_eval.engine.blocks import Run
from stylegan_eval.images.files import open_images, read_batches, read_groups
from stylegan_eval.metrics.features import FeatureCollector
from stylegan_eval.metrics.image_metrics import files_features
from stylegan_eval.metrics.sources import choose_reals
from stylegan_eval.networks.network import load_detector
from stylegan_eval.settings.common import Sampling
from tests.eval.fakes import PixelDetector
from tests.eval.parity import write_images

LITE = {"features": "efficientnet-lite0", "device": "cpu"}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mixed(tmp_path):
    """Folders of fakes (40 and 72 pixels) and of reals (64, and an oblong of 90x50)."""
    for name, sizes in (("fakes", (40, 72)), ("reals", (64, 128))):
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            folder, _ = write_images(tmp_path / f"{name}{size}", 2, size, seed=size)
            for index, path in enumerate(sorted(folder.iterdir())):
                shutil.copy(path, tmp_path / name / f"{index}{number}.png")  # sizes alternate
    oblong = tmp_path / "reals" / "11.png"
    Image.open(oblong).resize((90, 50)).save(oblong)
    return tmp_path / "fakes", tmp_path / "reals"


# What the packages pass to scipy's sqrtm and to torchvision will go.
@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
def test_features_are_those_of_the_packages(mixed, inception_weights, monkeypatch):
    from cleanfid.fid import get_folder_features
    from pytorch_fid.fid_score import get_activations
    from pytorch_fid.inception import InceptionV3
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.utils import extract_featuresdict_from_input_id

    monkeypatch.setattr(
        "pytorch_fid.inception.load_state_dict_from_url",
        lambda url, progress: torch.load(inception_weights, weights_only=True),
    )
    network = InceptionV3().eval()
    fidelity = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(inception_weights)
    )
    options = {
        "input1": str(mixed[0]), "input2": str(mixed[1]), "cuda": False, "batch_size": 1,
        "samples_shuffle": False, "save_cpu_ram": True, "verbose": False,
    }  # fmt: skip
    features = {
        "pytorch-fid": [
            get_activations(sorted(folder.iterdir()), network, batch_size=1, num_workers=0)
            for folder in mixed
        ]
    }
    network.resize_input = False
    features |= {
        "clean": [
            get_folder_features(
                str(folder), lambda x: network(x / 256)[0].flatten(1), num_workers=0,
                device=CPU, mode="clean", verbose=False,
            )
            for folder in mixed
        ],
        "tf1": [
            extract_featuresdict_from_input_id(number, fidelity, **options)["2048"].numpy()
            for number in (1, 2)
        ],
    }  # fmt: skip
    for resize, theirs in features.items():
        detector = load_detector("inception", resize, inception_weights, CPU)
        for folder, expected in zip(mixed, theirs, strict=True):
            found = vectors_of(folder, detector, batch=3)
            assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max(), resize


def vectors_of(folder, detector, batch):
    """Features of all images of a folder."""
    with open_images(folder) as files:
        images = choose_reals(files, 4, "full", Sampling(num=4, batch=batch), mirror=False)
        run = Run(device=CPU)
        collector = FeatureCollector(detector=detector, kinds=("vectors",), num=4)
        vectors = files_features(images, collector, run).vectors
        run.finish()
        return vectors


def test_the_row_says_where_sizes_differ_from_the_cache_too(mixed, image_folder):
    small, large = image_folder("small", 4), image_folder("large", 4, size=32, seed=1)
    assert "16x16" not in se.kid(small, image_folder("others", 4, seed=2), **LITE).note
    assert "fakes are 16x16, reals are 32x32: " in se.kid(small, large, **LITE).note
    for _ in range(2):  # the second time from the cache
        note = se.kid(small, mixed[1], **LITE).note
        assert "fakes are 16x16, reals are of 3 sizes, 64x64 to 128x128: " in note
        assert "sharpness" in note


def test_images_in_memory_may_be_of_unlike_sizes(mixed):
    images = [Image.open(path) for path in sorted(mixed[0].iterdir())]
    expected, found = (se.kid(fakes, mixed[1], **LITE) for fakes in (mixed[0], images))
    assert found.value == expected.value
    assert found.note == expected.note
    assert found.generator == "4 images of unlike sizes in memory"


def test_features_are_in_the_order_of_the_images_whatever_the_batch(mixed, monkeypatch):
    vectors = []
    for batch in (1, 3, 8):
        monkeypatch.setenv("STYLEGAN_CACHE", str(mixed[0].parent / f"cache{batch}"))
        vectors.append(vectors_of(mixed[1], PixelDetector(), batch))
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[2])


def test_equal_images_are_in_whole_batches(mixed, image_folder):
    with open_images(image_folder("equal", 7)) as files:
        groups = list(read_groups(files, [6, *range(6)], 3))
        batches = list(read_batches(files, [6, *range(6)], 3))
    assert [places for places, _ in groups] == [[0, 1, 2], [3, 4, 5], [6]]
    assert all(np.array_equal(a, b) for (_, a), b in zip(groups, batches, strict=True))
    with open_images(mixed[0]) as files:
        assert [places for places, _ in read_groups(files, range(4), 4)] == [[0, 2], [1, 3]]
