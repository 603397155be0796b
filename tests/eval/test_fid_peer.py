import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.sampling import draw, to_uint8
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.measure import measure
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FidSettings
from tests.eval.fakes import LinearGenerator

NUM = 6


@pytest.fixture
def folders(tmp_path, image_folder):
    """Images of the linear generator, as the evaluation draws them, and others."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    cpu = torch.device("cpu")
    images = to_uint8(draw(LinearGenerator(), 0, range(NUM), cpu)[2])
    for index, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(fakes / f"{index:02d}.png")
    return fakes, image_folder("reals", NUM)


# scipy says that `disp`, which pytorch-fid 0.3.0 passes to sqrtm, will go.
@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
def test_fid_equals_pytorch_fids(tmp_path, folders, fake_loader, inception_weights, monkeypatch):
    from pytorch_fid import fid_score

    monkeypatch.setattr(
        "pytorch_fid.inception.load_state_dict_from_url",
        lambda url, progress: torch.load(inception_weights, weights_only=True),
    )
    network = fid_score.InceptionV3().eval()
    stats = [
        fid_score.calculate_activation_statistics(
            sorted(folder.iterdir()), network, batch_size=NUM, num_workers=0
        )
        for folder in folders
    ]
    # scipy's root of a 2048 x 2048 product takes a minute. These few images span far fewer
    # dimensions, and a rotation into their span changes no distance.
    mix = np.random.default_rng(0).standard_normal((2048, NUM - 1))
    shift = stats[0][0] - stats[1][0]
    basis, _ = np.linalg.qr(np.column_stack([stats[0][1] @ mix, stats[1][1] @ mix, shift]))
    (mean_a, cov_a), (mean_b, cov_b) = ((basis.T @ m, basis.T @ s @ basis) for m, s in stats)
    assert np.trace(cov_a) == pytest.approx(np.trace(stats[0][1]), rel=1e-9)
    theirs = fid_score.calculate_frechet_distance(mean_a, cov_a, mean_b, cov_b)

    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 16")
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    (row,) = measure(
        METRICS["fid"],
        Inputs(ckpt=ckpt, data=folders[1], weights={"": inception_weights}),
        FidSettings(num=NUM, resize="pytorch-fid", batch=5),
        Run(device=torch.device("cpu")),
    )
    assert row.value == pytest.approx(theirs, rel=1e-4)
    assert row.value > 1
    assert row.metric == f"fid{NUM}[resize:pytorch-fid,weights:{row.weights_sha256[:8]}]"
