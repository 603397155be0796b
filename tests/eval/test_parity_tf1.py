"""Numbers of whole commands with TensorFlow 1's resize, from image files on, against packages.

Both sides read the same files through the same random Inception weights. How a package reads,
resizes and averages is its own; only the root of its covariances is taken in the span of the
images.
"""

import numpy as np
import pytest
import torch

from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import IsSettings
from tests.eval.parity import COUNT, distance_in_span, read_images, rows_of

# Larger and smaller than 299; of other sizes `test_resize` compares what the network is shown.
pytestmark = pytest.mark.parametrize("case", [32, 1024], indirect=True)


@pytest.fixture(scope="module")
def network(inception_weights):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3(
        "inception",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=str(inception_weights),
    )


@pytest.fixture(scope="module")
def theirs(case, network):
    """What torch-fidelity extracts from the two folders."""
    from torch_fidelity.utils import extract_featuresdict_from_input_id

    options = {
        "input1": str(case.fake), "input2": str(case.real), "cuda": False, "batch_size": 2,
        "samples_shuffle": False, "save_cpu_ram": True, "verbose": False,
    }  # fmt: skip
    return [extract_featuresdict_from_input_id(number, network, **options) for number in (1, 2)]


@pytest.fixture(scope="module")
def ours(case):
    """Our FID and KID, of one pass; a subset of all images is the same whoever draws it."""
    settings = AllSettings(metrics="fid,kid", num=COUNT, subset_size=COUNT, batch=2)
    inputs = Inputs(images=case.fake, data=case.real, weights={"inception": case.weights})
    return [row.value for row in rows_of("all", inputs, settings)]


def test_fid_equals_torch_fidelitys(theirs, ours):
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    def distance(*stats):
        pairs = ({"mu": mu, "sigma": sigma} for mu, sigma in (stats[:2], stats[2:]))
        return fid_statistics_to_metric(*pairs, verbose=False)["frechet_inception_distance"]

    expected = distance_in_span(distance, *(found["2048"].numpy() for found in theirs))
    assert ours[0] == pytest.approx(expected, rel=5e-6)
    assert expected > 1


def test_kid_equals_the_packages(theirs, ours):
    from cleanfid.fid import kernel_distance
    from torch_fidelity.metric_kid import kid_features_to_metric

    # In float32 their sums are no more exact than the tolerance.
    fake, real = (found["2048"].double() for found in theirs)
    options = {"kid_subsets": 2, "kid_subset_size": COUNT, "verbose": False}
    expected = kid_features_to_metric(fake, real, **options)["kernel_inception_distance_mean"]
    assert ours[1] == pytest.approx(expected, rel=1e-4)
    clean = kernel_distance(real.numpy(), fake.numpy(), num_subsets=2)
    assert clean == pytest.approx(expected, rel=1e-12)


def test_inception_score_equals_torch_fidelitys(case, theirs):
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = theirs[0]["logits_unbiased"]
    settings = IsSettings(num=COUNT, splits=2, batch=2)
    expected = isc_features_to_metric(logits, splits=2, rng_seed=settings.seed)
    (row,) = rows_of("is", case.inputs(), settings)
    assert row.value - 1 == pytest.approx(expected["inception_score_mean"] - 1, rel=2e-5)


def torchmetrics_fid(case, **options):
    from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

    metric = FrechetInceptionDistance(feature_extractor_weights_path=str(case.weights), **options)
    for real, folder in ((False, case.fake), (True, case.real)):
        metric.update(read_images(folder), real=real)
    means, covs = [], []
    for kind in ("fake", "real"):
        total, squares, count = (
            getattr(metric, f"{kind}_features_{sums}").numpy()
            for sums in ("sum", "cov_sum", "num_samples")
        )
        means.append(total / count)
        covs.append((squares - np.outer(total, total) / count) / (count - 1))
    # Its sums hold no single features, so the span is that of a few columns of the covariances.
    mix = np.random.default_rng(0).standard_normal((2048, COUNT - 1))
    basis, _ = np.linalg.qr(np.column_stack([*(cov @ mix for cov in covs), means[0] - means[1]]))
    turned = [
        (basis.T @ mean, basis.T @ cov @ basis) for mean, cov in zip(means, covs, strict=True)
    ]
    return float(_compute_fid(*(torch.from_numpy(part) for pair in turned for part in pair)))


def test_fid_equals_torchmetrics_without_antialias(case, ours):
    assert ours[0] == pytest.approx(torchmetrics_fid(case, antialias=False), rel=5e-6)


def test_torchmetrics_default_is_another_resize(case, ours):
    assert abs(torchmetrics_fid(case) / ours[0] - 1) > 5e-3
