"""Options under the names that other tools of the field give them."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.sample.cli import main as sample
from stylegan.train import main as train


def test_a_training_is_planned_by_other_names(tmp_path):
    shown = [
        CliRunner().invoke(train, [*words, "--print-config"])
        for words in (["--config", "F"], ["--cfg", "F", f"--outdir={tmp_path}"], ["--cfg=F"])
    ]
    assert [done.exit_code for done in shown] == [0, 0, 0]
    assert shown[0].output == shown[1].output == shown[2].output


@pytest.mark.parametrize("words", [["--network", "demo", "--trunc", "0.5"], ["--trunc=0.5"]])
def test_an_image_is_drawn_by_other_names(tmp_path, words):
    ours, theirs = tmp_path / "a.png", tmp_path / "b.png"
    rest = [] if "--network" in words else ["--ckpt", "demo"]
    image = ["image", "--seed", "3"]
    one = CliRunner().invoke(sample, [*image, "--ckpt", "demo", "--psi", "0.5", str(ours)])
    other = CliRunner().invoke(sample, [*image, *words, *rest, str(theirs)])
    assert one.exit_code == other.exit_code == 0, other.output
    assert np.array_equal(Image.open(ours), Image.open(theirs))
