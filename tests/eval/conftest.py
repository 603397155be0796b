import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.speed.features import random_inception_state
from stylegan_eval.generators.factories import generator_from
from stylegan_eval.networks.vgg16 import Vgg16
from tests.eval import parity
from tests.eval.kinds import CPU, HEAD
from tests.eval.report_pages import made


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """Path of a weights file like the official one, with random values."""
    path = tmp_path_factory.mktemp("weights") / "random-inception.pth"
    torch.save(random_inception_state(), path)
    return path


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """A report with everything on it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("report")
        patch.setenv("STYLEGAN_CACHE", str(folder / "cache"))
        return made(folder)


@pytest.fixture(scope="session")
def vgg16_weights(tmp_path_factory):
    """Path of a file like torchvision's VGG16, with random values that keep the variance."""
    rng = torch.Generator().manual_seed(1)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Vgg16().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        gain = math.sqrt(2 / math.prod(shape[1:])) if name.endswith("weight") else 0.1
        state[name] = torch.empty(shape).normal_(generator=rng).mul_(gain)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def case(request, tmp_path_factory, inception_weights):
    """Images for comparisons with peers, of the size that `parametrize` hands in."""
    folder = tmp_path_factory.mktemp(f"images-{request.param}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(folder / "cache"))
        yield parity.make_case(folder, request.param, inception_weights)


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


@pytest.fixture
def kind(tmp_path, monkeypatch):
    """Load the generator whose `images(z)` has this body."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a change within a second is noticed

    def load(body, value_range=None):
        write(body)
        return generator_from("kinds:make", CPU, value_range)

    def write(body):
        monkeypatch.delitem(sys.modules, "kinds", raising=False)
        (tmp_path / "kinds.py").write_text(f"{HEAD}def images(z):\n    {body}\n")

    load.write = write
    return load
