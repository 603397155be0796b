import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.networks.network import load_detector
from stylegan_eval.networks.vgg16 import load_vgg16

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def detector(vgg16_weights):
    return load_vgg16(vgg16_weights, CPU)


@pytest.fixture(scope="module")
def peer(vgg16_weights):
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    with torch.random.fork_rng():
        return FeatureExtractorVGG16(
            "vgg16", ["fc2_relu"], feature_extractor_weights_path=str(vgg16_weights)
        )


@pytest.mark.parametrize("size", [32, 64, 256])
def test_features_equal_torch_fidelitys(size, detector, peer):
    rng = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (2, 3, size, size), generator=rng, dtype=torch.uint8)
    with torch.inference_mode():
        (theirs,) = peer(images)
    features = detector(images)
    assert features.shape == (2, detector.feature_dim) == (2, 4096)
    assert theirs.std() > 0.1
    assert (features - theirs).norm() / theirs.norm() < 1e-5
    assert (features - theirs).abs().max() / theirs.abs().max() < 1e-5


def test_identity_names_rule_and_weights(detector):
    assert detector.name == "vgg16"
    assert detector.identity == f"vgg16 resize=tf1-224 sha256={detector.weights_sha256}"


def test_weights_that_do_not_fit_are_refused(tmp_path, inception_weights):
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "short")
    for path in (tmp_path / "short", inception_weights):
        with pytest.raises(UserError, match="not VGG16 weights") as caught:
            load_detector("vgg16", "tf1", path, CPU)
        assert "\n" not in str(caught.value)
