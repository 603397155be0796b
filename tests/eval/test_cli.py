import csv
import json
import subprocess
import sys
from dataclasses import fields

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.everything import ALL

COMMANDS = {**METRICS, "all": ALL}

LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def assert_refused(result, message):
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ckpt(tmp_path, fake_loader):
    path = tmp_path / "linear.ckpt"
    path.write_text("FAKE 16")
    return path


@pytest.mark.parametrize("args", [["--help"], ["fid", "--help"]])
def test_help_needs_neither_torch_nor_numpy(args):
    code = (
        "import sys\n"
        "from stylegan_eval.cli import main\n"
        f"main({args}, standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'PIL', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "fid" in done.stdout


def test_runs_as_a_module():
    command = [sys.executable, "-m", "stylegan_eval", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: stylegan-eval")
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_defaults_have_one_home(name):
    options = {option.name: option.default for option in main.commands[name].params}
    settings = COMMANDS[name].settings
    assert {field.name: options[field.name] for field in fields(settings)} == vars(settings())


@pytest.mark.parametrize("name", [n for n, row in COMMANDS.items() if "images" in row.inputs])
def test_help_says_how_many_images_of_files_are_taken(name):
    options = {option.name: option for option in main.commands[name].params}
    assert options["num"].show_default == f"{options['num'].default}; with --images all"
    if "reals" in options and options["reals"].default != "full":
        assert options["reals"].show_default == "random; with --images and no --num, all"


def test_a_checkpoint_is_measured(tmp_path, ckpt, image_folder, cache):
    data, table = image_folder("reals", 12), tmp_path / "results.csv"
    args = ["fid", "--ckpt", ckpt, "--data", data, "--num", 12, *LITE, "--csv", table]
    before = torch.get_rng_state()
    first = run(*args)
    assert not list((cache / "work").iterdir())
    assert torch.equal(torch.get_rng_state(), before)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.startswith("fd_efficientnet-lite0 ")
    assert first.stdout.count("\n") == 1
    assert "note: fd_efficientnet-lite0: 12 images do not span 1280 features" in first.stderr
    second = run(*args, "--batch", 7, "--json")
    (result,) = json.loads(second.stdout)["results"]
    assert "fid" not in result["metric"]
    assert result["generator_digest"] == sha256_of(ckpt)
    assert result["description"] == "linear"
    assert result["num"] == result["data_count"] == 12
    assert result["protocol"]["mirror"] == "no"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[0]["value"]) == pytest.approx(float(rows[1]["value"]), rel=1e-6)
    assert rows[0]["protocol"] == (
        "resize=bilinear-antialias-128 quantisation=round-half-up mirror=no reals=all"
    )


def test_mirror_follows_the_training_unless_told(tmp_path, ckpt, image_folder):
    data = image_folder("reals", 8)
    ckpt.write_text("FAKE 16 mirrored")
    for choice, expected in (("auto", "yes"), ("no", "no")):
        args = ["fid", "--ckpt", ckpt, "--data", data, "--num", 8, *LITE, "--json"]
        result = run(*args, "--mirror", choice)
        assert json.loads(result.stdout)["results"][0]["protocol"]["mirror"] == expected


def test_a_training_that_is_not_known_flips_nothing_and_says_so(ckpt, image_folder):
    ckpt.write_text("FAKE 16 imported")
    args = ["--ckpt", ckpt, "--data", image_folder("reals", 8), "--num", 8, *LITE, "--json"]
    note = (
        "not known whether the network was trained on mirrored images: not flipped; --mirror yes"
        " flips"
    )
    for metric in ("fid", "prdc"):
        row, *_ = json.loads(run(metric, *args).stdout)["results"]
        assert row["protocol"]["mirror"] == "no"
        assert note in row["note"]
    for told in (["--mirror", "no"], ["--mirror", "yes"], ["--reals", "full"]):
        (row,) = json.loads(run("fid", *args, *told).stdout)["results"]
        assert "mirrored" not in row["note"]


def test_the_floor_needs_no_checkpoint(ckpt, image_folder):
    data = image_folder("reals", 20)
    result = run("fid", "--floor", "--data", data, "--num", 10, *LITE, "--json")
    (row,) = json.loads(result.stdout)["results"]
    assert row["metric"] == "fd_efficientnet-lite0_floor"
    assert (row["num"], row["data_count"], row["generator"]) == (10, 20, "")
    refused = run("fid", "--floor", "--data", data, "--num", 10, "--ckpt", ckpt, *LITE)
    assert_refused(refused, "leave out --ckpt")


def test_bad_input_is_one_line(tmp_path, ckpt, image_folder):
    data = image_folder("reals", 5)
    good = ["fid", "--ckpt", ckpt, "--data", data, "--num", 5, *LITE]
    unknown = tmp_path / "unknown.ckpt"
    unknown.write_text("something")
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("a,b\n")
    for args, message in [
        ([*good, "--num", 6], "has 5 images, --num asks for 6"),
        ([*good, "--num", 1], "--num must be at least 2"),
        ([*good, "--ckpt", tmp_path / "absent"], "no such checkpoint"),
        ([*good, "--ckpt", unknown], "unknown.ckpt: not a checkpoint of a known kind; tried: fake"),
        ([*good, "--data", tmp_path / "absent"], "absent"),
        (
            [*good, "--weights", unknown],
            "--weights does not apply to --features efficientnet-lite0",
        ),
        ([*good, "--device", "cuda:9"], "--device cuda:9"),
        ([*good, "--device", "abacus"], "--device must be auto, cpu"),
        ([*good, "--csv", foreign], "foreign.csv: columns are a,b"),
        (["fid", "--ckpt", ckpt, "--data", data], "has 5 images, --num asks for 50000"),
        (["fid", "--data", data, *LITE], "--ckpt is missing"),
        (["fid", "--ckpt", ckpt, *LITE], "--data is missing"),
        (
            ["fid", "--ckpt", ckpt, "--data", data, "--num", 5, "--weights", unknown],
            "not a weights file",
        ),
    ]:
        assert_refused(run(*args), message)
    ckpt.write_text("FAKE 32")
    assert_refused(run(*good), "data is 16x16, the generator draws 32x32")
    assert foreign.read_text() == "a,b\n"


def test_unknown_choices_are_named():
    result = run("fid", "--features", "vgg")
    assert result.exit_code == 2
    assert "inception" in result.stderr


def test_no_weights_and_no_network(tmp_path, ckpt, image_folder, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    data = image_folder("reals", 5)
    result = run("fid", "--ckpt", ckpt, "--data", data, "--num", 5, "--device", "cpu")
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    for part in ("6726825d0af5", "--weights FILE", "--features efficientnet-lite0", "hub"):
        assert part in line
    assert not list((tmp_path / "torch").rglob("*.*"))


def test_a_loader_that_cannot_be_imported_does_not_hide_others(tmp_path, ckpt, image_folder):
    entries = tmp_path / "site" / "fake_loader-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text() + "absent = no_such_module:load\n")
    args = ["fid", "--ckpt", ckpt, "--data", image_folder("reals", 4), "--num", 4, *LITE]
    assert run(*args).exit_code == 0
    ckpt.write_text("something else")
    assert_refused(run(*args), "absent (cannot be imported: No module named 'no_such_module')")


def test_images_and_statistics_stand_for_generators(tmp_path, ckpt, image_folder):
    reals, fakes = image_folder("reals", 12), image_folder("fakes", 14, seed=1)
    files = {}
    for name, folder in (("reals", reals), ("fakes", fakes)):
        files[name] = tmp_path / f"{name}.npz"
        made = run("stats", files[name], "--data", folder, "--num", 12, *LITE)
        assert made.exit_code == 0, made.stderr
    values = [
        json.loads(run("fid", "--num", 12, *LITE, "--json", *args).stdout)["results"][0]
        for args in (
            ["--images", fakes, "--data", reals],
            ["--images", fakes, "--data", files["reals"]],
            ["--images", files["fakes"], "--data", files["reals"]],
        )
    ]
    assert values[0]["generator"] == str(fakes)
    assert values[2]["description"] == "statistics"
    # Read back, a covariance has lost its last bits, and these are singular.
    assert [v["value"] for v in values] == pytest.approx([values[0]["value"]] * 3, rel=1e-6)
    # A file of another package names no network: the row says which one it was taken for.
    with np.load(files["reals"]) as ours:
        np.savez(tmp_path / "theirs.npz", mu=ours["mu"], sigma=ours["sigma"])
    theirs = run("fid", "--images", fakes, "--data", tmp_path / "theirs.npz", "--num", 12, *LITE)
    assert "theirs.npz does not say of which network its features are" in theirs.stderr
    assert "does not say of which network" not in values[1]["note"] + values[2]["note"]
    assert_refused(
        run("kid", "--images", files["fakes"], "--data", reals, "--num", 12, "--subset-size", 4,
            *LITE),
        "only fid and sfid use it",
    )  # fmt: skip
    assert_refused(run("stats", files["reals"], "--data", reals, *LITE), "exists already")
    both = ["fid", "--images", fakes, "--ckpt", ckpt, "--data", reals, "--num", 12, *LITE]
    assert_refused(run(*both), "leave out --ckpt and --generator")
    few = ["fid", "--images", fakes, "--data", reals, "--num", 15, *LITE]
    assert_refused(run(*few), "--images has 14 images, --num asks for 15")
    # float64 arrays do not fit Inception's 2048 features
    other = run("fid", "--images", fakes, "--data", files["reals"], "--num", 12, "--features",
                "efficientnet-lite0", "--precision", "bf16", "--device", "cpu")  # fmt: skip
    assert_refused(other, "choose the same --features, --resize, --precision and --weights")


def test_every_metric_of_images_has_its_command(ckpt, image_folder):
    data = image_folder("reals", 20)
    common = ["--ckpt", ckpt, "--num", 20, *LITE, "--json"]
    reals = ["--data", data]
    for args, names in [
        (["kid", *common, *reals, "--subset-size", 5], ["kd_efficientnet-lite0"]),
        (["is", *common], ["is_efficientnet-lite0"]),
        (
            ["pr", *common, *reals],
            [f"pr20_3_{kind}[efficientnet-lite0]" for kind in ("precision", "recall")],
        ),
        (
            ["prdc", *common, *reals],
            [
                f"prdc20_5_{kind}[efficientnet-lite0]"
                for kind in ("density", "coverage", "precision", "recall")
            ],
        ),
    ]:
        result = run(*args)
        assert result.exit_code == 0, result.stderr
        rows = json.loads(result.stdout)["results"]
        assert [row["metric"] for row in rows] == names
        assert all(row["data_count"] == (0 if args[0] == "is" else 20) for row in rows)


def test_weights_are_named_once(tmp_path):
    result = run("fid", "--weights", "a.pth", "--weights", "b.pth")
    assert result.exit_code == 2
    assert "two files for one network" in result.stderr


@pytest.mark.parametrize(
    ("metrics", "num", "message"),
    [
        ("fid,is", 9, "--metrics is needs --num 10 or more, got 9"),
        ("pr", 3, "--metrics pr needs --num 4 or more, got 3"),
        ("prdc,pr", 5, "--metrics prdc needs --num 6 or more, got 5"),
    ],
)
def test_all_refuses_too_few_images_without_naming_options_it_lacks(metrics, num, message):
    assert_refused(run("all", "--metrics", metrics, "-n", num, "--subset-size", 2), message)


def test_names_of_other_tools_are_understood(ckpt, image_folder):
    options = ["--subset-size", 50, "--data", image_folder("reals", 60), *LITE, "--json"]
    given = ["--network", ckpt, "--trunc", "0.5", "--batch-size=50"]
    theirs = run("kid1k_full", *given, *options)
    assert theirs.exit_code == 0, theirs.stderr
    [row] = json.loads(theirs.stdout)["results"]
    assert (row["num"], row["protocol"]["psi"], row["protocol"]["reals"]) == (1000, "0.5", "full")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fid3k_full", ["fid", "-n", "3000", "--reals", "full"]),
        ("kid3k", ["kid", "-n", "3000"]),
        ("is3k", ["is", "-n", "3000"]),
        ("pr3k3_full", ["pr", "-n", "3000", "--reals", "full"]),
    ],
)
def test_official_names_are_commands(name, words):
    """The names by which stylegan2-ada's users know metrics."""
    context = click.Context(main)
    assert main.resolve_command(context, [name, "--json"]) == (
        words[0], main.commands[words[0]], [*words[1:], "--json"],
    )  # fmt: skip
