"""The training loop: every row grows, a resumed run is the same run."""

import itertools
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset
from stylegan.runtime import stream_seed
from stylegan.snapshot import Provenance
from stylegan.training.loop import draw_cutoff, draw_ws, spread, train
from stylegan.training.run import resumed, run
from stylegan.training.schedule import active_levels
from stylegan.training.settings import RunSettings
from stylegan.training.snapshots import Monitor
from stylegan.training.state import TrainState, load_state
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from tests.fresh import start_run


def short(row, **schedule):
    config = apply_preset(CONFIGS[row], "tiny-16")
    times = {"training_kimg": 0.1, "transition_kimg": 0.15, "total_kimg": 0.6} | schedule
    return replace(config, schedule=replace(config.schedule, **times))


def weights(state):
    return {
        f"{name}.{key}": value.clone()
        for name, network in state.networks.items()
        for key, value in network.state_dict().items()
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.mark.parametrize("row", CONFIGS)
def test_every_row_trains_through_growth(row, data, cache, runtime, tmp_path):
    """Without a word of the monitor, which looks every 0.2 kimg."""
    ticks = tuple((size, 0.2) for size in (4, 8, 16))
    config = short(row, total_kimg=0.7, tick_kimg=ticks)
    state = TrainState.fresh(config, runtime, seed=1)
    monitor = Monitor(state, loss=config.loss, schedule=config.schedule, folder=tmp_path)
    before = weights(state)
    lods, terms_seen = [], []

    def hook(_state, point, terms):
        lods.append(point.lod)
        terms_seen.append({key: term.item() for key, term in terms.items()})

    reals = Reals(open_pyramid(data, cache=cache), seed=1, mirror=True)
    train(state, reals, config, seed=1, runtime=runtime, hooks=[monitor, hook])
    monitor.check(state)
    assert not monitor.reported
    start = 2.0 if row == "A" else 1.0  # ProGAN starts at 4x4
    assert lods[0] == start
    assert lods[-1] < lods[0]
    assert len({active_levels(lod) for lod in lods}) >= 3
    assert state.nimg >= 700
    assert state.skipped_G == state.skipped_D == 0
    expected = {"score_real", "score_fake", "loss_D", "loss_G", "gp" if row == "A" else "r1"}
    expected |= {"grad_norm_D", "grad_norm_G", "fake_spread"}
    assert all(terms.keys() == expected for terms in terms_seen)
    after = weights(state)
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    untouched = {k for k in after if k not in moved and "fixed_noise" not in k}
    if lods[-1] == 0:  # all layers but, where growth starts at 8x8, those of 4x4 images
        unused = () if row == "A" else ("to_rgb.0", "from_rgb.2")
        assert all(any(part in key for part in unused) for key in untouched)
    assert "G_ema.w_avg" in moved


def test_optimizers_forget_when_a_layer_comes_or_goes(data, cache, runtime):
    config = short("F")
    state = TrainState.fresh(config, runtime, seed=0)
    steps = []

    def hook(state, point, _terms):
        steps.append((active_levels(point.lod), state.optimizer_G.tree()["t"].item()))

    reals = Reals(open_pyramid(data, cache=cache), seed=0, mirror=True)
    train(state, reals, config, seed=0, runtime=runtime, hooks=[hook])
    for (levels, count), (next_levels, next_count) in itertools.pairwise(steps):
        assert next_count == (count + 4 if next_levels == levels else 4)
    assert len({levels for levels, _ in steps}) == 3


def test_stopped_and_resumed_at_any_look_is_the_same_run(
    finished, tiny, data, cache, runtime, tmp_path
):
    """Also in the middle of a fade."""
    final = read_checkpoint(newest_checkpoint(finished))
    whole = weights(load_state(final, runtime))
    assert final.config == tiny

    state = TrainState.fresh(tiny, runtime, seed=5)
    reals = Reals(open_pyramid(data, cache=cache), seed=5, mirror=True)
    looks = iter(range(1000))
    while state.nimg < 600:
        train(
            state, reals, tiny, seed=5, runtime=runtime,
            should_stop=lambda: next(looks) % 3 == 2,
        )  # fmt: skip
        # Through the disk, as a real stop goes.
        path = checkpoint_path(tmp_path / "parts", state.nimg)
        save_checkpoint(path, state.snapshot(tiny, Provenance(seed=5, data="", version="")))
        state = load_state(read_checkpoint(path), runtime)
    assert_same(weights(state), whole)


def test_a_run_can_be_made_longer(finished, data, cache, runtime, tmp_path, tiny):
    settings = RunSettings(out=tmp_path / "longer", data=data, snapshot_kimg=0.2, cache=cache)

    def longer(trained):
        return replace(trained, schedule=replace(trained.schedule, total_kimg=0.8))

    def begin(*, taken):
        assert not taken
        return resumed(finished, longer, lambda _provenance: settings, runtime)

    path = run(settings.out, begin, runtime)
    tree = read_checkpoint(path)
    assert tree.nimg >= 800
    assert tree.provenance.seed == 5


def test_a_run_on_a_folder_goes_on_after_an_earlier_version(data, cache, runtime, tmp_path, tiny):
    """Which knew data by the times of its files, not by what they hold."""
    with zipfile.ZipFile(data) as file:
        file.extractall(tmp_path / "folder")
    with open_images(tmp_path / "folder") as files:
        earlier, content = files.digest, content_digest(files)
    config = replace(tiny, schedule=replace(tiny.schedule, total_kimg=0.03))
    for known in (earlier, "0" * 64):
        path = checkpoint_path(tmp_path / known[:8], 0)
        provenance = Provenance(seed=3, data=known, version="")
        save_checkpoint(path, TrainState.fresh(config, runtime, 3).snapshot(config, provenance))

    def go_on(path):
        settings = RunSettings(out=path.parent, data=tmp_path / "folder", cache=cache)

        def begin(*, taken):
            assert taken
            return resumed(path, lambda trained: trained, lambda _provenance: settings, runtime)

        return run(settings.out, begin, runtime)

    with pytest.raises(UserError, match="is not the data this run was trained on"):
        go_on(path)
    last = go_on(checkpoint_path(tmp_path / earlier[:8], 0))
    assert read_checkpoint(last).provenance.data == content


def test_folder_of_a_run(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"run.json", "log.jsonl", "train.log", "reals.png"} <= names
    assert len(checkpoints_in(finished)) >= 1
    assert any(name.startswith("fakes-") for name in names)
    assert not any(name.startswith(".") for name in names)  # no temporary file stays
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["nimg"] >= 600
    assert {"lod", "loss_G", "loss_D", "img_per_s", "skipped_G"} <= rows[-1].keys()


def test_the_sheet_of_reals_shows_random_images(finished, data):
    sheet = np.asarray(Image.open(finished / "reals.png"))  # [8 * 16, 8 * 16, 3]
    cells = sheet.reshape(8, 16, 8, 16, 3).transpose(0, 2, 4, 1, 3).reshape(64, 3, 16, 16)
    with open_images(data) as files:
        numbers = {files.read(index).tobytes(): index for index in range(len(files))}
    shown = [numbers[cell.tobytes()] for cell in cells]
    assert len(set(shown)) == 64
    assert np.bincount(np.array(shown) // 100).min() > 5  # of each third of 300 names


def test_a_step_with_infinite_gradients_is_skipped_and_counted(data, cache, runtime):
    config = short("F", total_kimg=0.03)
    state = TrainState.fresh(config, runtime, seed=0)
    with torch.no_grad():
        state.D.dense1.weight.fill_(float("inf"))
    before = weights(state)
    reals = Reals(open_pyramid(data, cache=cache), seed=0, mirror=True)
    train(state, reals, config, seed=0, runtime=runtime)
    assert (state.skipped_D.item(), state.skipped_G.item()) == (4, 4)
    after = weights(state)
    assert all(torch.equal(before[k], after[k]) for k in before if "w_avg" not in k)


def test_style_mixing_cuts_among_the_active_layers(runtime):
    """At 8x8 of 16x16, 4 of 6 layers are active: the second latent starts at layer 1, 2 or 3."""
    config = short("F")
    G = TrainState.fresh(config, runtime, seed=0).G
    cuts = {"none": 0}
    for step in range(300):
        cutoff = draw_cutoff(G, config.loss, 1, np.random.default_rng(step))
        with torch.no_grad():
            ws, _ = draw_ws(G, torch.eye(4, G.z_dim).split(2), None, torch.tensor(cutoff))
        same = [torch.equal(ws[:, 0], ws[:, i]) for i in range(G.num_ws)]
        cut = same.index(False) if False in same else "none"
        cuts[cut] = cuts.get(cut, 0) + 1
    assert set(cuts) == {"none", 1, 2, 3}
    assert 0.02 < cuts["none"] / 300 < 0.2  # 10 %
    assert all(0.2 < cuts[k] / 300 < 0.4 for k in (1, 2, 3))


def test_streams_are_unrelated_and_repeatable():
    assert stream_seed(1, 2, 3) == stream_seed(1, 2, 3)
    keys = itertools.product(range(5), range(50), range(2))
    assert len({stream_seed(*key) for key in keys}) == 500


def test_spread_is_the_standard_deviation_over_the_minibatch():
    images = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spread(images), images.std(dim=0).mean())
    assert spread(images[:1]) == 0


def test_a_checkpoint_by_time_changes_nothing_but_which_files_exist(
    finished, tiny, data, cache, runtime, tmp_path
):
    """After every look, here; the fixture takes none in its few seconds."""
    out = tmp_path / "run"
    settings = RunSettings(
        out=out, data=data, seed=5, snapshot_kimg=0.2, cache=cache, snapshot_minutes=1e-6
    )
    start_run(tiny, settings, runtime)
    assert {path.name for path in out.iterdir()} == {path.name for path in finished.iterdir()}
    for path in finished.glob("fakes-*.png"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    for path in checkpoints_in(finished):
        expected = weights(load_state(read_checkpoint(path), runtime))
        assert_same(weights(load_state(read_checkpoint(out / path.name), runtime)), expected)
    rows, expected = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (out, finished)
    )
    clocks = ("img_per_s", "seconds", "peak_memory_mib")
    for row in (*rows, *expected):
        for key in clocks:
            del row[key]
    assert rows == expected
