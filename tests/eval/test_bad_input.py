"""The careless and the hostile user: one line that says what to do, and nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from stylegan_eval.cli import main
from stylegan_eval.engine.command import STOP_SIGNALS
from stylegan_eval.results.results import COLUMNS
from tests import starting

LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def assert_refused(result, message, status=1):
    assert result.exit_code == status, (result.exit_code, result.exception)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.lower().startswith("error: "), last
    assert message in last
    assert "Traceback" not in result.stderr


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "cache"


@pytest.fixture
def same(image_folder):
    """Arguments that compare images with themselves."""
    folder = image_folder("same", 6)
    return ["fid", "--images", folder, "--data", folder, "--num", 6, *LITE]


class Bomb:
    def __reduce__(self):
        return (Path("exploded").touch, ())


@pytest.mark.parametrize("features", ["inception", "vgg16", "dinov2-vits14", "clip-vitl14-336"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "not a weights file of PyTorch: damaged, or of another kind"),
        (b"", "damaged, or of another kind"),
        (None, "no such file"),
        ([1, 2], "holds list, expected a dictionary of tensors"),
        ({"a": Bomb()}, "holds other objects than tensors, which might run code"),
        ({"x": torch.ones(3)}, "w.pth: not "),
        ({1: 2, "x": "y"}, "w.pth: not "),
        ({"pos_embed": torch.ones(3), "visual.proj": torch.ones(3)}, "w.pth: not "),
    ],
)
def test_weights_that_are_none(tmp_path, image_folder, features, content, message):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    folder = image_folder("images", 2)
    args = ["fid", "--images", folder, "--data", folder, "-n", 2, "--features", features]
    assert_refused(run(*args, "--weights", path, "--device", "cpu"), message)
    assert not Path("exploded").exists()


def test_half_precision_weights_tell_classes(tmp_path, image_folder, inception_weights):
    state = torch.load(inception_weights, weights_only=True)
    half = {key: v.half() if v.is_floating_point() else v for key, v in state.items()}
    torch.save(half, tmp_path / "half.pth")
    args = ["is", "--images", image_folder("images", 2), "-n", 2, "--splits", 1, "--device", "cpu"]
    done = run(*args, "--weights", tmp_path / "half.pth")
    assert done.exit_code == 0, done.stderr
    assert "weights:" in done.stdout


def test_weights_of_networks_that_take_no_part(same):
    named = run(*same, "--weights", "incption=w.pth")
    assert_refused(named, "no network is called incption: expected one of inception", status=2)
    assert_refused(run(*same, "--weights", "vgg16=w.pth"), "vgg16 takes no part here")


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", "cpu:3", "cuda:-1"])
def test_devices_that_are_none(same, device):
    assert_refused(run(*same, "--device", device), "--device must be auto, cpu, cuda or cuda:N")


def statistics(path, dim=1280, **other):
    content = {"mu": np.zeros(dim), "sigma": np.eye(dim), **other}
    with path.open("wb") as file:
        np.savez(file, **content)


def test_statistics_that_are_none(tmp_path, same):
    path = tmp_path / "stats.npz"
    args = [*same[:3], "--data", path, "--num", 6, *LITE]
    about = json.dumps({"count": 1, "detector": "", "content": "x"})
    for other, message in [
        ({"sigma": 2 - np.eye(1280)}, "negative eigenvalues"),
        ({"sigma": np.triu(np.ones((1280, 1280)))}, "not symmetric"),
        ({"mu": np.full(1280, np.nan)}, "not finite"),
        ({"about": np.array(about)}, "its `about` metadata is corrupt"),
        ({"dim": 8}, "have 8 features, efficientnet-lite0 has 1280"),
    ]:
        statistics(path, **other)
        assert_refused(run(*args), message)
    path.write_bytes(b"")
    assert_refused(run(*args), "not a file of statistics")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert_refused(run(*args), "not a file of statistics")


def test_statistics_of_equal_images_are_some(tmp_path, same):
    """Of zero covariance: the distance is that of the means, and the other side's variance."""
    path, equal = tmp_path / "stats.npz", tmp_path / "equal.npz"
    statistics(path)
    statistics(equal, mu=np.full(1280, 0.5), sigma=np.zeros((1280, 1280)))
    done = run("fid", "--images", equal, "--data", path, "--num", 5000, *LITE, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["value"] == pytest.approx(1280 * (0.25 + 1))


def test_advice_for_arrays_that_are_no_images(tmp_path, same):
    features, saved = tmp_path / "features.npy", tmp_path / "stats.pt"
    np.save(features, np.zeros((6, 1280), np.float32))
    torch.save({"mu": torch.zeros(8), "sigma": torch.eye(8)}, saved)
    for path, message in [
        (features, "np.savez('features.npz', feats=array)"),
        (saved, "it is a file of torch.save: save statistics by np.savez('stats.npz'"),
    ]:
        assert_refused(run("fid", "--images", path, *same[3:]), message)


def test_results_are_not_written_over_what_is_no_table(tmp_path, same):
    (tmp_path / "foreign.csv").write_text("metric,value\nfid,1\n")
    (tmp_path / "long.csv").write_text("x" * 200_000)
    os.mkfifo(tmp_path / "pipe")
    for name, message in [
        ("pipe", "is no ordinary file"),
        (".", "is a folder"),
        ("foreign.csv/x.csv", "foreign.csv is not a folder"),
        ("foreign.csv", "missing: stderr, num"),
        ("long.csv", "cannot be read as a table of results"),
    ]:
        assert_refused(run(*same, "--csv", tmp_path / name), message)
    assert_refused(run(*same, "--csv", "/dev/null"), "is no ordinary file")
    assert not Path("/dev/null").is_file()
    assert (tmp_path / "foreign.csv").read_text() == "metric,value\nfid,1\n"


def test_a_link_to_a_table_stays_a_link(tmp_path, same):
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "shared" / "table.csv")
    (tmp_path / "shared").mkdir()
    for _ in range(2):
        assert run(*same, "--csv", link).exit_code == 0
    assert link.is_symlink()
    assert len((tmp_path / "shared" / "table.csv").read_text().splitlines()) == 3


def table(path, *rows):
    usual = {"metric": "fid", "value": "1.5", "stderr": "0.1", "generator": path.stem}
    lines = [",".join({**usual, **row}.get(name, "") for name in COLUMNS) for row in rows]
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return path


def test_tables_that_cannot_be_compared(tmp_path):
    good = table(tmp_path / "good.csv", {})
    bad = tmp_path / "bad.csv"
    for cells in ({"value": "abc"}, {"stderr": "x"}, {"note": "one,too many"}, {"date": '"open'}):
        table(bad, {}, cells)
        assert_refused(run("compare", good, bad), "bad.csv: result 2 cannot be read")
    table(bad)
    assert_refused(run("compare", good, bad), "bad.csv: no results in it")
    before = good.read_bytes()
    other = table(tmp_path / "other.csv", {})
    assert_refused(run("compare", good, other, "--csv", good), "is what is read")
    assert good.read_bytes() == before
    good.write_bytes(b"\xef\xbb\xbf" + before.replace(b"\n", b"\r\n"))  # as a spreadsheet saves it
    assert run("compare", good, other).exit_code == 0


def labelled(path, label, attributes):
    image = Image.new("RGB", (8, 8))
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(100):
            with archive.open(f"{index:03}.png", "w") as file:
                image.save(file, "png")
        labels = [[f"{index:03}.png", label(index)] for index in range(100)]
        archive.writestr("dataset.json", json.dumps({"labels": labels, "attributes": attributes}))
    return path


def test_labels_that_cannot_be_learnt(tmp_path):
    data, out = tmp_path / "data.zip", tmp_path / "out.safetensors"
    for label, attributes, message in [
        (lambda i: [10**400, i % 2], ["a", "b"], "labels must all be"),
        (lambda i: [1, i % 2], ["a", "b"], "all images have a"),
        (lambda _: [1], ["a"], "no attribute differs"),
        (lambda i: [i % 2, i % 3 == 0], ["a,b", "c"], "attribute 'a,b': names must be"),
        (lambda i: [i % 2, i % 3 == 0], ["-a", "c"], "attribute '-a': names must be"),
        (lambda i: [i % 2, i % 3 == 0], ["a\nb", "c"], "names must be printable"),
    ]:
        labelled(data, label, attributes)
        train = ["classifiers", "train", "--data", data, "--resolution", 8, "--epochs", 1]
        assert_refused(run(*train, "--out", out), message)
    before = data.read_bytes()
    assert_refused(run(*train, "--out", data), "must end in .safetensors", status=2)
    assert data.read_bytes() == before
    assert not out.exists()


def test_metrics_that_need_latents_refuse_images(image_folder):
    folder = image_folder("images", 10)
    common = ["all", "--images", folder, "--data", folder, "-n", 10, *LITE]
    named = run(*common, "--metrics", "fid,ppl")
    assert_refused(named, "ppl cannot be measured of --images")
    ls = run(*common, "--metrics", "fid,ls", "--classifiers", "x.safetensors")
    assert_refused(ls, "ls cannot be measured of --images")


def test_too_few_real_images_are_told_before_the_work(image_folder, cache):
    args = ["--images", image_folder("fakes", 8), "--data", image_folder("reals", 4, seed=1)]
    common = [*args, "--reals", "full", "-n", 8, *LITE]
    assert_refused(run("kid", *common, "--subset-size", 6), "use --subset-size 4")
    assert_refused(run("pr", *common, "--k", 5), "--k 5 needs 6 or more")
    assert not (cache / "work").exists()


def test_a_damaged_image_is_named_and_the_rest_goes_on_when_it_is_mended(tmp_path, image_folder):
    folder, reals = image_folder("fakes", 6, seed=3), image_folder("reals", 6)
    args = ["fid", "--images", folder, "--data", reals, "-n", 6, *LITE]
    path = folder / "00003.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    table = tmp_path / "results.csv"
    assert_refused(run(*args, "--csv", table), "00003.png: damaged or truncated image")
    assert not table.exists()
    path.write_bytes(whole)
    again = run(*args)
    assert "real images" not in again.stderr  # they are known
    assert again.exit_code == 0
    path.unlink()
    os.mkfifo(path)
    assert_refused(run(*args), "is no ordinary file")


def test_formats_without_loss_give_a_distance_of_zero(tmp_path, image_folder):
    pngs = image_folder("pngs", 6)
    others = tmp_path / "others"
    others.mkdir()
    for path in sorted(pngs.iterdir()):
        image, name = Image.open(path), others / path.stem
        index = int(path.stem)
        if index == 0:
            image.save(name.with_suffix(".bmp"))
        elif index == 1:
            image.save(name.with_suffix(".webp"), lossless=True)
        elif index == 2:  # stored upside down, with a tag that says so
            exif = Image.Exif()
            exif[0x0112] = 3
            image.rotate(180).save(name.with_suffix(".png"), exif=exif)
        elif index == 3:
            image.convert("RGBA").save(name.with_suffix(".tiff"))
        else:
            image.save(name.with_suffix(".ppm"))
    done = run("fid", "--images", others, "--data", pngs, "-n", 6, *LITE, "--json")
    (row,) = json.loads(done.stdout)["results"]
    assert row["value"] == pytest.approx(0, abs=1e-9)


def test_a_cache_that_cannot_be_written(tmp_path, same, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "file"))
    assert_refused(run(*same), "set STYLEGAN_CACHE to a folder that can be written")
    assert run("cache", "list").exit_code == 0


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to")])
def test_full_memory_is_told_in_a_line(same, monkeypatch, error):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("stylegan_eval.metrics.measure.evaluate", fails)
    assert_refused(run(*same), "out of memory: use a smaller --batch")


def python(code, **environment):
    return starting.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


SLEEPS = """
import sys, time, click
from stylegan_eval.engine.command import ErrorLineGroup
@click.group(cls=ErrorLineGroup)
def main(): pass
@main.command()
def sleep():
    try:
        print("ready \\u2603", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
main(["sleep"])
"""


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, b"interrupted"),
        *((each, 128 + each, b"terminated") for each in STOP_SIGNALS if each != signal.SIGINT),
    ],
)
def test_signals_clean_up_and_say_so(number, status, word):
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n" + SLEEPS
    with python(code, PYTHONIOENCODING="latin-1") as process:
        # What the character set lacks is escaped, not fatal.
        assert process.stdout.readline() == b"ready \\u2603\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (status, b"cleaned\n", word)


def test_a_signal_that_is_ignored_stays_so():
    """As under nohup."""
    with python(
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SLEEPS
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGUSR1


def test_names_that_are_no_text_are_written_escaped(tmp_path, image_folder):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    image_folder("images", 4).rename(folder)
    args = ["fid", "--images", folder, "--data", folder, "-n", 4, *LITE]
    assert run(*args, "--csv", tmp_path / "results.csv").exit_code == 0
    assert re.search(r"\\udcff\\udcfe", (tmp_path / "results.csv").read_text(encoding="utf-8"))
