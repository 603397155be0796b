"""The tool that measures and packs the package's network, at a size of seconds."""

import math
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from benchmarks.demo.network import (
    PAGE,
    apart,
    commands,
    main,
    page,
    training_command,
    training_commands,
    with_values,
)
from stylegan.configs import CONFIGS, config_text
from stylegan.data import main as avatars
from stylegan.network_file import read_network, save_network
from stylegan.opening import demo_path
from stylegan.presets import apply_preset, with_options
from stylegan.snapshot import Facts, Provenance, Score
from stylegan.train import main as train
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError

PROVENANCE = Provenance(seed=3, data="", version="", execution=((0, "bf16, 2 processes"),))


def score(value, stderr):
    return Score(metric="m", value=value, stderr=stderr, command="c")


@pytest.mark.parametrize(
    ("stated", "found", "expected"),
    [
        ((10, 3), (15, 4), 1.0),
        ((1, 0), (1, 0), 0.0),
        ((1, 0), (2, 0), math.inf),
        ((1, None), (2, 1), None),
    ],
)
def test_distance_in_standard_errors(stated, found, expected):
    assert apart(score(*stated), score(*found)) == expected


def test_values_of_options_are_put_in_and_none_is_added():
    words = with_values(
        "stylegan-eval fid --ckpt demo --seed 0 -n 3", {"--seed": "1", "--data": "x"}
    )
    assert words == ["stylegan-eval", "fid", "--ckpt", "demo", "--seed", "1", "-n", "3"]
    folder = with_values("stylegan-eval fid --ckpt demo", {"--ckpt": "a b"})
    assert folder[-1] == "a b"


@pytest.mark.parametrize("row", ["A", "F"])
def test_the_training_command_trains_the_configuration(row):
    config = with_options(apply_preset(CONFIGS[row], "demo-64"), total_kimg=400.0)
    words = training_command(config, PROVENANCE).split()
    for part in ("--precision bf16", "--seed 3", f"--config {row} --preset demo-64 --kimg 400"):
        assert part in " ".join(words)
    printed = CliRunner().invoke(train, [*words[1:7], "--print-config", "--device", "cpu"])
    assert printed.stdout.strip() == config_text(config)


def test_a_training_that_went_on_from_others_has_all_their_commands(tmp_path):
    def config(**values):
        row = with_options(apply_preset(CONFIGS["F"], "demo-64"), total_kimg=values.pop("kimg"))
        return replace(row, schedule=replace(row.schedule, **values))

    def training(name, config, before=None):
        init = "" if before is None else sha256_of(before[0])
        path = tmp_path / name
        path.write_text(name)
        part = replace(PROVENANCE, init=init)
        return path, replace(
            read_network(demo_path()), config=config, provenance=part, facts=Facts()
        )

    first = training("a", config(kimg=320))
    second = training("b", config(kimg=240, initial_resolution=64, lrate_base=0.008), first)
    third = training("c", config(kimg=9, initial_resolution=64, ema_kimg=20.0), second)
    lines = training_commands([first, second, third])
    assert lines == [
        f"stylegan-train {how} --precision bf16 --data avatars64.zip --seed 3 --out {out}"
        for out, how in (
            ("demo64", "--config F --preset demo-64 --kimg 320"),
            (
                "demo64-2",
                "--init demo64 --config F --preset demo-64 --lrate 0.008 --kimg 240",
            ),
            (
                "demo64-3",
                "--init demo64-2 --config F --preset demo-64 --ema-kimg 20 --kimg 9",
            ),
        )
    ]
    known = replace(first[1], facts=Facts(command=" && ".join(lines[:2])))
    going_on = replace(third[1], provenance=replace(PROVENANCE, init=sha256_of(first[0])))
    assert training_commands([(first[0], known), (third[0], going_on)]) == lines
    for wrong in ([second], [first, third], [first, first]):
        with pytest.raises(UserError, match=r"name what it went on from, and no other, by --after"):
            training_commands(wrong)


def test_commands_are_those_of_the_toolkit():
    lines = list(commands(["floor", "fid", "ppl", "ls"], num=20, floor_num=10, pairs=5, ls_num=8))
    assert [line.split()[:2] for line in lines] == [
        ["stylegan-eval", name] for name in ("fid", "fid", "ppl", "ls")
    ]
    assert all("--seed 0" in line for line in lines)


def test_made_then_checked(tmp_path, monkeypatch):
    """Path lengths alone: other scores go the same way and take longer."""
    made, data = tmp_path / "made.safetensors", tmp_path / "few.zip"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))

    def tool(command, *args):
        return CliRunner().invoke(command, [str(arg) for arg in args])

    done = tool(avatars, "avatars", data, "--count", 8, "--resolution", 64)
    assert done.exit_code == 0, done.output
    options = ("--out", made, "--metrics", "ppl", "--pairs", 10)
    done = tool(main, "make", demo_path(), "--data", data, *options)
    assert done.exit_code == 0, done.output
    assert "$ stylegan-eval ppl --ckpt " in done.stdout
    content = read_network(made)
    assert len(content.facts.scores) == 4
    original = read_network(demo_path())
    for name, value in original.networks["G"].items():
        assert torch.equal(value, content.networks["G"][name])
    wrong, *right = content.facts.scores
    facts = replace(content.facts, scores=(replace(wrong, value=99 * wrong.value), *right))
    save_network(made, replace(content, facts=facts))
    done = tool(main, "check", "--data", data, "--ckpt", made)
    assert done.exit_code == 1
    assert "--seed 1" in done.stdout
    assert done.stderr.splitlines() == [f"more than 4 standard errors apart: {wrong.metric}"]


def test_the_page_is_that_of_the_network():
    """Where they differ: python -m benchmarks.demo.network page."""
    assert PAGE.read_text(encoding="utf-8") == page(demo_path())


def test_what_cannot_be_done_is_one_line(tmp_path):
    def refused(message, *args):
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        assert done.exit_code == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1

    refused("--metrics fod", "make", tmp_path, "--data", "x.zip", "--metrics", "fod")
    refused("no checkpoint in", "make", tmp_path, "--data", "x.zip")
    content = read_network(demo_path())
    bare = tmp_path / "bare.safetensors"
    save_network(bare, replace(content, facts=Facts()))
    refused("states no scores", "check", "--data", "x.zip", "--ckpt", bare)
