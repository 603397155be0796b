"""Precision, recall, density and coverage of one command, from image files on.

Against torch-fidelity, with VGG16 of the same random weights, against the package of the paper
on density and coverage, fed torch-fidelity's features, and against what ADM's evaluator computes of
Inception's.
"""

import numpy as np
import pytest
import torch
from PIL import Image

import stylegan_eval as se
from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.settings.common import Inputs
from tests.eval.parity import read_images, rows_of

NUM = 8


@pytest.fixture(scope="module")
def network(vgg16_weights):
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    with torch.random.fork_rng():
        return FeatureExtractorVGG16(
            "vgg16", ["fc2_relu"], feature_extractor_weights_path=str(vgg16_weights)
        )


@pytest.fixture(scope="module")
def compared(tmp_path_factory, vgg16_weights, network):
    """Our values by name, and torch-fidelity's features of generated and of real images.

    Of other sizes `test_vgg16` compares features.
    """
    from torch_fidelity.utils import extract_featuresdict_from_input_id

    folder = tmp_path_factory.mktemp("manifold")
    for kind, first in (("fake", 0), ("real", 1)):
        write_mixtures(folder / kind, 32, first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(folder / "cache"))
        options = {
            "input1": str(folder / "fake"), "input2": str(folder / "real"), "cuda": False,
            "batch_size": 4, "samples_shuffle": False, "save_cpu_ram": True, "verbose": False,
        }  # fmt: skip
        features = [
            extract_featuresdict_from_input_id(number, network, **options)["fc2_relu"]
            for number in (1, 2)
        ]
        inputs = Inputs(
            images=folder / "fake", data=folder / "real", weights={"vgg16": vgg16_weights}
        )
        rows = rows_of("all", inputs, AllSettings(metrics="pr,prdc", num=NUM, batch=5))
    ours = {row.metric.partition("[")[0]: row.value for row in rows}
    return ours, *features


def write_mixtures(folder, size, first, count=NUM):
    """Mixtures of three images of four; two of the three are the other set's too."""
    folder.mkdir()
    base = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3))[first : first + 3]
    rng = np.random.default_rng(first)
    for index in range(count):
        coarse = np.einsum("i,i...->...", rng.dirichlet([0.5] * 3), base).astype(np.uint8)
        image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.png")


def test_precision_and_recall_equal_torch_fidelitys(compared):
    from torch_fidelity.metric_prc import prc_features_to_metric

    ours, fake, real = compared
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    for name in ("precision", "recall"):
        assert ours[f"pr8_3_{name}"] == pytest.approx(theirs[name], abs=1e-6)
        assert 0 < theirs[name] < 1


def test_density_and_coverage_equal_those_of_naeem_et_al(compared, monkeypatch):
    import prdc as package
    import sklearn.metrics

    plain = sklearn.metrics.pairwise_distances
    # It asks for eight processes.
    monkeypatch.setattr(
        sklearn.metrics, "pairwise_distances", lambda x, y, metric, n_jobs: plain(x, y, metric)
    )
    ours, fake, real = compared
    for name, value in package.compute_prdc(real.numpy(), fake.numpy(), 5).items():
        assert ours[f"prdc8_5_{name}"] == pytest.approx(value, abs=1e-9), name
        assert value > 0, name


def adms(real, fake, k=3):
    """Precision and recall as ADM's evaluator defines them, by squares of distances, in float64.

    A radius is entry k of a row's sorted distances from its own set, itself at 0; boundaries count.
    """

    def squares(a, b):
        return np.square(a[:, None] - b[None]).sum(axis=2)

    of_real, of_fake = (np.sort(squares(x, x), axis=1)[:, k] for x in (real, fake))
    across = squares(real, fake)
    precision = (across <= of_real[:, None]).any(axis=0).mean()
    return precision, (across <= of_fake[None]).any(axis=1).mean()


def test_precision_and_recall_of_inception_are_adms(tmp_path, monkeypatch, inception_weights):
    """Of all images of both sides, whose numbers may differ."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    network = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(inception_weights)
    )
    folders = tmp_path / "fake", tmp_path / "real"
    seen = []
    for first, folder in enumerate(folders):
        write_mixtures(folder, 32, first, 14 - 2 * first)
    Image.new("RGB", (32, 32), "white").save(folders[1] / "far.png")
    for folder in folders:
        with torch.inference_mode():
            (features,) = network(read_images(folder))
        seen.append(features.double().numpy())
    fake, real = seen
    results = se.precision_recall(
        *folders, features="inception", weights=inception_weights, device="cpu"
    )
    theirs = adms(real, fake)
    assert [row.value for row in results] == pytest.approx(theirs, abs=1e-12)
    assert all(0 < value < 1 for value in theirs)
    assert results[0].name.startswith("pr14_3_full_precision[inception,weights:")
