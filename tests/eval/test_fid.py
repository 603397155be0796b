import numpy as np
import pytest
import torch

from stylegan_eval.detectors.efficientnet import load_efficientnet
from stylegan_eval.detectors.inception import WEIGHTS_SHA256
from stylegan_eval.errors import UserError
from stylegan_eval.images import open_images
from stylegan_eval.metrics.fid import (
    feature_stats,
    measure,
    measure_floor,
    metric_name,
    real_images,
)
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.sampling import generate, mirror_flags
from stylegan_eval.settings import FidSettings
from stylegan_eval.statistics import FeatureStats
from tests.eval.fakes import LinearGenerator, PixelDetector

CPU = torch.device("cpu")


@pytest.fixture
def files(image_folder):
    with open_images(image_folder("reals", 40)) as files:
        yield files


def all_images(files, indices):
    return torch.from_numpy(np.stack([files.read(index) for index in indices]))


def test_the_first_images_are_compared(files):
    settings = FidSettings(num=30, seed=2, batch=7)
    measured = measure(
        LinearGenerator(), files, PixelDetector(), settings, mirror=False, device=CPU
    )
    fakes = torch.cat(list(generate(LinearGenerator(), 2, range(30), 30, CPU)))
    detector = PixelDetector()
    expected = frechet_distance(
        FeatureStats.of(detector(fakes), "d"),
        FeatureStats.of(detector(all_images(files, range(30))), "d"),
    )
    assert measured.value == pytest.approx(expected, rel=1e-6)
    assert measured.note == ""


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_real_images_are_flipped_as_seed_and_index_say(files, batch):
    indices = [0, 3, 4, 9, 20, 39]
    settings = FidSettings(num=6, seed=5, batch=batch)
    images = torch.cat(list(real_images(files, indices, settings, mirror=True)))
    flags = mirror_flags(5, indices)
    assert 0 < flags.sum() < len(flags)
    for image, index, flipped in zip(images, indices, flags, strict=True):
        original = torch.from_numpy(files.read(index))
        assert torch.equal(image, original.flip(2) if flipped else original)


def test_statistics_do_not_depend_on_the_batch_size(files):
    detector = load_efficientnet(CPU)
    results = []
    for batch in (1, 7, 64):
        settings = FidSettings(num=20, batch=batch)
        images = real_images(files, range(20), settings, mirror=True)
        real = feature_stats(images, detector, 20, "real")
        fakes = generate(LinearGenerator(), 0, range(20), batch, CPU)
        results.append((real, feature_stats(fakes, detector, 20, "fake")))
    values = [frechet_distance(*results[which]) for which in (0, -1)]
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            # The float32 convolutions round differently in another batch.
            assert np.linalg.norm(a.mean - b.mean) < 5e-6 * np.linalg.norm(a.mean)
            assert np.linalg.norm(a.cov - b.cov) < 5e-6 * np.linalg.norm(a.cov)


def test_floor_takes_disjoint_halves(files):
    seen = []

    class Recorder(PixelDetector):
        def __call__(self, images):
            seen.extend(image.numpy().tobytes() for image in images)
            return super().__call__(images)

    settings = FidSettings(num=20, floor=True)
    value = measure_floor(files, Recorder(), settings, mirror=False).value
    assert len(set(seen)) == 40
    assert value > 0
    other = FidSettings(num=20, floor=True, seed=1)
    assert measure_floor(files, PixelDetector(), other, mirror=False).value != value


def test_the_floor_is_low(files):
    settings = FidSettings(num=20)
    floor = measure_floor(files, PixelDetector(), settings, mirror=False).value
    measured = measure(
        LinearGenerator(), files, PixelDetector(), settings, mirror=False, device=CPU
    )
    assert floor < measured.value / 2


def test_too_few_images_for_the_features_is_noted(files):
    settings = FidSettings(num=12)
    measured = measure(
        LinearGenerator(), files, PixelDetector(), settings, mirror=False, device=CPU
    )
    assert "12 images do not span 12 features" in measured.note


def test_more_images_than_there_are_is_refused(files):
    with pytest.raises(UserError, match="has 40 images, --num asks for 41: use --num 40"):
        measure(
            LinearGenerator(), files, PixelDetector(), FidSettings(num=41), mirror=False, device=CPU
        )
    with pytest.raises(UserError, match="has 40 images, --floor with --num 21 needs 42"):
        measure_floor(files, PixelDetector(), FidSettings(num=21), mirror=False)


@pytest.mark.parametrize(
    ("size", "fix"), [(32, "images are never enlarged"), (8, "prepare .* --resolution 8$")]
)
def test_another_resolution_is_refused(files, size, fix):
    with pytest.raises(
        UserError, match=f"data is 16x16, the generator draws {size}x{size}: .*{fix}"
    ):
        measure(
            LinearGenerator(resolution=size),
            files,
            PixelDetector(),
            FidSettings(num=4),
            mirror=False,
            device=CPU,
        )


def test_features_that_are_not_finite_are_refused(files):
    class Broken(PixelDetector):
        def __call__(self, images):
            return super().__call__(images).log()

    dark = real_images(files, range(4), FidSettings(num=4), mirror=False)
    with pytest.raises(UserError, match="not finite"):
        feature_stats((images // 255 for images in dark), Broken(), 4, "real")


def test_names_pin_the_protocol():
    own = "12345678" + "0" * 56
    assert metric_name(FidSettings(), WEIGHTS_SHA256) == "fid50k"
    assert metric_name(FidSettings(num=1234), WEIGHTS_SHA256) == "fid1234"
    assert metric_name(FidSettings(num=5000, floor=True), WEIGHTS_SHA256) == "fid5k_floor"
    marked = metric_name(FidSettings(resize="pytorch-fid"), own)
    assert marked == "fid50k[resize:pytorch-fid,weights:12345678]"
    lite = FidSettings(features="efficientnet-lite0")
    assert metric_name(lite, own) == "fd_efficientnet-lite0"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"num": 1}, "--num must be at least 2, got 1"),
        ({"batch": 0}, "--batch must be at least 1, got 0"),
        ({"seed": -1}, "--seed must be from 0"),
        ({"features": "efficientnet-lite0", "resize": "pytorch-fid"}, "--resize applies to"),
    ],
)
def test_settings_out_of_range_are_refused(choice, message):
    with pytest.raises(UserError, match=message):
        FidSettings(**choice)
