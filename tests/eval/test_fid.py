from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stylegan_eval.engine.blocks import Run, split_all
from stylegan_eval.engine.sampling import draw, mirror_flags, to_uint8
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.features import FeatureCollector, ImageFeatures, gathered
from stylegan_eval.metrics.fid import fid, influence_variance
from stylegan_eval.metrics.frechet import FrechetTo, frechet_distance
from stylegan_eval.metrics.image_pass import FileImages, GeneratedImages, collect
from stylegan_eval.metrics.naming import inception_name
from stylegan_eval.metrics.sources import open_pair
from stylegan_eval.networks import NETWORKS
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FidSettings
from tests.eval.fakes import LinearGenerator, PixelDetector

CPU = torch.device("cpu")
# Of an error that holds 20 groups of generated images alone.
_KNOWN = {"stderr": "reals-fixed", "stderr-freedom": "19"}


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


def seen(**found):
    return ImageFeatures(detector=PixelDetector(), **found)


def measure(settings, fake, real):
    return fid(settings, fake, real)


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


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.1, 0.1), (1.3, 0.5)])
def test_errors_are_those_of_repeated_samples(scale, shift):
    """Also at 0, where the distance is of second order in the images."""
    rng = np.random.default_rng(0)
    real = seen(blocks=[FeatureStats.of(rng.standard_normal((50_000, 8)), "d")])
    settings = FidSettings(num=1000, features="efficientnet-lite0")
    found = []
    for _ in range(150):
        x = scale * rng.standard_normal((1000, 8)) + shift
        fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 20)])
        value, limit = measure(settings, fake, real)
        assert limit.name == f"{value.name}_inf"
        assert value.details == limit.details == _KNOWN
        found.append((value.value, value.stderr, limit.value, limit.stderr))
    values, errors, limits, limit_errors = np.transpose(found)
    # 150 repetitions know a standard deviation to 6 %.
    assert 0.85 < np.mean(errors) / np.std(values, ddof=1) < 1.25
    assert 0.85 < np.mean(limit_errors) / np.std(limits, ddof=1) < 1.3


@pytest.mark.parametrize(("num", "other"), [(400, 330), (1300, 1700), (12_800, 10_300)])
def test_groups_are_those_of_the_images_alone_whatever_else_is_measured(num, other):
    features = torch.from_numpy(np.random.default_rng(0).random((num, 4), dtype=np.float32))
    collector = FeatureCollector(detector=PixelDetector(), kinds=("moments",), num=num)

    def groups(blocks):
        parts = []
        for block in blocks:
            if block.stop <= num:
                parts.append(collector.begin())
                parts[-1].take(features[block.start : block.stop], block)
        return gathered(collector, [part.arrays() for part in parts]).blocks

    alone, beside = groups(split_all([num])), groups(split_all([num, other]))
    assert [group.count for group in beside] == [group.count for group in alone]
    assert max(group.count for group in alone) - min(group.count for group in alone) <= 2
    for a, b in zip(alone, beside, strict=True):
        assert a.mean == pytest.approx(b.mean, rel=1e-12)
        assert a.scatter == pytest.approx(b.scatter, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_limit_is_true_within_its_error_from_the_fewest_images_on(shift):
    """Equal eigenvalues: the spectrum that bends the distance over 1 / N the most."""
    rng = np.random.default_rng(1)
    dim, num = 100, 8 * 100
    real = StoredStats(mean=np.zeros(dim), cov=np.eye(dim), count=None, detector="", content="")
    settings = FidSettings(num=num, features="efficientnet-lite0")
    off, errors, biases = [], [], []
    for _ in range(20):
        x = rng.standard_normal((num, dim)) + shift
        fake = seen(blocks=[FeatureStats.of(part, "") for part in np.split(x, 20)])
        value, limit = measure(settings, fake, seen(stored=real))
        biases.append(value.value - dim * shift**2)
        off.append(limit.value - dim * shift**2)
        errors.append(limit.stderr)
    assert np.mean(biases) > 10 * np.mean(errors) or shift
    assert abs(np.mean(off)) < np.mean(errors)
    assert 0.8 < np.mean(errors) / np.std(off, ddof=1) < 1.6


def test_errors_of_the_real_side_are_those_of_the_distance_the_other_way_round():
    rng = np.random.default_rng(3)
    fake = FeatureStats.of(1.3 * rng.standard_normal((20_000, 8)) + 0.4, "d")
    values, errors = [], []
    for _ in range(100):
        groups = [FeatureStats.of(x, "d") for x in rng.standard_normal((20, 50, 8))]
        real = reduce(add, groups)
        value, gradient = FrechetTo(fake).with_gradient(real)
        values.append(value)
        errors.append((influence_variance(groups, real, gradient) / real.count) ** 0.5)
    assert 0.85 < np.mean(errors) / np.std(values, ddof=1) < 1.2


@pytest.mark.parametrize(
    ("scale", "shift", "counts"),
    [
        (1.0, 0.0, (400, 400)),
        (1.1, 0.1, (400, 400)),
        (1.3, 0.5, (400, 400)),
        (1.1, 0.2, (1000, 200)),
    ],
)
def test_errors_with_redrawn_reals_are_those_of_repeated_samples(scale, shift, counts):
    """From a sample of the real images alone; near 0 at most a third too large."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(150):
        x, y = (rng.standard_normal((count, 8)) for count in counts)
        fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(scale * x + shift, 20)])
        real = seen(blocks=[FeatureStats.of(y, "d")], sample=y[:150].astype(np.float32))
        settings = FidSettings(num=counts[0], features="efficientnet-lite0")
        found += [
            (value.value, value.stderr, float(value.details["stderr-reals-redrawn"]))
            for value in measure(settings, fake, real)
        ]
    for start in (0, 1):  # the distance, and its limit
        values, errors, redrawn = np.transpose(found[start::2])
        deviation = np.std(values, ddof=1)  # known to 6 %
        assert np.mean(errors) < 0.9 * deviation or not shift
        assert 0.85 < np.mean(redrawn) / deviation < (1.2 if shift else 1.35)


@pytest.mark.parametrize("real", ["few", "stored", "without a sample"])
def test_an_error_with_redrawn_reals_that_is_not_known_is_not_stated(real):
    rng = np.random.default_rng(7)
    y = rng.standard_normal((500, 8))
    reals = {
        "few": seen(blocks=[FeatureStats.of(y[:8], "d")], sample=y[:8].astype(np.float32)),
        "stored": seen(
            stored=StoredStats(mean=np.zeros(8), cov=np.eye(8), count=9, detector="", content="")
        ),
        "without a sample": seen(blocks=[FeatureStats.of(y, "d")]),
    }
    fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(y + 1, 20)])
    settings = FidSettings(num=500, features="efficientnet-lite0")
    value, *_ = measure(settings, fake, reals[real])
    assert (value.stderr > 0, value.details) == (True, _KNOWN)


class Decompositions(TorchDispatchMode):
    """Counts those of matrices with 16 rows or columns, under whatever name they are called."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func.overloadpacket)
        if any(word in name for word in ("eig", "svd", "sqrtm")):
            self.count += max(args[0].shape) == 16
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("reals", "count"), [(200, 7), (8, 8)])
def test_value_errors_and_limit_take_few_decompositions(reals, count):
    """One each of all images, halves and quarters; one more where few real images are singular."""
    rng = np.random.default_rng(8)
    y = rng.standard_normal((reals, 16))
    real = seen(blocks=[FeatureStats.of(y, "d")], sample=y.astype(np.float32))
    x = rng.standard_normal((8 * 16, 16)) + 1
    fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 16)])
    with Decompositions() as counted:
        value, limit = measure(FidSettings(num=128, features="efficientnet-lite0"), fake, real)
    assert value.stderr > 0
    assert limit.stderr > 0
    assert counted.count == count


def test_generated_images_that_are_all_alike_have_no_error():
    rng = np.random.default_rng(4)
    real = seen(blocks=[FeatureStats.of(rng.standard_normal((500, 4)), "d")])
    blocks = [FeatureStats.of(np.ones((10, 4)), "d") for _ in range(10)]
    found = measure(FidSettings(num=100, features="efficientnet-lite0"), seen(blocks=blocks), real)
    assert {value.stderr for value in found} == {None}


def test_few_real_images_leave_the_error_of_the_generated_ones():
    """The distance bends only where the generated images do not span the features."""
    rng = np.random.default_rng(5)
    real = seen(blocks=[FeatureStats.of(rng.standard_normal((5, 8)), "d")])
    found = []
    for _ in range(60):
        x = rng.standard_normal((400, 8))
        fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 20)])
        value, *_ = measure(FidSettings(num=400, features="efficientnet-lite0"), fake, real)
        found.append((value.value, value.stderr))
    assert "5 images do not span 8 features" in value.notes[0]
    values, errors = np.transpose(found)
    assert 0.75 < np.mean(errors) / np.std(values, ddof=1) < 1.3


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
        return open_pair(Inputs(**inputs), [chosen], chosen, Run(device=CPU))

    return make


def test_the_floor_takes_disjoint_halves(data):
    with opened(num=20, floor=True)(data=data) as pair:
        halves = [list(half.source.indices) for half in pair]
        assert sorted(halves[0] + halves[1]) == list(range(40))
        assert pair[0].key != pair[1].key
        first, second = (features(half.source, 20).moments for half in pair)
        floor = frechet_distance(first, second)
    with opened(num=20, floor=True, seed=1)(data=data) as (half, _):
        assert list(half.source.indices) != halves[0]
    far = frechet_distance(features(generated(), 20).moments, second)
    assert 0 < floor < far / 2


def test_the_full_protocol_takes_all_images_unflipped(tmp_path, data, fake_loader):
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 16 mirrored")
    with opened(num=12)(data=data, ckpt=ckpt) as (_, reals):
        assert (reals.num, reals.source.mirror) == (12, True)
    with opened(num=12, reals="full")(data=data, ckpt=ckpt) as (_, reals):
        assert (reals.num, reals.source.mirror) == (40, False)
    with opened(num=12, reals="full", mirror="yes")(data=data, ckpt=ckpt) as (_, reals):
        assert reals.source.mirror


def test_names_pin_the_protocol():
    class Named(PixelDetector):
        def __init__(self, sha256):
            super().__init__()
            object.__setattr__(self, "weights_sha256", sha256)

    own = Named("12345678" + "0" * 56)
    official = Named(NETWORKS["inception"].sha256)

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
        ({"seed": -1}, "--seed must be 0 to"),
        ({"features": "efficientnet-lite0", "resize": "pytorch-fid"}, "--resize applies to"),
        ({"floor": True, "reals": "full"}, "leave out --reals full"),
    ],
)
def test_settings_out_of_range_are_refused(choice, message):
    with pytest.raises(UserError, match=message):
        FidSettings(**choice)
