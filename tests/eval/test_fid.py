from functools import reduce
from operator import add

import numpy as np
import pytest
import torch

from stylegan_eval.blocks import Run
from stylegan_eval.detectors.official import OFFICIAL_WEIGHTS
from stylegan_eval.errors import UserError
from stylegan_eval.evaluation.named_images import open_named
from stylegan_eval.features import FeatureCollector, ImageFeatures, gathered
from stylegan_eval.image_pass import FileImages, GeneratedImages, collect
from stylegan_eval.images import open_images
from stylegan_eval.metrics.fid import METRIC, fid
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.metrics.image_metric import Gathered, Request, inception_name
from stylegan_eval.sampling import draw, mirror_flags, to_uint8
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.images import FidSettings
from stylegan_eval.statistics import FeatureStats
from tests.eval.fakes import LinearGenerator, PixelDetector

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(image_folder):
    return image_folder("reals", 40)


def file_images(path, indices, *, mirror=False, seed=0, batch=32):
    return FileImages(
        files=open_images(path), indices=indices, mirror=mirror, seed=seed, batch=batch
    )


def generated(seed=0, batch=32):
    return GeneratedImages(generator=LinearGenerator(), seed=seed, batch=batch, device=CPU)


def features(source, num, detector=None, folder=None, kinds=("moments",)):
    collector = FeatureCollector(detector=detector or PixelDetector(), kinds=kinds, num=num)
    run = Run(device=CPU, folder=folder) if folder else Run(device=CPU)
    parts = collect(source, [collector], {}, run, "images")
    run.finish()
    return gathered(collector, parts[collector.name])


def measure(settings, fake, real):
    return fid(settings, Gathered(fake=fake, real=real, detector=PixelDetector(), device=CPU))


def test_generated_images_are_compared_with_real_ones(data):
    settings = FidSettings(num=30, features="efficientnet-lite0")
    fake = features(generated(seed=2, batch=7), 30)
    real = features(file_images(data, range(30)), 30)
    (value,) = measure(settings, fake, real)
    raw = draw(LinearGenerator(), 2, range(30), CPU)[2]
    images = torch.from_numpy(np.stack([open_images(data).read(index) for index in range(30)]))
    detector = PixelDetector()
    expected = frechet_distance(
        FeatureStats.of(detector(to_uint8(raw)), "d"), FeatureStats.of(detector(images), "d")
    )
    assert value.value == pytest.approx(expected, rel=1e-6)
    assert not any(value.notes)
    assert value.stderr is None  # one block only


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_real_images_are_flipped_as_seed_and_index_say(data, batch):
    indices = [0, 3, 4, 9, 20, 39]
    source = file_images(data, indices, mirror=True, seed=5, batch=batch)
    images = torch.cat([samples.images for samples in source.batches(range(6))])
    flags = mirror_flags(5, indices)
    assert 0 < flags.sum() < len(flags)
    for image, index, flipped in zip(images, indices, flags, strict=True):
        original = torch.from_numpy(source.files.read(index))
        assert torch.equal(image, original.flip(2) if flipped else original)
    part = torch.cat([samples.images for samples in source.batches(range(2, 5))])
    assert torch.equal(part, images[2:5])


def test_the_error_is_that_of_repeated_measurements():
    rng = np.random.default_rng(0)
    real = ImageFeatures(blocks=[FeatureStats.of(rng.standard_normal((50_000, 8)), "d")])
    settings = FidSettings(num=4000, features="efficientnet-lite0")
    values, errors, limits = [], [], []
    for _ in range(40):
        x = 1.3 * rng.standard_normal((4000, 8)) + 0.3
        fake = ImageFeatures(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 40)])
        value, limit = measure(settings, fake, real)
        assert limit.name == f"{value.name}_inf"
        values.append(value.value)
        errors.append(value.stderr)
        limits.append((limit.value - value.value) / value.stderr)
    # 40 repetitions know a standard deviation to 11 %.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.3)
    assert np.mean(limits) < 0  # without the bias of finitely many images


def test_near_zero_the_error_is_too_large_rather_than_too_small():
    rng = np.random.default_rng(2)
    real = ImageFeatures(blocks=[FeatureStats.of(rng.standard_normal((50_000, 8)), "d")])
    settings = FidSettings(num=4000, features="efficientnet-lite0")
    values, errors = [], []
    for _ in range(40):
        x = rng.standard_normal((4000, 8))
        fake = ImageFeatures(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 40)])
        value, _ = measure(settings, fake, real)
        values.append(value.value)
        errors.append(value.stderr)
    ratio = np.mean(errors) / np.std(values, ddof=1)
    assert 1.1 < ratio < 4


def test_the_limit_is_without_bias():
    rng = np.random.default_rng(1)
    dim = 16
    real = ImageFeatures(blocks=[FeatureStats.of(rng.standard_normal((400_000, dim)), "d")])
    true = dim * 0.2**2
    settings = FidSettings(num=2000, features="efficientnet-lite0")
    measured = []
    for _ in range(20):
        x = 1.2 * rng.standard_normal((2000, dim))
        fake = ImageFeatures(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 20)])
        value, limit = measure(settings, fake, real)
        measured.append((value.value - true, limit.value - true, limit.stderr))
    bias, limit_bias, stderr = np.mean(measured, axis=0)
    assert bias > 0.04
    assert abs(limit_bias) < 0.01
    assert stderr == pytest.approx(np.std([row[1] for row in measured], ddof=1), rel=0.6)


def test_too_few_images_for_the_features_is_noted(data):
    settings = FidSettings(num=12, features="efficientnet-lite0")
    fake, real = features(generated(), 12), features(file_images(data, range(12)), 12)
    (value,) = measure(settings, fake, real)
    assert "12 images do not span 12 features" in value.notes[0]


def test_features_that_are_not_finite_are_refused(data):
    class Broken(PixelDetector):
        def __call__(self, images):
            return super().__call__(images // 255).log()

    with pytest.raises(UserError, match="not finite"):
        features(file_images(data, range(4)), 4, Broken())


def opened(**settings):
    def make(**inputs):
        chosen = FidSettings(features="efficientnet-lite0", **settings)
        request = Request(metric=METRIC, settings=chosen)
        return open_named(Inputs(**inputs), [request], chosen, Run(device=CPU))

    return make


def test_the_floor_takes_disjoint_halves(data):
    with opened(num=20, floor=True)(data=data) as named:
        halves = [list(half.source.indices) for half in (named.reference, named.reals)]
        assert sorted(halves[0] + halves[1]) == list(range(40))
        assert named.reference.key != named.reals.key
        first, second = (
            features(half.source, 20).moments for half in (named.reference, named.reals)
        )
        floor = frechet_distance(first, second)
    with opened(num=20, floor=True, seed=1)(data=data) as named:
        assert list(named.reference.source.indices) != halves[0]
    far = frechet_distance(features(generated(), 20).moments, second)
    assert 0 < floor < far / 2


def test_the_full_protocol_takes_all_images_unflipped(tmp_path, data, fake_loader):
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 16 mirrored")
    with opened(num=12)(data=data, ckpt=ckpt) as named:
        assert (named.reals.num, named.reals.source.mirror) == (12, True)
    with opened(num=12, reals="full")(data=data, ckpt=ckpt) as named:
        assert (named.reals.num, named.reals.source.mirror) == (40, False)
    with opened(num=12, reals="full", mirror="yes")(data=data, ckpt=ckpt) as named:
        assert named.reals.source.mirror


def test_names_pin_the_protocol():
    class Named(PixelDetector):
        def __init__(self, sha256):
            super().__init__()
            object.__setattr__(self, "weights_sha256", sha256)

    own = Named("12345678" + "0" * 56)
    official = Named(OFFICIAL_WEIGHTS["inception"])

    def name(detector, **settings):
        return inception_name("fid", "fd", FidSettings(**settings), detector)

    assert name(official) == "fid50k"
    assert name(official, reals="full") == "fid50k_full"
    assert name(official, num=1234) == "fid1234"
    assert name(official, num=5000, floor=True) == "fid5k_floor"
    assert name(own, resize="clean") == "fid50k[resize:clean,weights:12345678]"
    assert name(own, features="efficientnet-lite0") == "fd_efficientnet-lite0"
    assert name(own, features="efficientnet-lite0", reals="full") == "fd_efficientnet-lite0_full"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"num": 1}, "--num must be at least 2, got 1"),
        ({"batch": 0}, "--batch must be at least 1, got 0"),
        ({"seed": -1}, "--seed must be from 0"),
        ({"features": "efficientnet-lite0", "resize": "pytorch-fid"}, "--resize applies to"),
        ({"floor": True, "reals": "full"}, "leave out --reals full"),
    ],
)
def test_settings_out_of_range_are_refused(choice, message):
    with pytest.raises(UserError, match=message):
        FidSettings(**choice)


def test_groups_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    parts = [FeatureStats.of(rng.standard_normal((30 + i, 5)) + i, "d") for i in range(12)]
    whole = reduce(add, parts)
    rest = whole - parts[3]
    expected = reduce(add, parts[:3] + parts[4:])
    assert rest.count == expected.count
    assert np.allclose(rest.mean, expected.mean, rtol=1e-13)
    assert np.allclose(rest.scatter, expected.scatter, rtol=1e-12, atol=1e-9)
