"""`stylegan-eval directions` from end to end, at a size of a second."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stylegan.configs import CONFIGS
from stylegan.network_file import save_network
from stylegan.networks.generator import build_generator
from stylegan.presets import apply_preset
from stylegan.snapshot import Provenance, Snapshot
from stylegan_eval.classifiers.network import build_network
from stylegan_eval.classifiers.storage import save_classifier
from stylegan_eval.cli import main
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.sampling import draw
from stylegan_eval.results.directions_file import read_directions
from tests.eval.fakes import LinearGenerator
from tests.eval.twisted import NAMES
from tests.eval.twisted import classifier as twisted

FEW = ("-n", 60, "--keep", 40, "--samples", 5, "--batch", 20, "--device", "cpu")


def run(*args):
    return CliRunner().invoke(main, ["directions", *(str(arg) for arg in args)])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, fake_loader):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fake(tmp_path):
    path = tmp_path / "fake.ckpt"
    path.write_bytes(b"FAKE 16")
    return path


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Random functions of the fake's images, each of which half of them satisfy."""
    rng = torch.Generator().manual_seed(0)
    network = build_network("small", 16, 3).to_empty(device="cpu")
    network.initialise(rng)
    *_, images = draw(LinearGenerator(resolution=16), 0, range(60), torch.device("cpu"))
    with torch.no_grad():
        network.head.weight.normal_(generator=rng)
        network.head.bias.sub_(network.eval()(images).median(dim=0).values)
    path = tmp_path_factory.mktemp("classifiers") / "random.safetensors"
    record = replace(twisted(resolution=16).record, architecture="small")
    save_classifier(path, record, network)
    return path


def test_the_file_the_table_and_the_rows_say_the_same(fake, classifiers, tmp_path):
    out, table = tmp_path / "new" / "directions.safetensors", tmp_path / "rows.csv"
    args = ("--ckpt", fake, "--classifiers", classifiers, "--out", out, *FEW)
    done = run(*args, "--csv", table, "--attributes", "twisted,linear", "--strength", 2.5)
    assert done.exit_code == 0, done.stderr
    found = read_directions(out)
    assert found.names == ("twisted", "linear")
    assert found.normals.shape == (2, 8)
    assert found.generator_digest == sha256_of(fake)
    for said in ("covariance normals", "60 images of seed 0", sha256_of(classifiers), "linear"):
        assert said in found.description
    header, *lines = done.stdout.splitlines()
    assert header.split()[4:14] == [f"{s}{k}" for s in "+-" for k in ("1", "2", "2.5", "3", "4")]
    with table.open(newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert len(rows) == 2 * 5
    for line, name, spread in zip(lines, found.names, found.spreads, strict=True):
        words = line.split()
        assert words[0] == name
        assert float(words[3]) == pytest.approx(spread, abs=6e-4)
        row = rows[f"flip_w[strength:2.5]/{name}"]
        details = dict(pair.split("=") for pair in row["details"].split())
        assert float(words[6]) == pytest.approx(float(details["added"]), abs=0.006)
        assert float(words[11]) == pytest.approx(float(details["removed"]), abs=0.006)
        assert row["num"] == "10"


def test_again_gives_the_same_bytes(fake, classifiers, tmp_path):
    outs = [tmp_path / name for name in ("a", "b")]
    printed = []
    for out in outs:
        args = ("--ckpt", fake, "--classifiers", classifiers, "--out", out, *FEW)
        printed.append(run(*args, "--attributes", "linear").stdout)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert printed[0] == printed[1] != ""


def test_json_has_a_row_for_each_strength(fake, classifiers, tmp_path):
    args = ("--ckpt", fake, "--classifiers", classifiers, "--out", tmp_path / "x", *FEW)
    done = run(*args, "--attributes", "linear", "--json")
    rows = json.loads(done.stdout)["results"]
    assert [row["metric"] for row in rows] == [
        "flip_w[strength:1]/linear",
        "flip_w[strength:2]/linear",
        "flip_w/linear",
        "flip_w[strength:4]/linear",
    ]
    assert all(row["protocol"]["strength"] in "1234" for row in rows)


def test_what_has_no_direction_or_few_images_is_noted(fake, classifiers, tmp_path):
    with_bias, content = tmp_path / "biased.safetensors", load_file(classifiers)
    content["head.bias"][2] += 1e4
    with safe_open(classifiers, framework="pt") as file:
        save_file(content, with_bias, metadata=file.metadata())
    args = ("--ckpt", fake, "--classifiers", with_bias, "--out", tmp_path / "x", *FEW)
    done = run(*args)
    assert done.exit_code == 0, done.stderr
    assert f"note: no direction for {NAMES[2]}: all 40 images have it" in done.stderr
    assert read_directions(tmp_path / "x").names == NAMES[:2]
    done = run(*args, "--samples", 59, "--attributes", "linear")
    assert "note: linear was tried on " in done.stderr
    done = run(*args, "--out", tmp_path / "y", "--attributes", NAMES[2])
    assert done.exit_code == 1
    assert f"error: no directions: {NAMES[2]} (all 40 images have it): draw more" in done.stderr
    assert not (tmp_path / "y").exists()


@pytest.fixture
def without_mapping(tmp_path):
    """Network of configuration A."""
    config = apply_preset(CONFIGS["A"], "tiny-16")
    network = build_generator(config, seed=0)
    path = tmp_path / "A.safetensors"
    content = Snapshot(
        config=config,
        provenance=Provenance(seed=0, data="", version=""),
        nimg=0,
        lod=0.0,
        networks={"G_ema": network.state_dict()},
    )
    save_network(path, content)
    return path


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--ckpt {fake} --out {out}", 1, "--classifiers is missing"),
        ("--classifiers {good} --out {out}", 1, "--ckpt is missing"),
        ("--ckpt {fake} --classifiers {good}", 2, "Missing option '--out'"),
        ("--ckpt {fake} --classifiers {fake} --out {out}", 1, "not a safetensors file"),
        ("--ckpt {A} --classifiers {good} --out {out}", 1, "has no mapping network"),
        ("--ckpt {small} --classifiers {good} --out {out}", 1, "draws 8x8"),
        ("--ckpt {fake} --classifiers {good} --out {tmp}", 1, "is a folder"),
        ("--ckpt {fake} --classifiers {good} --out {out} --csv {small}", 1, "columns are FAKE 8"),
        ("--ckpt {fake} --classifiers {good} --out {out} --attributes hat", 1, "know no 'hat'"),
        ("--ckpt {fake} --classifiers {good} --out {out} --check-seed 0", 1, "--check-seed 0"),
        ("--ckpt {fake} --classifiers {good} --out {out} --normal odd", 2, "'odd'"),
    ],
)
def test_bad_input_is_one_line(
    words, status, message, fake, classifiers, without_mapping, tmp_path
):
    (tmp_path / "small").write_bytes(b"FAKE 8")
    names = {
        "fake": fake, "good": classifiers, "A": without_mapping, "small": tmp_path / "small",
        "tmp": tmp_path, "out": tmp_path / "out",
    }  # fmt: skip
    done = run(*(word.format(**names) for word in words.split()), *FEW)
    assert done.exit_code == status, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    if status == 1:
        (line,) = [line for line in done.stderr.splitlines() if "img/s" not in line]
        assert line.startswith("error: ")
    assert not (tmp_path / "out").exists()
    assert done.stdout == ""
    assert not np.any([path.suffix == ".tmp" for path in tmp_path.iterdir()])
