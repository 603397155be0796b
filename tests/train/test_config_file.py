"""`--config FILE.json`: a whole configuration from a file, which may hold anything."""

import copy
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS, config_from_text, config_text, config_to_dict, read_config
from stylegan.presets import PRESETS, apply_preset
from stylegan.train import main
from stylegan_eval.errors import UserError


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def plain(config):
    return json.loads(json.dumps(config_to_dict(config)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("row", CONFIGS)
def test_what_is_printed_is_read_back(row, preset, tmp_path):
    printed = run("--config", row, "--preset", preset, "--print-config", "--device", "cpu")
    assert printed.exit_code == 0, printed.output
    path = tmp_path / "config.json"
    path.write_text(printed.stdout)
    assert read_config(path) == apply_preset(CONFIGS[row], preset)


def test_options_change_a_file_as_they_change_a_preset(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config_text(apply_preset(CONFIGS["C"], "tiny-16")))
    options = ("--kimg", 3, "--no-mirror", "--print-config", "--device", "cpu")
    of_file, of_preset = (
        run(*source, *options).stdout
        for source in (("--config", path), ("--config", "C", "--preset", "tiny-16"))
    )
    assert of_file == of_preset
    assert json.loads(of_file)["schedule"]["total_kimg"] == 3


def test_a_run_of_a_file_trains_what_the_file_says(data, cache, tmp_path):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    config = replace(config, name="mixing-50", loss=replace(config.loss, style_mixing_prob=0.5))
    path, out = tmp_path / "own.json", tmp_path / "out"
    path.write_text(config_text(config))
    args = ("--config", path, "--data", data, "--out", out, "--cache", cache, "--warmup", 0)
    done = run(*args, "--kimg", 0.05, "--device", "cpu")
    assert done.exit_code == 0, done.output
    trained = read_checkpoint(newest_checkpoint(out)).config
    schedule = replace(config.schedule, total_kimg=0.05)
    assert trained == replace(config, schedule=schedule)
    printed = run("--resume", "--out", out, "--print-config", "--device", "cpu")
    assert config_from_text(printed.stdout, "printed") == trained
    shown = run("--config", path, "--dry-run", "--warmup", 0, "--device", "cpu")
    assert "loss.style_mixing_prob: 0.9 -> 0.5" in shown.output


def changed(*keys, to):
    tree = plain(apply_preset(CONFIGS["F"], "tiny-16"))
    branch = tree
    for key in keys[:-1]:
        branch = branch[key]
    branch[keys[-1]] = to
    return json.dumps(tree)


BAD = {
    "not JSON": ("{", "not JSON"),
    "another thing": ("[1]", "must be a mapping"),
    "nothing": ("", "not JSON"),
    "NaN": (changed("loss", "r1_gamma", to=float("nan")), "NaN is no number"),
    "infinite": (changed("schedule", "lrate_base", to=1).replace(": 1,", ": 1e999,"), "no number"),
    "deep": ("[" * 100_000, "not JSON"),
    "digits": ('{"name": ' + "9" * 10_000 + "}", "not JSON"),
    "an unknown key": (changed("network", "nosie", to=True), "nosie"),
    "missing keys": ("{}", "missing keys"),
    "a branch of another kind": (changed("network", to=3), "NetworkConfig must be a mapping"),
    "wide": (changed("network", "fmap_max", to=10**9), "at most 65536"),
    "deep network": (changed("network", "mapping_layers", to=10**9), "from 0 to 64"),
    "pixels": (changed("resolution", to=2**20), "at most 65536"),
    "length": (changed("schedule", "total_kimg", to=1e11), "at most 1000000"),
    "a table of words": (changed("schedule", "minibatch", to=[[4, "many"]]), "wrong type"),
    "a table of numbers": (changed("schedule", "lrate", to=[4, 8]), "[resolution, value]"),
    "an empty tick": (changed("schedule", "tick_kimg", to=[[16, 0.0]]), "must be positive"),
    "a size between": (changed("resolution", to=48), "power of two"),
    "w without mapping": (
        json.dumps(
            {**plain(CONFIGS["A"]), "network": {**plain(CONFIGS["A"])["network"], "w_dim": 3}}
        ),
        "w_dim must be 512",
    ),
    "two lines": (changed("name", to="F\nG"), "must be a line"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line(case, tmp_path):
    text, message = BAD[case]
    path = tmp_path / "config.json"
    path.write_text(text)
    done = run("--config", path, "--print-config", "--device", "cpu")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {path}: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 500


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ("--config {file} --preset tiny-16", 2, "leave out --preset"),
        ("--config {file} --resolution 16", 2, "leave out --resolution"),
        ("--config {folder}/no.json", 1, "no such file"),
        ("--config {folder}", 1, "no such file"),
        ("--config {binary}", 1, "cannot be read as a configuration"),
        ("--config {large}", 1, "no configuration"),
    ],
)
def test_files_that_cannot_be_taken(args, status, message, tmp_path):
    file, binary, large = (tmp_path / name for name in ("f.json", "b.json", "l.json"))
    file.write_text(config_text(CONFIGS["F"]))
    binary.write_bytes(b"\xff\xfe\x00")
    with large.open("wb") as sparse:
        sparse.truncate(2**30)
    names = {"file": file, "folder": tmp_path, "binary": binary, "large": large}
    done = run(*(arg.format(**names) for arg in args.split()), "--print-config", "--device", "cpu")
    assert done.exit_code == status
    assert message in done.stderr


def test_a_row_wins_over_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "F").write_text(config_text(apply_preset(CONFIGS["C"], "tiny-16")))
    row = run("--config", "F", "--preset", "tiny-16", "--print-config", "--device", "cpu")
    file = run("--config", "./F", "--print-config", "--device", "cpu")
    assert [json.loads(done.stdout)["name"] for done in (row, file)] == ["F", "C"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(value=_JSON, place=st.integers(0, 100))
def test_any_value_anywhere_is_read_or_refused(value, place):
    tree = plain(CONFIGS["F"])
    leaves = [
        (branch, key)
        for branch in (tree, tree["network"], tree["loss"], tree["schedule"])
        for key in branch
    ]
    branch, key = leaves[place % len(leaves)]
    branch[key] = copy.deepcopy(value)
    with suppress(UserError):
        config = config_from_text(json.dumps(tree), "it")
        assert config_from_text(config_text(config), "again") == config
