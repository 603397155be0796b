import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.speed.features import random_inception_state


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """Path of a weights file like the official one, with random values."""
    path = tmp_path_factory.mktemp("weights") / "random-inception.pth"
    torch.save(random_inception_state(), path)
    return path


@pytest.fixture
def fake_loader(tmp_path, monkeypatch):
    """An installed distribution that declares `tests.eval.fakes.load` as a loader."""
    info = tmp_path / "site" / "fake_loader-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-loader\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[stylegan_eval.loaders]\nfake = tests.eval.fakes:load\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(info.parent)])


@pytest.fixture
def image_folder(tmp_path):
    """Make a folder of n smooth random images of a size."""

    def make(name, count, size=16, seed=0):
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        for index in range(count):
            small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            image = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
            image.save(folder / f"{index:05d}.png")
        return folder

    return make
