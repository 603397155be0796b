import hashlib
import os
import subprocess
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.data import main
from stylegan.datasets.pyramid import open_pyramid
from stylegan_eval.engine.blocks import save_arrays
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.command import ErrorLineCommand, ErrorLineGroup
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from tests.data.samples import (
    dataset_json,
    encoded,
    everything_below,
    noise,
    pngs,
    run_with_small_disk,
    write_folder,
    write_zip,
)

RUN_MAIN = "from stylegan.data import main; main()"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_one_error_line(result, complaint):
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert complaint in line


# --- help


@pytest.mark.parametrize("command", ["", "avatars", "prepare", "export", "inspect", "cache verify"])
def test_help_has_an_example_and_imports_nothing_heavy(command):
    script = (
        "import sys\n"
        "from stylegan.data import main\n"
        "main(standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'pandas', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *text, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert any(line.strip().startswith(f"stylegan-data {command}") for line in text)


# --- what works


def test_avatars_then_inspect(tmp_path):
    out = tmp_path / "faces.zip"
    made = run("avatars", out, "--count", 5, "--resolution", 8, "--seed", 1, "--workers", 1)
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout == f"{out}: 5 avatars of 8x8, 27 labels each\n"
    seen = run("inspect", out)
    assert (seen.exit_code, seen.stderr) == (0, "")
    with open_images(out) as files:
        digest, hat = files.digest, files.labels.mean(axis=0)[2]
    for expected in ("images:   5", "8x8 (5)", "RGB (5)", digest, f"{hat:.3f}", "eyeglasses"):
        assert expected in seen.stdout
    assert "can be trained on as it is" in seen.stdout


def test_prepare_makes_what_inspect_asks_for(tmp_path):
    files = {"a.png": encoded(noise(40, 30)), "b.png": encoded(noise(16, 16)[..., 0])}
    source = write_folder(tmp_path / "src", files)
    before = run("inspect", source)
    assert before.exit_code == 0
    assert "30x40 (1), 16x16 (1)" in before.stdout
    assert "RGB (1), L (1)" in before.stdout
    assert "not as it is: images differ in size" in before.stdout
    assert f"run: stylegan-data prepare {source} OUT.zip" in before.stdout
    made = run("prepare", source, tmp_path / "out.zip")
    first, second, third = made.stdout.splitlines()
    assert first == f"{tmp_path / 'out.zip'}: 2 images of 16x16"
    assert second == "  from folder: crop centre, filter box"
    assert third.startswith(
        "  channels: RGB, of 1 grey, 1 in colour; grey becomes three equal channels"
    )
    assert "can be trained on as it is" in run("inspect", tmp_path / "out.zip").stdout


def test_prepare_passes_its_options_on(tmp_path):
    source = write_folder(
        tmp_path / "src", {f"{k}/{k}.png": encoded(noise(16, 16, ord(k))) for k in "ab"}
    )
    options = ("--resolution", 8, "--resample", "lanczos", "--labels-from-folders")
    made = run("prepare", source, tmp_path / "out", *options)
    assert made.stdout.splitlines()[1:] == [
        "  from folder: crop centre, filter lanczos",
        "  class 0: a",
        "  class 1: b",
    ]
    assert open_images(tmp_path / "out").header(0) == (8, 8, "RGB")
    plain = run("prepare", source, tmp_path / "box", "--resolution", 8)
    assert len(plain.stdout.splitlines()) == 2
    assert (open_images(tmp_path / "box").read(0) != open_images(tmp_path / "out").read(0)).any()


def test_inspect_lists_classes_and_shortens_long_lists(tmp_path):
    labels = [[f"{n:03d}.png", n // 2] for n in range(90)]
    files = {f"{n:03d}.png": encoded(noise(4, 4 + n % 7)) for n in range(90)}
    source = write_zip(tmp_path / "x.zip", files | {"dataset.json": dataset_json(labels)})
    text = run("inspect", source).stdout
    assert "45 classes" in text
    assert "and 5 more" in text
    assert "and 2 more" in text
    assert "  class 0          0.022" in text


def test_the_whole_cache_is_verified(tmp_path, cache):
    source = write_folder(tmp_path / "x", pngs(5, 16))
    stable = source / "002.png"
    pyramid = open_pyramid(source, progress=False)
    run("avatars", tmp_path / "a.zip", "--count", 2, "--resolution", 8, "--workers", 1)
    save_arrays(cache / "reals" / "1.npz", {"x": np.ones(3)})  # no statistics
    whole = run("cache", "verify")
    assert whole.exit_code == 1
    assert whole.stdout.splitlines() == [
        "sets of prepared images: 1, 0 damaged",
        "drawn sets: 1, 0 damaged",
        f"{cache / 'reals' / '1.npz'}: damaged",
        "statistics: 1, 1 damaged",
        "folders whose content is remembered: 1, 0 files changed",
    ]
    (cache / "reals" / "1.npz").unlink()
    assert (done := run("cache", "verify", "--cache", cache)).exit_code == 0, done.stderr
    (kept,) = cache.rglob("*.zip")
    for path in (pyramid.folder / "0008.npy", kept):
        data = bytearray(path.read_bytes())
        data[-70] ^= 1
        path.write_bytes(data)
    # A disk that loses bits changes no times: as if it had been remembered so.
    index = next((cache / "digests").iterdir())
    text = index.read_text().split("\n", 1)[1]
    text = text.replace(sha256_of(stable), sha256_of(source / "003.png"))
    index.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    found = run("cache", "verify")
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        f"{pyramid.folder}: damaged",
        "sets of prepared images: 1, 1 damaged",
        f"{kept}: damaged",
        "drawn sets: 1, 1 damaged",
        "statistics: 0, 0 damaged",
        f"{stable}: has changed, and its times have not",
        "folders whose content is remembered: 1, 1 files changed",
    ]
    assert found.stderr.startswith(f"error: 2 of 2 entries in {cache} are damaged, 1 files")
    open_pyramid(source, progress=False)
    run("avatars", tmp_path / "a.zip", "--count", 2, "--resolution", 8, "--workers", 1)
    assert run("cache", "verify").exit_code == 0


def test_a_folder_shows_the_digest_that_trainings_and_metrics_say(tmp_path):
    source = write_folder(tmp_path / "x", pngs(3))
    before = run("inspect", source).stdout
    assert open_pyramid(source, progress=False).digest in before
    os.utime(source / "000.png", (1, 1))  # the same content
    assert run("inspect", source).stdout == before


# --- bad input: one line, exit status 1, nothing left


BAD_SOURCES = {
    "missing": (lambda path: path, "does not exist"),
    "text": (lambda path: write_folder(path.parent, {path.name: b"text"}) / path.name, "neither"),
    "empty folder": (lambda path: write_folder(path, {"a.txt": b""}), "no images"),
    "empty zip": (lambda path: write_zip(path, {}), "no images"),
    "not an image": (lambda path: write_zip(path, {"a.png": b"text"}), "a.png: not an image"),
    "bad labels": (
        lambda path: write_zip(path, pngs(1) | {"dataset.json": b"{"}),
        "dataset.json: not valid JSON",
    ),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_bad_source_is_one_line_for_each_command(tmp_path, name):
    make, complaint = BAD_SOURCES[name]
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in" / "source")
    before = everything_below(tmp_path)
    assert_one_error_line(run("inspect", source), complaint)
    assert_one_error_line(run("prepare", source, tmp_path / "out.zip"), complaint)
    assert_one_error_line(run("prepare", source, tmp_path / "out"), complaint)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_a_truncated_png_is_one_line(tmp_path, out):
    files = pngs(3, 64) | {"cut.png": encoded(noise(64, 64))[:5000]}
    source = write_zip(tmp_path / "x.zip", files)
    assert_one_error_line(run("prepare", source, tmp_path / out), "cut.png: damaged or truncated")
    assert everything_below(tmp_path) == ["x.zip"]


def test_enlarging_is_refused_in_one_line(tmp_path):
    source = write_zip(tmp_path / "x.zip", pngs(2))
    result = run("prepare", source, tmp_path / "out.zip", "--resolution", 16)
    assert_one_error_line(result, "000.png is only 8 pixels")
    assert everything_below(tmp_path) == ["x.zip"]


@pytest.mark.parametrize("out", ["file/out.zip", "file/out", "file/deep/out.zip", "file/deep/out"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, out):
    source = write_zip(tmp_path / "x.zip", pngs(2))
    (tmp_path / "file").write_text("a regular file")
    assert_one_error_line(run("prepare", source, tmp_path / out), "")
    if out.endswith(".zip"):
        avatars = run("avatars", tmp_path / out, "--count", 2, "--resolution", 8)
        assert_one_error_line(avatars, "")
    assert everything_below(tmp_path) == ["file", "x.zip"]


def test_an_existing_folder_is_not_replaced(tmp_path):
    source = write_zip(tmp_path / "x.zip", pngs(2))
    write_folder(tmp_path / "out", {"mine.txt": b""})
    assert_one_error_line(run("prepare", source, tmp_path / "out"), "is there already")
    assert everything_below(tmp_path) == ["out", "out/mine.txt", "x.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_a_disk_that_fills_up_is_one_line(tmp_path, cache, out):
    source = write_zip(tmp_path / "x.zip", pngs(4, 64))
    target = tmp_path / "target"
    target.mkdir()
    done = run_with_small_disk(RUN_MAIN, ["prepare", source, target / out])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: cannot write {target / out}: File too large\n"
    assert everything_below(target) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_fills_up_is_blamed_by_its_name_not_the_cache(tmp_path, cache):
    out = tmp_path / "out.zip"
    arguments = ["avatars", out, "--count", 50, "--resolution", 16, "--workers", 1]
    for _ in range(2):  # drawing, and copying from the cache
        done = run_with_small_disk(RUN_MAIN, arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: cannot write {out}: File too large\n"
        assert everything_below(tmp_path) == []
        if not everything_below(cache):
            assert run(*arguments).exit_code == 0
            out.unlink()
    assert len(everything_below(cache)) == 3


def test_a_cache_that_cannot_be_written_is_a_note(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "file" / "cache"))
    done = run("avatars", tmp_path / "out.zip", "--count", 2, "--resolution", 8, "--workers", 1)
    assert done.exit_code == 0
    assert done.stderr.startswith("note: not kept for the next time: cannot write ")
    assert len(open_images(tmp_path / "out.zip")) == 2


# --- usage errors: exit status 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["avatars"],
        ["avatars", "faces.png"],
        ["avatars", "x.zip", "--count", "0"],
        ["avatars", "x.zip", "--count", "many"],
        ["avatars", "x.zip", "--resolution", "48"],
        ["avatars", "x.zip", "--resolution", "2"],
        ["avatars", "x.zip", "--resolution", "-8"],
        ["avatars", "x.zip", "--seed", "-1"],
        ["avatars", "x.zip", "--seed", str(2**64)],
        ["avatars", "x.zip", "--workers", "0"],
        ["prepare", "src"],
        ["prepare", "src", "x.zip", "--resolution", "100"],
        ["prepare", "src", "x.zip", "--resample", "nearest"],
        ["inspect"],
        ["nonsense"],
    ],
)
def test_a_usage_error_says_so(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert everything_below(tmp_path) == []


def test_a_resolution_that_is_no_power_of_two_is_explained():
    assert (
        "48 is not a power of two: expected 4, 8, 16, 32"
        in run("avatars", "x.zip", "--resolution", "48").stderr
    )


# --- the shared error lines


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (UserError("expected this\ncame that"), 1, "error: expected this came that\n"),
        (OSError(28, "No space left on device", "/x"), 1, "error: /x: No space left on device\n"),
        (OSError("odd"), 1, "error: odd\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.UsageError("no such thing"), 2, None),
    ],
)
def test_errors_are_lines_for_groups_and_single_commands(raised, status, line):
    @click.command(cls=ErrorLineCommand)
    def alone():
        raise raised

    @click.group(cls=ErrorLineGroup)
    def group():
        pass

    @group.command()
    def member():
        raise raised

    for command, arguments in ((alone, []), (group, ["member"])):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == status
        assert line is None or result.stderr == line


def test_a_programming_error_keeps_its_traceback():
    @click.command(cls=ErrorLineCommand)
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(broken, [], catch_exceptions=False)


# --- the cache folder


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.setenv("STYLEGAN_CACHE", "~/mine")
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("STYLEGAN_CACHE")
    assert str(cache_dir()) == "/shared/stylegan-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == tmp_path / ".cache" / "stylegan-bench"
