"""The directions that the package carries, and the page that says how far they hold."""

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.demo.directions import (
    ATTRIBUTES,
    PAGE,
    RATES,
    SHOWN,
    Rate,
    apart,
    commands,
    rates_table,
    read_rates,
    said,
)
from benchmarks.demo.network import between
from stylegan.opening import demo_directions_path, demo_path
from stylegan.sample.painter import open_painter
from stylegan.sample.recipe import GeneratorSource
from stylegan_eval.cli import main as evaluate
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.sampling import latents
from stylegan_eval.results.directions_file import read_directions


def rate(value=0.5, stderr=0.05, **other):
    values = {"metric": "flip_w/hat", "strength": 3.0, "added": 0.25, "removed": 0.75, "others": 0}
    return Rate(**{**values, "value": value, "stderr": stderr, **other})


# The packed file.


def test_the_directions_are_those_of_the_packages_network():
    found = read_directions(demo_directions_path())
    assert found.generator_digest == sha256_of(demo_path())
    assert ",".join(found.names) == ATTRIBUTES
    assert found.normals.shape[1] == 128
    for fact in ("covariance normals", "apart 1", "10000 images of seed 0", "sha256 "):
        assert fact in found.description


def test_dark_backgrounds_darken_the_corners_and_lighten_the_other_way():
    found = read_directions(demo_directions_path())
    row = found.names.index("bg_dark")
    step = found.spreads[row] * found.normals[row]
    painter = open_painter(GeneratorSource(ckpt=Path("demo"), device="cpu"))
    ws = painter.ws(latents(0, range(16), painter.network.z_dim).numpy())
    brightness = []
    for strength in (-3, 0, 3):
        images = painter.images(ws + ws.new_tensor(strength * step), painter.stored_noise())
        corners = [image[:4, [*range(4), *range(-4, 0)]].mean() for image in images]
        brightness.append(np.mean(corners))
    assert brightness[0] - 10 > brightness[1] > brightness[2] + 10


def test_most_verdicts_on_glasses_and_smiles_turn_both_ways():
    usual = {r.metric: r for r in read_rates(RATES)}
    for name in SHOWN:
        assert usual[f"flip_w/{name}"].added > 0.5
        assert usual[f"flip_w/{name}"].removed > 0.5


# The page.


def test_the_page_has_the_rates_of_the_table():
    """Where they differ: python -m benchmarks.demo.directions page."""
    text = PAGE.read_text(encoding="utf-8")
    assert between(text, "rates", said(read_rates(RATES))) == text


def test_every_attribute_and_rule_has_a_line_of_rates():
    lines = list(rates_table(read_rates(RATES)))
    names = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines[2:]]
    assert names[: len(ATTRIBUTES.split(","))] == [
        (name, "usual") for name in ATTRIBUTES.split(",")
    ]
    for rule in ("apart:0", "normal:plain"):
        assert {name for name, said in names if said == rule} == set(SHOWN)
    assert len({line.count("|") for line in lines}) == 1


def test_rules_are_read_from_names():
    assert rate(metric="flip_w[normal:plain,strength:2]/hat").rule == "normal:plain"
    assert rate(metric="flip_w[strength:2]/hat").rule == ""
    assert rate(metric="flip_w/hat").attribute == "hat"


@pytest.mark.parametrize(
    ("stated", "found", "expected"),
    [((0.5, 0.03), (0.7, 0.04), 4.0), ((1, 0), (1, 0), 0.0), ((1, 0), (0, 0), math.inf)],
)
def test_distance_in_standard_errors(stated, found, expected):
    assert apart(rate(*stated), rate(*found)) == pytest.approx(expected)


def test_commands_are_those_of_the_toolkit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in commands():
        program, *words = command.split()
        done = CliRunner().invoke(evaluate, words)
        assert program == "stylegan-eval"
        assert done.exit_code == 1  # there are no classifiers here, and that is all it says
        assert done.stderr.startswith("error: attributes64.safetensors: no such file")
