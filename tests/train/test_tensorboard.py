"""Events of a training, read back as TensorBoard reads them, and as wandb writes them offline."""

import io
import json
import os
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stylegan.checkpoint import kimg_name
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset
from stylegan.training.cost import phase_costs
from stylegan.training.hooks import (
    Every,
    Progress,
    RunLog,
    SampleSheet,
    open_tensorboard,
    open_wandb,
)
from stylegan.training.loop import train
from stylegan.training.state import TrainState
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from tests import starting


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), {"images": 0, "scalars": 0})
    return found.Reload()


def scalars(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


def test_a_training_is_found_again_in_its_events(data, cache, runtime, tmp_path):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    ticks = {"tick_kimg": ((8, 0.1), (16, 0.1)), "total_kimg": 0.5}
    config = replace(config, schedule=replace(config.schedule, **ticks))
    state = TrainState.fresh(config, runtime, seed=1)
    board = open_tensorboard(tmp_path, 0)
    progress = Progress(
        RunLog(tmp_path, 0, also=[board.row]), config, phase_costs(config), state.nimg
    )
    sheet = SampleSheet(tmp_path, latents(1, range(4), config.network.z_dim), 2)
    snapshot = Every(0.2, 0, lambda state: board.sheet(sheet(state), state.nimg))
    reals = Reals(open_pyramid(data, cache=cache), seed=1, mirror=True)
    train(state, reals, config, seed=1, runtime=runtime, hooks=[progress, snapshot])
    progress.close()
    board.close()

    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = events(tmp_path)
    assert len(rows) >= 3
    for tag, column in (("loss/D", "loss_D"), ("loss/r1", "r1"), ("schedule/lod", "lod")):
        expected = {row["nimg"]: pytest.approx(row[column], rel=1e-6) for row in rows}
        assert scalars(found, tag) == expected
    sheets = sorted(tmp_path.glob("fakes-*.png"))
    images = found.Images("fakes")
    assert [f"fakes-{kimg_name(image.step)}.png" for image in images][-1] == sheets[-1].name
    last = Image.open(io.BytesIO(images[-1].encoded_image_string))
    assert np.array_equal(np.array(last), np.array(Image.open(sheets[-1])))


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(tmp_path):
    first = open_tensorboard(tmp_path, 0)
    for nimg in (1000, 2000, 3000):
        first.row({"nimg": nimg, "loss_D": 1.0})
        first.measured({"metric": "fid10k", "value": 10.0, "nimg": nimg})
    first.close()
    resumed = open_tensorboard(tmp_path, 2000)
    resumed.row({"nimg": 2500, "loss_D": 2.0})
    resumed.close()
    found = events(tmp_path)
    assert scalars(found, "loss/D") == {1000: 1.0, 2000: 1.0, 2500: 2.0}
    assert scalars(found, "metric/fid10k") == {1000: 10.0, 2000: 10.0}


def test_grey_sheets_and_what_is_no_number_do_no_harm(tmp_path):
    board = open_tensorboard(tmp_path, 0)
    board.sheet(np.full((8, 12, 1), 7, np.uint8), 0)
    board.row({"nimg": 10, "grad_norm_D": None, "grad_norm_G": float("inf"), "device": "cpu"})
    board.close()
    found = events(tmp_path)
    shown = np.array(Image.open(io.BytesIO(found.Images("fakes")[0].encoded_image_string)))
    assert shown.shape == (8, 12, 3)
    assert (shown == 7).all()
    assert found.Tags()["scalars"] == ["grad_norm/G"]


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard") as raised:
        open_tensorboard(tmp_path, 0)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "tensorboard").exists()


TWICE = """
import sys
from click.testing import CliRunner
from stylegan.train import main
at = sys.argv.index("--resume")
for args in (sys.argv[1:at], sys.argv[at:]):
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
"""


def records(path):
    """Contents of a log of LevelDB's kind, as wandb keeps records (after 7 bytes of its own)."""
    data, at, parts = path.read_bytes(), 7, []
    while at + 7 <= len(data):
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts.append(data[at + 7 : at + 7 + length])
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []
        at += 7 + length
        if 2**15 - at % 2**15 < 7:  # no header fits into the rest of a block
            at += 2**15 - at % 2**15


def test_wandb_gets_rows_and_sheets_of_a_run_and_of_its_continuation(data, cache, tmp_path):
    """Offline; what wandb kept in its files is read."""
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    out = tmp_path / "run"
    common = ["--out", out, "--data", data, "--cache", cache, "--device", "cpu", "--warmup", 0]
    begun = ["--config", "F", "--preset", "tiny-16", "--kimg", 0.1, "--wandb", *common]
    command = [sys.executable, "-c", TWICE, *begun, "--resume", "--kimg", 0.2, *common]
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = starting.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (number,) = (out / "wandb.id").read_text().split()
    stores = sorted(out.glob(f"wandb/offline-run-*/run-{number}.wandb"))
    assert len(stores) == 2  # of one run
    sent = {}
    for record in (Record.FromString(data) for store in stores for data in records(store)):
        items = record.history.item
        row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
        if row:
            sent.setdefault(row["nimg"], {}).update(row)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(rows) >= 2
    for row in rows:
        assert sent[row["nimg"]]["loss/D"] == pytest.approx(row["loss_D"])
        assert sent[row["nimg"]]["schedule/lod"] == row["lod"]
    sheets = sorted(out.glob("fakes-*.png"))
    found = sorted(nimg for nimg, row in sent.items() if any("fakes" in key for key in row))
    assert [f"fakes-{kimg_name(nimg)}.png" for nimg in found] == [path.name for path in sheets]
    media = out.glob("wandb/offline-run-*/files/media/images/*.png")
    kept = {np.asarray(Image.open(path)).tobytes() for path in media}
    assert kept == {np.asarray(Image.open(path)).tobytes() for path in sheets}


def test_without_wandb_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb") as raised:
        open_wandb(tmp_path, CONFIGS["F"])
    assert len(str(raised.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
