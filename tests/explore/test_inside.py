"""What a network does inside: closed forms of each figure, and the table of a real network."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.explore.views.inside import opening_recipe
from stylegan.networks.epilogue import Epilogue
from stylegan.png import write_npy
from stylegan.sample.cli import main
from stylegan.sample.directions import sample_of
from stylegan.sample.drawing import draw_recipe, open_generator, ws_of
from stylegan.sample.inside import (
    COLUMNS,
    look_inside,
    map_deviation,
    noise_deviation,
    relative_distances,
)
from stylegan.sample.recipe import Mix, Move, Recipe
from tests.explore.networks import CPU


def test_means_of_maps_are_no_deviation_of_activations():
    flat = torch.arange(3.0)[None, :, None, None].expand(1, 3, 4, 4)
    assert map_deviation(flat) == 0
    stripes = torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 4, 4)
    maps = torch.cat([3 * stripes + 7, 4 * stripes], dim=1)
    assert map_deviation(maps) == pytest.approx(math.sqrt((9 + 16) / 2))


def test_noise_is_as_strong_as_what_it_adds_to_the_maps():
    rng = torch.Generator().manual_seed(0)
    noise, weight = torch.randn(1, 1, 8, 8, generator=rng), torch.randn(5, generator=rng)
    added = weight[None, :, None, None] * noise
    assert noise_deviation(noise, weight) == pytest.approx(map_deviation(added))
    assert noise_deviation(3 * noise, weight) == pytest.approx(3 * noise_deviation(noise, weight))


def test_distances_are_in_units_of_the_mean_one():
    centre = np.array([1.0, 2.0])
    w = centre + np.array([[3, 4], [0, 15]])  # 5 and 15 away
    ws = centre + np.array([[0, 0], [0, 10], [30, 0]])
    np.testing.assert_allclose(relative_distances(ws, centre, w), [0, 1, 3])


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


@pytest.fixture(scope="module")
def w(subject):
    return sample_of(subject.painter)


def test_there_is_a_row_for_each_layer_and_the_image_is_not_touched(subject, w):
    before = draw_recipe(Recipe(seed=2), subject)
    figures = look_inside(Recipe(seed=2), subject, w)
    assert [each.layer for each in figures] == list(range(8))
    assert [each.size for each in figures] == [4, 4, 8, 8, 16, 16, 32, 32]
    assert all(each.activation > 0 and each.noise > 0 for each in figures)
    assert all(each.noise_share == each.noise / each.activation for each in figures)
    assert not any(m._forward_pre_hooks for m in subject.painter.network.modules())
    np.testing.assert_array_equal(draw_recipe(Recipe(seed=2), subject), before)


def test_noise_is_that_of_the_weights_and_maps_of_the_layer(subject, w):
    layers = [m for m in subject.painter.network.g.modules() if isinstance(m, Epilogue)]
    for layer, each in zip(layers, look_inside(Recipe(seed=2), subject, w), strict=True):
        added = layer.noise_weight.detach()[None, :, None, None] * layer.fixed_noise
        assert each.noise == pytest.approx(map_deviation(added), rel=1e-5)
    silent = look_inside(Recipe(seed=2, noise="none"), subject, w)
    assert [each.noise for each in silent] == [0.0] * 8


def test_w_is_that_of_each_layer_after_truncation_mixing_and_moves(subject, w):
    usual = look_inside(Recipe(seed=2), subject, w)
    assert len({each.distance for each in usual}) == 1
    half = look_inside(Recipe(seed=2, psi=0.5, cutoff=3), subject, w)
    for layer, (one, other) in enumerate(zip(usual, half, strict=True)):
        scale = 0.5 if layer < 3 else 1
        assert other.distance == pytest.approx(scale * one.distance, rel=1e-5)
    changed = Recipe(
        seed=2,
        mix=Mix(seed=3, first=6, last=7),
        moves=(Move(name="smiling", amount=2, layers=range(4)),),
    )
    found = [each.distance for each in look_inside(changed, subject, w)]
    ws = ws_of(changed, subject)[0].numpy()
    expected = relative_distances(ws, subject.painter.network.w_avg.numpy(), w)
    np.testing.assert_allclose(found, expected)
    assert len(set(found)) == 3


def test_pages_begin_with_an_image_of_a_network_without_labels_too(files):
    subject = open_generator(files["conditional"], CPU, None)
    assert opening_recipe(subject) == Recipe()
    subject.painter.label_rows = None
    first = opening_recipe(subject)
    assert first == Recipe(number="ape")
    assert len(look_inside(first, subject, sample_of(subject.painter))) == 8


def test_what_a_network_lacks_is_left_out(files):
    plain = open_generator(files["A"], CPU, None)
    assert sample_of(plain.painter) is None
    figures = look_inside(Recipe(seed=1), plain, None)
    assert {(each.noise, each.noise_share, each.distance) for each in figures} == {(None,) * 3}
    growing = open_generator(files["growing"], CPU, None)
    assert len(look_inside(Recipe(seed=1), growing, sample_of(growing.painter))) == 6
    assert replace(figures[0], noise=1.0, activation=0.0).noise_share is None


def test_the_command_prints_and_writes_the_table(files, tmp_path, subject, w):
    out = tmp_path / "inside.csv"
    words = ["inside", "--ckpt", str(files["F"]), "--device", "cpu", "--psi", "0.7"]
    done = CliRunner().invoke(main, [*words, "--seed", "5", "--csv", str(out)])
    assert done.exit_code == 0, done.output
    figures = look_inside(Recipe(seed=5, psi=0.7), subject, w)
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows == [each.cells() for each in figures]
    assert [line.split() for line in done.stdout.splitlines()[1:]] == rows
    write_npy(tmp_path / "w.npy", ws_of(Recipe(seed=5), subject).numpy())
    again = CliRunner().invoke(main, [*words, "--ws", str(tmp_path / "w.npy")])
    assert again.stdout == done.stdout
