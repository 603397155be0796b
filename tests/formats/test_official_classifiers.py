"""The official attribute classifiers: discriminators, whose official scores are known."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.classifiers.official import load_official
from stylegan_eval.cli import main as evaluate
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.ls import cut_groups_note
from tests.formats import official_pickles as pickles
from tests.train import golden

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """Two classifiers of 32x32: the discriminators of two rows."""
    path = tmp_path / "classifiers"
    path.mkdir()
    for file, row in (("01-smiling", "E"), ("00-male", "F")):
        data = pickles.dumps(pickles.stylegan_discriminator(row))
        (path / f"celebahq-classifier-{file}.pkl").write_bytes(data)
    (path / "another.pkl").write_bytes(b"no classifier")
    return path


def test_logits_are_the_official_scores(folder):
    classifier = load_official(folder, CPU)
    assert classifier.attributes == ("male", "smiling")
    assert classifier.resolution == 32
    logits = classifier(golden.tensor("F", "reals"))
    assert logits.shape == (4, 2)
    expected = golden.numbers("F")["scores_lod_0"][:, 0]
    np.testing.assert_allclose(logits[:, 0], expected, atol=1e-5)
    expected = golden.numbers("E")["scores_small_lod_0"]
    logits = classifier(golden.tensor("E", "reals")[:2])
    np.testing.assert_allclose(logits[:, 1:], expected, atol=1e-5)


def test_four_images_in_a_row_are_a_group(folder):
    classifier = load_official(folder, CPU)
    images = golden.tensor("F", "reals_group")
    by_four = torch.cat([classifier(images[:4]), classifier(images[4:])])
    torch.testing.assert_close(classifier(images), by_four, atol=1e-6, rtol=1e-5)
    shuffled = classifier(images[[0, 5, 2, 7, 4, 1, 6, 3]])
    assert (shuffled[0] - by_four[0]).abs().max() > 1e-5


def test_separability_takes_them(folder, tmp_path):
    network = tmp_path / "Gs.pkl"
    network.write_bytes(pickles.dumps(pickles.stylegan_generator("F")))
    args = ["ls", "--ckpt", str(network), "--classifiers", str(folder), "--num", "40"]
    done = CliRunner().invoke(evaluate, [*args, "--keep", "20", "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    assert '"detector": "classifiers-official"' in done.stdout
    assert "ls_w/smiling" in done.stdout
    shown = CliRunner().invoke(evaluate, ["classifiers", "show", str(folder)])
    assert "official, 32x32, accuracies unknown" in shown.stdout


def test_groups_that_are_cut_short_are_noted(folder, tmp_path):
    network = tmp_path / "Gs.pkl"
    network.write_bytes(pickles.dumps(pickles.stylegan_generator("F")))

    def note(*options):
        args = ["ls", "--ckpt", str(network), "--classifiers", str(folder), *options]
        done = CliRunner().invoke(
            evaluate, [*args, "--keep", "20", "--space", "w", "--device", "cpu", "--json"]
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["results"][0]["note"]

    assert "groups" not in note("--num", "40", "--batch", "8")
    # 6 batches of 6 and one of 4: two images beyond the first group of each of the 6.
    assert "12 of 40 images were in groups cut short" in note("--num", "40", "--batch", "6")
    assert "2 of 42 images were in groups cut short" in note("--num", "42", "--batch", "8")


@pytest.mark.parametrize(
    ("blocks", "batch", "cut"),
    [([1250] * 40, 32, 80), ([1280] * 40, 32, 0), ([5000] * 40, 4, 0), ([7], 2, 7)],
)
def test_images_in_cut_groups_are_counted(blocks, batch, cut):
    groups = [
        min(4, size - start, batch - start % batch)
        for size in blocks
        for start in range(size)
        if start % batch % 4 == 0
    ]
    assert sum(group for group in groups if group < 4) == cut
    assert (f" {cut:,} of " in cut_groups_note(blocks, batch, 4)) == (cut > 0)


REFUSED = [
    ({"changes": {"use_wscale": False}}, "option use_wscale=False"),
    ({"changes": {"something": 3}}, "option something=3"),
    ({"changes": {"resolution": 64}}, "lacks the variable 64x64/Conv0/weight"),
    ({"changes": {"resolution": 31}}, "resolution 31"),
    ({"changes": {"label_size": 2}}, "option label_size=2"),
    ({"values": {"4x4/Dense1/bias": np.zeros(2, np.float32)}}, "4x4/Dense1/weight"),
    ({"values": {"8x8/Conv0/weight": np.zeros((3, 3, 32, 9), np.float32)}}, "8x8/Conv0/weight"),
    ({"values": {"8x8/Conv0/bias": np.zeros((2, 16), np.float32)}}, "8x8/Conv0/weight"),
    ({"values": {"4x4/Conv/bias": np.full(32, np.nan, np.float32)}}, "NaN"),
]


@pytest.mark.parametrize(("how", "message"), REFUSED)
def test_other_networks_are_refused(how, message, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickles.dumps(pickles.stylegan_discriminator("F", **how)))
    with pytest.raises(UserError) as error:
        load_official(path, CPU)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def test_a_folder_of_other_networks_is_refused(folder):
    path = folder / "celebahq-classifier-02-young.pkl"
    path.write_bytes(pickles.dumps(pickles.stylegan_generator("F")))
    with pytest.raises(UserError, match=r"young\.pkl: built by G_style"):
        load_official(folder, CPU)
    path.write_bytes(pickles.dumps(pickles.stylegan("F")))
    with pytest.raises(UserError, match=r"young\.pkl: built by G_style"):
        load_official(folder, CPU)
