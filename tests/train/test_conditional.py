"""Labels: the networks are trained with them, and sampled and measured as often as they occur."""

import json
import zlib

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive
from stylegan.network_file import save_network
from stylegan.networks.generator import DrawsLabels, labels_of
from stylegan.opening import load_for_evaluation
from stylegan.sample.cli import main as sample
from stylegan.train import main as train
from stylegan_eval.cli import main as evaluate
from stylegan_eval.engine.sampling import draw

CPU = torch.device("cpu")


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """300 images of 16x16, in three classes by colour, the first as frequent as the others."""
    path = tmp_path_factory.mktemp("classes") / "colours16.zip"
    classes = [(0, 1, 0, 2)[k % 4] for k in range(300)]
    images = np.zeros((300, 16, 16, 3), np.uint8)
    for image, number in zip(images, classes, strict=True):
        image[:, :, number] = 255
    write_archive(path, zip(images, classes, strict=True))
    return path


@pytest.fixture(scope="module")
def conditional(classes, cache, tmp_path_factory):
    """Folder of a finished conditional run."""
    out = tmp_path_factory.mktemp("run") / "cond"
    options = ["--config", "F", "--preset", "tiny-16", "--kimg", "0.5", "--cond"]
    result = run(train, *options, "--data", classes, "--cache", cache, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_the_networks_have_and_use_labels(conditional):
    tree = read_checkpoint(newest_checkpoint(conditional))
    assert tree.config.network.label_size == 3
    labels = tree.labels
    assert labels.shape == (300, 3)
    assert labels.mean(0).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert tree.resume.optimizers["G"]["exp_avg_sq"]["f.label_embedding.weight"].min() > 0
    assert tree.resume.optimizers["D"]["exp_avg_sq"]["dense1.weight"].sum(1).min() > 0


def test_labels_are_drawn_as_often_as_they_occur_and_by_the_latent_alone():
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    rows = torch.eye(3)[[0, 0, 1, 2]]
    labels = labels_of(z, rows)
    shares = labels.mean(0)
    assert (shares - torch.tensor([0.5, 0.25, 0.25])).abs().max() < 5 * 0.5 / 4000**0.5
    assert torch.equal(labels_of(z[[7, 3]], rows), labels[[7, 3]])


@pytest.mark.parametrize("z_dim", [1, 8, 512])
def test_a_label_is_drawn_by_the_checksum_of_its_latent(z_dim):
    z = torch.randn(20, z_dim, generator=torch.Generator().manual_seed(1))
    z[0] = -0.0
    rows = torch.arange(1000.0)[:, None]
    checksums = [zlib.crc32(latent.numpy().tobytes()) for latent in z]
    assert labels_of(z, rows).flatten().tolist() == [number % 1000 for number in checksums]


def test_evaluation_draws_labels_and_refuses_paths(conditional, classes):
    loaded = load_for_evaluation(conditional, CPU)
    assert isinstance(loaded.generator, DrawsLabels)
    z = torch.randn(5, loaded.generator.z_dim, generator=torch.Generator().manual_seed(0))
    ws = loaded.generator.mapping(z)
    torch.testing.assert_close(loaded.generator.mapping(z[2:3]), ws[2:3])
    result = run(evaluate, "ppl", "--ckpt", conditional, "--crop", "none", "--num", "20")
    assert result.exit_code == 1
    assert "is conditional" in result.stderr
    everything = ["all", "--ckpt", conditional, "--data", classes, "--features"]
    everything += ["efficientnet-lite0", "-n", "20", "--subset-size", "5"]
    done = run(evaluate, *everything)
    assert done.exit_code == 0, done.output
    assert "ppl is left out" in done.stderr
    assert "ppl_" not in done.stdout
    assert run(evaluate, *everything, "--metrics", "ppl").exit_code == 1


def test_a_network_file_keeps_the_labels(conditional, tmp_path):
    path = tmp_path / "network.safetensors"
    save_network(path, read_checkpoint(newest_checkpoint(conditional)))
    images = [
        draw(load_for_evaluation(p, CPU).generator, 0, range(6), CPU)[2]
        for p in (conditional, path)
    ]
    assert torch.equal(*images)


def test_one_class_can_be_drawn(conditional, tmp_path):
    sheets = []
    for number in (0, 2):
        out = tmp_path / f"{number}.png"
        result = run(sample, "grid", "--ckpt", conditional, "--class", number, out)
        assert result.exit_code == 0, result.output
        sheets.append(np.asarray(Image.open(out)))
    assert not np.array_equal(*sheets)
    assert run(sample, "grid", "--ckpt", conditional, tmp_path / "any.png").exit_code == 0


@pytest.mark.parametrize("row", ["A", "C"])
def test_rows_without_a_constant_input_take_labels_too(row, classes, cache, tmp_path):
    options = ["--config", row, "--preset", "tiny-16", "--kimg", "0.1", "--cond"]
    result = run(train, *options, "--data", classes, "--cache", cache, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output


def test_bad_input(conditional, finished, cache, tmp_path):
    def refused(message, command, *args):
        result = run(command, *args)
        assert result.exit_code == 1, result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    out = tmp_path / "x.png"
    refused("classes 0 to 2, not 3", sample, "grid", "--ckpt", conditional, "--class", 3, out)
    refused("is unconditional", sample, "grid", "--ckpt", finished, "--class", 0, out)
    images, scores = tmp_path / "x.npy", tmp_path / "scores.npy"
    np.save(images, np.zeros((4, 3, 16, 16), np.float32))
    refused("is conditional", sample, "scores", "--ckpt", conditional, "--images", images, scores)
    plain = tmp_path / "plain.zip"
    write_archive(plain, ((np.full((16, 16, 3), k, np.uint8), None) for k in range(20)))
    options = ["--config", "F", "--preset", "tiny-16", "--cache", cache, "--out", tmp_path / "r"]
    refused("has no labels", train, *options, "--data", plain, "--cond")
    sparse = tmp_path / "sparse.zip"
    write_archive(sparse, ((np.full((16, 16, 3), k, np.uint8), k * 10**8) for k in range(20)))
    refused("number the classes from 0", train, *options, "--data", sparse, "--cond")
    tree = json.loads((conditional / "run.json").read_text())
    assert tree["config"]["network"]["label_size"] == 3
    others = tmp_path / "others.zip"
    write_archive(others, ((np.full((16, 16, 3), k, np.uint8), k % 5) for k in range(20)))
    init = ["--init", conditional, "--data", others, "--out", tmp_path / "s", "--cache", cache]
    refused("labels of 5 numbers, the networks take 3", train, *init)
