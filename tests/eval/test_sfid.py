"""Spatial FID, from image files on, against torch-fidelity's network at that layer."""

import numpy as np
import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import higher_is_better
from stylegan_eval.networks.inception import load_inception, load_spatial
from stylegan_eval.settings.image_metrics import SfidSettings
from tests.eval import parity

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def theirs(inception_weights):
    """Function of images uint8 [N, 3, H, W] to features [N, 2023], in the order of TensorFlow."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(inception_weights)
    )
    outputs = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda *call: outputs.append(call[2]))

    def features(images):
        outputs.clear()
        with torch.inference_mode():
            network(images)
        return np.moveaxis(outputs[0].numpy()[:, :7], 1, 3).reshape(len(images), -1)

    return features


@pytest.mark.parametrize("case", [32, 256], indirect=True)
def test_features_and_distance_are_those_of_the_layer(case, theirs):
    from scipy.linalg import sqrtm

    def frechet(mean, cov, other_mean, other_cov):
        root = np.trace(sqrtm(cov @ other_cov).real)
        return np.square(mean - other_mean).sum() + np.trace(cov + other_cov) - 2 * root

    fake, real = (theirs(parity.read_images(folder)) for folder in (case.fake, case.real))
    ours = load_spatial(case.weights, CPU)(parity.read_images(case.fake)).numpy()
    assert ours.shape == (parity.COUNT, 7 * 17 * 17)
    assert np.abs(ours - fake).max() < 1e-5 * np.abs(fake).max()
    settings = SfidSettings(num=parity.COUNT, batch=2)
    (row,) = parity.rows_of("sfid", case.inputs(), settings)
    assert row.value == pytest.approx(parity.distance_in_span(frechet, fake, real), rel=1e-5)
    assert row.metric.startswith("sfid3[weights:")
    assert "3 images do not span 2023 features" in row.note


def test_it_is_another_network_of_the_same_weights(inception_weights):
    pool, spatial = (
        load_inception(inception_weights, "tf1", CPU),
        load_spatial(inception_weights, CPU),
    )
    assert spatial.identity != pool.identity
    assert spatial.weights_sha256 == pool.weights_sha256


def test_other_features_give_no_sfid():
    with pytest.raises(UserError, match="leave it out, or use fid --features vgg16"):
        SfidSettings(features="vgg16")
    assert not higher_is_better("sfid50k_full")
