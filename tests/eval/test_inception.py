import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.networks import inception
from stylegan_eval.networks.inception import load_inception
from stylegan_eval.networks.preprocess import half_pixel_inception_input, tf1_inception_input

CPU = torch.device("cpu")
SIZES = [32, 64, 256, 299, 1024]


def random_images(count, size):
    """Smooth images with some noise, so that the resize rules differ."""
    rng = torch.Generator().manual_seed(size)
    coarse = torch.rand(count, 3, 8, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    noisy = smooth + 0.1 * torch.randn(smooth.shape, generator=rng)
    return (noisy * 255).clamp(0, 255).to(torch.uint8)


def assert_close(ours, theirs):
    assert theirs.std() > 0.1
    assert (ours - theirs).norm() / theirs.norm() < 1e-5
    assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-5


@pytest.fixture(scope="module")
def pytorch_fid_network(inception_weights):
    import pytorch_fid.inception

    with pytest.MonkeyPatch.context() as patch:
        # Its constructor downloads; hand it the file instead.
        patch.setattr(
            pytorch_fid.inception,
            "load_state_dict_from_url",
            lambda url, progress: torch.load(inception_weights, weights_only=True),
        )
        return pytorch_fid.inception.InceptionV3().eval()


@pytest.fixture(scope="module")
def torch_fidelity_network(inception_weights):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(inception_weights)
    )


@pytest.fixture(scope="module")
def detectors(inception_weights):
    return {
        resize: load_inception(inception_weights, resize, CPU) for resize in ("tf1", "pytorch-fid")
    }


@pytest.mark.parametrize("size", SIZES)
def test_features_equal_pytorch_fids(size, detectors, pytorch_fid_network):
    images = random_images(1, size)
    with torch.inference_mode():
        theirs = pytorch_fid_network(images.float() / 255)[0].flatten(1)
    assert_close(detectors["pytorch-fid"](images), theirs)


@pytest.mark.parametrize("size", SIZES)
def test_features_equal_torch_fidelitys(size, detectors, torch_fidelity_network):
    images = random_images(1, size)
    with torch.inference_mode():
        (theirs,) = torch_fidelity_network(images)
    assert_close(detectors["tf1"](images), theirs)


def test_tf1_resize_reads_without_half_pixel_centres():
    ramp = torch.arange(100, dtype=torch.uint8).expand(1, 3, 100, 100)
    expected = torch.arange(299) * (100 / 299)
    pixels = tf1_inception_input(ramp) * 128 + 128
    torch.testing.assert_close(pixels[0, 0, 0], expected.clamp(max=99), rtol=0, atol=1e-4)


def test_rectangles_are_resized():
    image = random_images(1, 64)[:, :, :48]
    assert tf1_inception_input(image).shape == (1, 3, 299, 299)
    turned = tf1_inception_input(image.mT)
    torch.testing.assert_close(tf1_inception_input(image), turned.mT, rtol=0, atol=1e-6)


def test_ranges_of_the_rules():
    extremes = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    for rule, highest in ((tf1_inception_input, 127 / 128), (half_pixel_inception_input, 1)):
        low, high = rule(extremes).aminmax()
        assert (low.item(), high.item()) == pytest.approx((-1, highest), abs=1e-6)


def test_identity_names_rule_and_weights(detectors):
    names = [detectors[resize].identity for resize in ("tf1", "pytorch-fid")]
    assert names[0] != names[1]
    assert all(detectors["tf1"].weights_sha256 in name for name in names)


def test_loading_leaves_the_global_generator_alone(inception_weights):
    before = torch.get_rng_state()
    load_inception(inception_weights, "tf1", CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_that_do_not_fit_are_refused(tmp_path, inception_weights):
    good = torch.load(inception_weights, weights_only=True)
    missing = {key: value for key, value in good.items() if key != "Mixed_6a.branch3x3.bn.bias"}
    surplus = good | {"AuxLogits.fc.weight": torch.zeros(2)}
    narrow = good | {"fc.weight": torch.zeros(1000, 2048)}
    for name, content in {
        "missing": missing,
        "surplus": surplus,
        "narrow": narrow,
        "tensor": torch.zeros(3),
    }.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text").write_text("not weights")
    (tmp_path / "empty").touch()
    for name in ("missing", "surplus", "narrow", "tensor", "text", "empty", "absent"):
        with pytest.raises(UserError, match=name) as caught:
            load_inception(tmp_path / name, "tf1", CPU)
        assert "\n" not in str(caught.value)


def test_without_kernels_for_packed_weights_features_are_the_same(inception_weights, monkeypatch):
    assert inception.can_pack(CPU, "fp32")
    assert not inception.can_pack(CPU, "bf16")
    packed = load_inception(inception_weights, "tf1", CPU)
    monkeypatch.setattr(inception, "can_pack", lambda *_: False)
    plain = load_inception(inception_weights, "tf1", CPU)
    images = random_images(3, 64)
    assert_close(packed(images), plain(images))
    assert not packed.network.Conv2d_1a_3x3.weight.numel()
    assert plain.network.Conv2d_1a_3x3.weight.numel()


@pytest.mark.parametrize("size", [(3, 8), (4, 5), (17, 71)])
def test_halving_pools_by_the_maximum(size):
    x = torch.randn(2, 5, *size, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        expected = torch.nn.functional.max_pool2d(x, 3, 2)
        found = inception.halving_max_pool(x.contiguous(memory_format=layout))
        assert torch.equal(found, expected)
