import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stylegan_eval.classifiers.classifier import table
from stylegan_eval.classifiers.storage import ENTRY, load_classifier, save_classifier
from stylegan_eval.classifiers.training import train
from stylegan_eval.cli.making import classifiers
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.settings.others import TrainSettings
from tests.eval.labelled import draw, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pixels, labels = draw(120, 16)
    return write(tmp_path_factory.mktemp("data") / "images", pixels, labels.tolist())


@pytest.fixture(scope="module")
def trained(folder):
    with open_images(folder) as files:
        return train(files, TrainSettings(epochs=1, batch=32), CPU)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "attributes.safetensors"
    save_classifier(path, *trained)
    return path


# The file.


def test_file_gives_back_what_was_trained(trained, saved):
    loaded = load_classifier(saved, CPU)
    assert loaded.record == trained[0]
    assert loaded.attributes == ("bright", "red")
    weights = loaded.network.state_dict()
    for name, value in trained[1].state_dict().items():
        assert torch.equal(weights[name], value)


def test_equal_classifiers_give_equal_files(trained, saved, tmp_path):
    save_classifier(tmp_path / "again.safetensors", *trained)
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_answers_do_not_depend_on_the_batch(saved):
    classifier = load_classifier(saved, CPU)
    images = torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    together = classifier(images)
    parts = torch.cat([classifier(part) for part in images.split(2)])
    torch.testing.assert_close(together, parts, rtol=1e-5, atol=1e-5)
    assert together.dtype == torch.float32


@pytest.fixture
def damaged(saved, tmp_path):
    """Change tensors or record of the saved file."""

    def make(change_tensors=None, **changes):
        tensors = load_file(saved)
        with safe_open(saved, framework="pt") as content:
            metadata = content.metadata()
        if change_tensors:
            change_tensors(tensors)
        record = json.loads(metadata[ENTRY]) | changes
        path = tmp_path / "damaged.safetensors"
        save_file(tensors, path, {ENTRY: json.dumps(record)})
        return path

    return make


def _nan(tensors):
    tensors["head.weight"][0, 0] = float("nan")


def _missing(tensors):
    del tensors["head.bias"]


def _foreign(tensors):
    tensors["other"] = torch.zeros(1)


def _shape(tensors):
    tensors["head.bias"] = torch.zeros(3)


def _dtype(tensors):
    tensors["head.bias"] = tensors["head.bias"].double()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nan, "head.weight holds numbers that are not finite"),
        (_missing, "lacks tensor head.bias"),
        (_foreign, "has a foreign tensor other"),
        (_shape, r"head.bias is torch.float32 \[3\], expected torch.float32 \[2\]"),
        (_dtype, "head.bias is torch.float64"),
    ],
)
def test_damaged_weights_are_refused(damaged, change, message):
    with pytest.raises(UserError, match=message):
        load_classifier(damaged(change), CPU)


def test_a_message_is_short_however_long_the_names_in_a_file(damaged):
    def change(tensors):
        tensors["a" * 5000] = torch.zeros(1)

    with pytest.raises(UserError, match="has a foreign tensor aaa") as caught:
        load_classifier(damaged(change), CPU)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "big"}, "unknown architecture 'big'"),
        ({"resolution": 2**20}, "power of two from 8 to 1024"),
        ({"resolution": "16"}, "resolution is '16', expected int"),
        ({"resolution": 64}, "lacks tensor stages.3.conv.weight"),
        ({"format": 2}, "expected format 1"),
        ({"lrate": float("nan")}, "lrate is not finite"),
        ({"attributes": []}, "names 0 attributes"),
        ({"attributes": 3}, "record cannot be read"),
        ({"attributes": [{"name": "x"}]}, "record cannot be read"),
        ({"more": 1}, "record cannot be read"),
    ],
)
def test_damaged_record_is_refused(damaged, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load_classifier(damaged(**changes), CPU)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(saved, tmp_path):
    with pytest.raises(UserError, match="no such file; make one"):
        load_classifier(tmp_path / "none.safetensors", CPU)
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(UserError, match="not a safetensors file"):
        load_classifier(text, CPU)
    half = tmp_path / "half.safetensors"
    half.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a safetensors file, or damaged"):
        load_classifier(half, CPU)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, other)
    with pytest.raises(UserError, match="holds other weights, expected attribute classifiers"):
        load_classifier(other, CPU)


# The command.


def test_command_trains_and_shows(folder, tmp_path):
    out = tmp_path / "new" / "c.safetensors"
    args = ["train", "--data", str(folder), "--out", str(out), "--epochs", "1", "--device", "cpu"]
    done = CliRunner().invoke(classifiers, args)
    assert done.exit_code == 0, done.output
    loaded = load_classifier(out, CPU)
    assert done.stdout == table(loaded.record) + "\n"
    shown = CliRunner().invoke(classifiers, ["show", str(out)])
    assert shown.stdout == f"{table(loaded.record)}\n\nsha256 {loaded.sha256}\n"
    assert "bright" in shown.stdout


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "--epochs must be at least 1, got 0"),
        ("--batch", "1", "--batch must be at least 2, got 1"),
        ("--lrate", "nan", "--lrate must be above 0"),
        ("--seed", "-1", "--seed must be 0 to"),
        ("--architecture", "big", "unknown architecture 'big'"),
        ("--data", "nowhere", "nowhere does not exist"),
        ("--out", ".", "it is a folder"),
    ],
)
def test_command_errors_are_one_line_and_leave_no_file(folder, tmp_path, option, value, message):
    out = tmp_path / "c.safetensors"
    args = ["train", "--data", str(folder), "--out", str(out), option, value]
    done = CliRunner().invoke(classifiers, args)
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not out.exists()


def test_command_imports_nothing_heavy():
    program = "import sys, stylegan_eval.cli.making, stylegan_eval.settings.others\n"
    program += "assert not {'torch', 'numpy', 'sklearn', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
