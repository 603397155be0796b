"""`stylegan-eval all` gives what the single commands give, and draws each image once."""

import json
import math

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.classifiers.storage import save_classifier
from stylegan_eval.classifiers.training import train
from stylegan_eval.cli import main
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.results.comparison import compare_tables
from stylegan_eval.settings.others import TrainSettings
from tests.eval import fakes
from tests.eval.labelled import draw, write

LITE = ["--features", "efficientnet-lite0"]
NUM = ["-n", "40"]


@pytest.fixture
def classifiers(tmp_path):
    pixels, labels = draw(120, 16)
    folder = write(tmp_path / "labelled", pixels, labels.tolist())
    with open_images(folder) as files:
        trained = train(files, TrainSettings(epochs=1), torch.device("cpu"))
    path = tmp_path / "attributes.safetensors"
    save_classifier(path, *trained)
    return path


@pytest.fixture
def run(tmp_path, fake_loader, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 64")

    def command(name, *args):
        words = [name, "--ckpt", ckpt, "--device", "cpu", "--json", *args]
        return CliRunner().invoke(main, [str(word) for word in words])

    return command


def values(result):
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["results"]
    return {row["metric"]: math.nan if row["value"] is None else row["value"] for row in rows}


def test_all_equals_its_parts(run, image_folder, classifiers):
    data = ["--data", image_folder("reals", 40, size=64), *LITE, *NUM]
    ls = ["--classifiers", classifiers]
    ppl = ["--distance", "st-lpips-alex"]
    whole = values(
        run("all", *data, *ls, *ppl, "--subset-size", 9, "--pairs", 5, "--ls-num", 60,
            "--ls-keep", 30)
    )  # fmt: skip
    parts = [
        run("fid", *data),
        run("kid", *data, "--subset-size", 9),
        run("is", *LITE, *NUM),
        run("pr", *data),
        run("prdc", *data),
        run("ppl", *ppl, "-n", 5),
        run("ls", *ls, "-n", 60, "--keep", 30),
    ]
    single = {name: value for part in parts for name, value in values(part).items()}
    assert list(whole)[:9] == list(single)[:9]
    assert whole.keys() == single.keys()
    for name, value in whole.items():
        # Batches end where any of the metrics ends, and round a little differently.
        bound = 0.05 if name.startswith("ls") else 1e-5
        assert value == pytest.approx(single[name], rel=bound, nan_ok=True), name


def test_each_image_is_drawn_once(run, image_folder, classifiers, monkeypatch):
    drawn = []
    original = fakes.LinearGenerator.synthesis

    def counting(self, ws, noise):
        drawn.append(len(ws))
        return original(self, ws, noise)

    monkeypatch.setattr(fakes.LinearGenerator, "synthesis", counting)
    data = ["--data", image_folder("reals", 40, size=64), *LITE, *NUM]
    metrics = ["--metrics", "fid,is,prdc,ls", "--classifiers", classifiers]
    result = run("all", *data, *metrics, "--ls-num", 50, "--ls-keep", 20)
    assert result.exit_code == 0, result.stderr
    assert sum(drawn) == 50


def test_ls_needs_classifiers_only_where_it_is_asked_for(run, image_folder):
    data = ["--data", image_folder("reals", 40, size=64), *LITE, *NUM]
    few = [*data, "--subset-size", 9, "--pairs", 4, "--distance", "st-lpips-alex"]
    assert "ls_w" not in values(run("all", *few))
    refused = run("all", *data, "--metrics", "fid,ls")
    assert refused.exit_code == 1
    assert "--metrics ls needs --classifiers FILE" in refused.stderr


def test_what_is_not_defined_is_left_out_with_a_note(run, image_folder, tmp_path):
    folder = image_folder("reals", 40, size=64)
    few = ["all", "--data", folder, *LITE, *NUM, "--subset-size", 9, "--device", "cpu"]
    done = CliRunner().invoke(main, [str(word) for word in [*few, "--images", folder, "--json"]])
    assert not [name for name in values(done) if name.startswith(("ppl", "ls"))]
    assert "note: ppl is left out: it needs a generator's latents" in done.stderr
    truncated = run(*few, "--psi", 0.5)
    assert not [name for name in values(truncated) if name.startswith("ppl")]
    assert "note: ppl is left out: it measures single latents" in truncated.stderr
    refused = run(*few, "--psi", 0.5, "--metrics", "fid,ppl")
    assert refused.exit_code == 1
    assert "leave out --psi" in refused.stderr


def test_bad_choices_are_one_line(run, image_folder, tmp_path):
    data = ["--data", image_folder("reals", 40, size=64), *LITE]
    for args, message in [
        (
            ["--metrics", "fid,fids"],
            f"fids is not among {', '.join(METRICS)}",
        ),
        (["--metrics", ","], "nothing is not among"),
        (["-n", 20], "--subset-size must be from 2 to --num (20), got 1000"),
        (["--metrics", "fid", "-n", 41], "the data has 40 images"),
        (["--metrics", "ppl", "--pairs", 1], "--num must be at least 2, got 1"),
        (["--metrics", "fid", "--weights", tmp_path], "say whose file it is: inception=FILE"),
    ]:
        refused = run("all", *data, *args)
        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert message in refused.stderr.splitlines()[-1]


def test_each_metric_looks_through_its_own_network_unless_told():
    names = ("fid", "kid", "is", "pr", "prdc", "cmmd")
    features = {n: s.features for n, s in AllSettings().of_images(names).items()}
    assert features == {
        "fid": "inception", "kid": "inception", "is": "inception",
        "pr": "vgg16", "prdc": "vgg16", "cmmd": "clip-vitl14-336",
    }  # fmt: skip
    lite = AllSettings(features="efficientnet-lite0", num=2000).of_images(names[:-1])
    assert {s.features for s in lite.values()} == {"efficientnet-lite0"}
    assert {s.num for s in lite.values()} == {2000}


def test_results_of_two_seeds_can_be_compared(run, image_folder, classifiers, tmp_path):
    """What was measured beside a number is no part of its protocol."""
    data = ["--data", image_folder("reals", 40, size=64), *LITE, *NUM, "--mirror", "no"]
    few = ["--subset-size", 9, "--pairs", 4, "--distance", "st-lpips-alex"]
    ls = ["--classifiers", classifiers, "--ls-num", 60, "--ls-keep", 30]
    tables = [tmp_path / "0.csv", tmp_path / "1.csv"]
    for seed, table in enumerate(tables):
        values(run("all", *data, *few, *ls, "--seed", seed, "--csv", table))
    comparison = compare_tables(tables)
    assert comparison.refused == ()
    assert len(comparison.table) == len(pd.read_csv(tables[0]))
