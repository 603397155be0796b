import dataclasses

import numpy as np
import pytest
import torch

from stylegan.classifier import build
from stylegan.configs import F
from stylegan.networks.discriminator import Discriminator
from stylegan_eval.classifiers.dataset import read_labelled
from stylegan_eval.classifiers.network import architectures, build_network, shrink
from stylegan_eval.classifiers.training import check_loss, learning_rate, split, train
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.settings.others import TrainSettings
from tests.eval.labelled import NAMES, draw, write

CPU = torch.device("cpu")
QUICK = TrainSettings(epochs=4, batch=32, lrate=0.004)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pixels, labels = draw(600, 16)
    return write(tmp_path_factory.mktemp("data") / "images", pixels, labels.tolist())


@pytest.fixture(scope="module")
def trained(folder):
    with open_images(folder) as files:
        return train(files, QUICK, CPU)


@pytest.fixture
def labelled(tmp_path):
    """Make a small labelled folder and open it."""

    def make(labels=None, names=NAMES, count=120, size=16):
        pixels, own = draw(count, size)
        return open_images(write(tmp_path / "d", pixels, labels or own.tolist(), names))

    return make


# Training.


def test_simple_attributes_are_learnt(trained):
    record, _ = trained
    assert record.names == ("bright", "red")
    assert (record.images, record.held_out, record.resolution) == (600, 60, 16)
    for attribute in record.attributes:
        assert attribute.accuracy >= 0.95
        assert attribute.balanced_accuracy >= 0.95
        assert 0.4 < attribute.share < 0.6


def test_new_images_are_read_right(trained):
    pixels, labels = draw(200, 16, seed=1)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    answers = (trained[1](images) > 0).numpy()
    assert ((answers == labels).mean(axis=0) > 0.95).all()


def test_training_is_the_same_every_time_and_another_with_another_seed(labelled):
    settings = TrainSettings(epochs=1, batch=32)
    with labelled() as files:
        (record, first), (record_again, again) = (train(files, settings, CPU) for _ in range(2))
        _, other = train(files, dataclasses.replace(settings, seed=1), CPU)
    weights, same = first.state_dict(), again.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert record == record_again
    unlike = other.state_dict()["stages.0.conv.weight"]
    assert not torch.equal(weights["stages.0.conv.weight"], unlike)


def test_training_leaves_the_global_generators_alone(labelled):
    before = torch.get_rng_state()
    with labelled() as files:
        train(files, TrainSettings(epochs=1), CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_a_tenth_is_held_out():
    train_on, test_on = split(105, seed=3)
    assert (len(train_on), len(test_on)) == (95, 10)
    assert sorted([*train_on, *test_on]) == list(range(105))
    assert np.array_equal(test_on, split(105, seed=3)[1])


def test_learning_rate_falls_to_nothing():
    assert learning_rate(0.1, 0, 10) == 0.1
    assert learning_rate(0.1, 5, 10) == pytest.approx(0.05)
    assert learning_rate(0.1, 10, 10) == pytest.approx(0)


def test_divergence_is_told():
    check_loss(torch.tensor(0.5))
    with pytest.raises(UserError, match="training diverged: try a lower --lrate"):
        check_loss(torch.tensor(float("nan")))


# Networks.


@pytest.mark.parametrize("architecture", ["small", "discriminator"])
def test_images_do_not_see_each_other(architecture):
    network = build_network(architecture, 16, 3).to_empty(device="cpu")
    network.initialise(torch.Generator().manual_seed(0))
    network.eval()
    if architecture == "small":  # its head starts at 0
        torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))
    images = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert together.shape == (6, 3)
    assert together.std() > 0.01
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=2e-4)


def test_discriminator_is_the_papers():
    network = build(256, 40)
    # Config F's discriminator at 256x256: 39 more outputs of 512 weights and a bias.
    plain = Discriminator(F.network, 256)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == sum(p.numel() for p in plain.parameters()) + 39 * 513
    assert {"small", "discriminator"} <= set(architectures())


@pytest.mark.parametrize("resolution", [8, 32, 256])
def test_small_network_takes_its_resolution(resolution):
    network = build_network("small", resolution, 5)
    images = torch.empty(2, 3, resolution, resolution, device="meta")
    assert network.eval()(images).shape == (2, 5)


@pytest.mark.parametrize("resolution", [4, 24, 2048])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(UserError, match=f"power of two from 8 to 1024, got {resolution}"):
        build_network("small", resolution, 5)


def test_unknown_architecture_names_the_known_ones():
    with pytest.raises(UserError, match=r"unknown architecture 'big': .* small, .*discriminator"):
        build_network("big", 16, 5)


def test_larger_images_are_averaged_and_smaller_ones_refused():
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    small = shrink(images, 4)
    assert torch.equal(small[0, 0, 0], torch.tensor([4.5, 6.5, 8.5, 10.5]))
    assert shrink(images, 8) is images
    with pytest.raises(UserError, match=r"are 8x8, the classifiers read 16x16: .* of 8 or fewer"):
        shrink(images, 16)


# Data.


def test_larger_data_are_averaged_down(labelled):
    with labelled(size=32) as files:
        data = read_labelled(files, 16, skip_constant=False)
        plain = read_labelled(files, 256, skip_constant=False)
    assert data.images.shape == (120, 3, 16, 16)
    assert plain.images.shape == (120, 3, 32, 32)
    expected = plain.images.double().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    assert (data.images.double() - expected).abs().max() <= 0.5


CONSTANT = [[1, i % 2] for i in range(120)]


def test_constant_attribute_is_refused_or_left_out(labelled):
    with labelled(CONSTANT) as files:
        with pytest.raises(UserError, match=r"all images have bright: .* --skip-constant"):
            read_labelled(files, 16, skip_constant=False)
        data = read_labelled(files, 16, skip_constant=True)
    assert data.names == ("red",)
    assert data.labels.shape == (120, 1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"labels": [0, 1] * 60, "names": None}, "labels are classes: expected a dataset.json"),
        ({"labels": [[0, 0.5]] * 120}, "a label is 0.5: expected"),
        ({"labels": [[0, 1]] * 120}, "no attribute differs"),
        ({"names": ["a", "a"]}, "2 attributes are called a"),
        ({"count": 99}, "99 images are too few"),
        ({"size": 24}, "are 24x24, expected squares of a power of two .* stylegan-data prepare"),
        ({"size": 4}, "are 4x4"),
    ],
)
def test_unfit_data_are_refused(labelled, kwargs, message):
    with labelled(**kwargs) as files, pytest.raises(UserError, match=message):
        train(files, QUICK, CPU)


def test_images_without_labels_are_refused(image_folder):
    with (
        open_images(image_folder("plain", 3)) as files,
        pytest.raises(UserError, match="no labels"),
    ):
        train(files, QUICK, CPU)


def test_names_are_made_up_where_there_are_none(labelled):
    with labelled(names=None) as files:
        data = read_labelled(files, 16, skip_constant=False)
    assert data.names == ("attribute0", "attribute1")
