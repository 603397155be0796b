"""Data and networks that do not fit: refused or told at once, with advice that works."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from stylegan.configs import CONFIGS
from stylegan.data import main as prepare
from stylegan.datasets.archive import write_archive
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.train import main
from stylegan.training.state import TrainState
from stylegan_eval.results.run_folder import read_run

TINY = ["--config", "F", "--preset", "tiny-16", "--device", "cpu", "--warmup", "0"]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def images_of(path, size, count=20):
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in images))
    return path


@pytest.fixture
def config_file(tmp_path):
    def write(**network):
        done = run("--config", "F", "--preset", "tiny-16", "--print-config")
        tree = json.loads(done.stdout)
        tree["network"].update(network)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(tree))
        return path

    return write


def network_of(path, channels):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    config = replace(config, network=replace(config.network, num_channels=channels))
    runtime = Runtime.choose("cpu")
    state = TrainState.fresh(config, runtime, seed=1)
    provenance = Provenance(seed=1, data="", version="", execution=((0, "fp32"),))
    save_checkpoint(path, state.snapshot(config, provenance))
    return path


def test_a_run_in_the_folder_of_its_images_is_refused(tmp_path):
    """Its sample sheets would be images of the next run."""
    made = CliRunner().invoke(
        prepare, ["export", str(images_of(tmp_path / "x.zip", 16)), str(tmp_path / "photos")]
    )
    assert made.exit_code == 0, made.output
    out = tmp_path / "photos" / "run"
    for arguments in ([], ["--dry-run"]):
        done = run(
            *TINY, "--kimg", "0.016", "--data", tmp_path / "photos", "--out", out, *arguments
        )
        assert done.exit_code == 1
        assert f"{out} lies in {tmp_path / 'photos'}" in done.stderr
        assert not out.exists()


# --- resolution


def test_data_larger_than_a_preset_are_told_and_the_advice_works(tmp_path):
    data = images_of(tmp_path / "x.zip", 32)
    trains = [*TINY, "--kimg", "0.016", "--out", tmp_path / "run"]
    for arguments in (["--dry-run"], trains[len(TINY) :]):
        done = run(*TINY, "--data", data, *arguments)
        assert done.exit_code == 0, done.output
        notes = [line for line in done.stderr.splitlines() if "shrunk" in line]
        assert len(notes) == 1
        assert notes[0].startswith(f"note: {data}: images of 32x32 are shrunk to 16x16")
        assert "--resolution 32" in notes[0]
    done = run(*TINY, "--data", data, "--resolution", 32, "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--kimg", "0.016"]])
def test_data_larger_than_the_networks_of_init_are_told(tmp_path, finished, arguments):
    data = images_of(tmp_path / "x.zip", 64)
    done = run("--init", finished, "--resolution", "16", "--data", data, "--out", tmp_path / "run",
               "--warmup", "0", "--device", "cpu", *arguments)  # fmt: skip
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stderr.splitlines() if "shrunk" in line]
    assert line.endswith("images of 64x64 are shrunk to 16x16, as the networks are")


def test_data_smaller_than_the_networks_are_refused_with_advice_that_works(
    tmp_path, finished, config_file
):
    data = images_of(tmp_path / "x.zip", 8)
    out = ["--data", data, "--out", tmp_path / "run", "--device", "cpu", "--warmup", "0"]
    started = [
        (["--config", "F", "--preset", "tiny-16"], "--resolution 8"),
        (["--config", config_file()], '"resolution" in the file of --config'),
        (["--init", finished], "start without --init"),
    ]
    for source, advice in started:
        for more in (["--dry-run"], []):
            done = run(*source, *out, *more)
            assert done.exit_code == 1
            assert done.stderr.startswith(f"error: {data} holds 8x8 images, too small for networks")
            assert advice in done.stderr
    done = run(*started[0][0], *out, "--resolution", "8", "--kimg", "0.016")
    assert done.exit_code == 0, done.output


# --- channels


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("way", ["--config", "--init"])
def test_networks_of_other_channels_than_the_images_are_refused_with_what_helps(
    tmp_path, data, config_file, channels, way
):
    source = config_file(num_channels=channels)
    if way == "--init":
        source = network_of(tmp_path / "network.pt", channels)
    given = [way, source, "--out", tmp_path / "run", "--device", "cpu", "--warmup", "0"]
    for what in (["--dry-run"], []):
        done = run(*given, "--data", data, *what)
        assert done.exit_code == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        named = {1: "have 1 channels (L)", 2: "have num_channels 2,", 4: "have 4 channels (RGBA)"}
        assert named[channels] in done.stderr
    assert not (tmp_path / "run").exists()
    if channels != 2:
        command = done.stderr.rpartition("stylegan-data ")[2].split()
        fitting = tmp_path / "fitting.zip"
        prepared = CliRunner().invoke(
            prepare, [str(fitting) if w == "OUT.zip" else w for w in command]
        )
        assert prepared.exit_code == 0, prepared.output
        assert run(*given, "--data", fitting, "--dry-run").exit_code == 0


# --- names


def test_snapshots_within_one_kimg_have_names_of_their_own(tmp_path, data):
    out = tmp_path / "run"
    options = ["--data", data, "--out", out, "--snapshot-kimg", "0.04", "--keep", "20"]
    assert run(*TINY, *options, "--kimg", "0.2").exit_code == 0
    found = checkpoints_in(out)
    images = [read_checkpoint(path).nimg for path in found]
    assert images == sorted(set(images))
    assert len(images) == 6
    assert [checkpoint_path(out, nimg) for nimg in images] == found
    sheets = sorted(path.name for path in out.glob("fakes-*.png"))
    expected = [f.name.replace("checkpoint", "fakes").replace(".pt", ".png") for f in found]
    assert sheets == expected
    assert newest_checkpoint(out) == read_run(out).checkpoint == found[-1]


def test_a_run_with_names_of_whole_kimg_goes_on(tmp_path, data):
    out = tmp_path / "run"
    options = ["--data", data, "--out", out, "--snapshot-kimg", "0.04", "--keep", "20"]
    assert run(*TINY, *options, "--kimg", "0.08").exit_code == 0
    *earlier, last = checkpoints_in(out)
    for path in earlier:
        path.unlink()
    older = last.rename(out / "checkpoint-000000.pt")
    nimg = read_checkpoint(older).nimg
    assert nimg % 1000
    done = run("--resume", "--out", out, "--device", "cpu")
    assert (done.exit_code, done.stdout.strip()) == (0, str(older)), done.stderr
    done = run("--resume", "--out", out, "--device", "cpu", "--kimg", "0.12")
    assert done.exit_code == 0
    assert checkpoints_in(out)[0] == older
    newest = newest_checkpoint(out)
    assert newest == checkpoint_path(out, read_checkpoint(newest).nimg) != older
