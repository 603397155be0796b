"""Numbers of whole commands with the resize rules of pytorch-fid and clean-fid, against them.

As in `test_parity_tf1`, of images larger and smaller than 299. clean-fid's TorchScript network
cannot be had offline; its own network in PyTorch takes its place, fed what the other would be fed.
At all sizes the rules themselves are compared in `test_resize`.
"""

import pytest
import torch

from tests.eval.parity import COUNT, distance_in_span

# What the packages pass to scipy's sqrtm and to torchvision will go.
pytestmark = [
    pytest.mark.parametrize("case", [32, 1024], indirect=True),
    pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning"),
]


@pytest.fixture(scope="module")
def networks(inception_weights):
    """Networks of both packages; their loaders, which download, are handed the file instead."""
    from cleanfid.inception_pytorch import InceptionV3 as CleanFidNetwork
    from pytorch_fid.inception import InceptionV3 as PytorchFidNetwork

    with pytest.MonkeyPatch.context() as patch:
        for package in ("cleanfid.inception_pytorch", "pytorch_fid.inception"):
            patch.setattr(
                f"{package}.load_state_dict_from_url",
                lambda url, progress: torch.load(inception_weights, weights_only=True),
            )
        clean = CleanFidNetwork(output_blocks=[3], resize_input=False).eval()
        return clean, PytorchFidNetwork().eval()


@pytest.fixture(scope="module")
def half_pixel_fid(case):
    return case.fid("pytorch-fid")


def test_fid_equals_pytorch_fids(case, networks, half_pixel_fid):
    from pytorch_fid.fid_score import calculate_frechet_distance, get_activations

    _, network = networks
    features = [
        get_activations(sorted(folder.iterdir()), network, batch_size=COUNT, num_workers=0)
        for folder in (case.fake, case.real)
    ]
    expected = distance_in_span(calculate_frechet_distance, *features)
    assert half_pixel_fid == pytest.approx(expected, rel=5e-6)


def clean_fid(case, network, mode):
    from cleanfid.fid import frechet_distance, get_folder_features

    # The network takes [0, 1] and scales to [-1, 1]; what `clean` wants is (x - 128) / 128.
    levels = 256 if mode == "clean" else 255
    features = [
        get_folder_features(
            str(folder), lambda x: network(x / levels)[0].flatten(1), num_workers=0,
            device=torch.device("cpu"), mode=mode, verbose=False,
        )
        for folder in (case.fake, case.real)
    ]  # fmt: skip
    return distance_in_span(frechet_distance, *features)


def test_fid_equals_clean_fids(case, networks):
    found, expected = case.fid("clean"), clean_fid(case, networks[0], "clean")
    assert found == pytest.approx(expected, rel=5e-6)


def test_fid_equals_clean_fids_legacy_pytorch(case, networks, half_pixel_fid):
    expected = clean_fid(case, networks[0], "legacy_pytorch")
    assert half_pixel_fid == pytest.approx(expected, rel=5e-6)
