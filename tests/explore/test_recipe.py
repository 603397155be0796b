"""The recipe of an image: its words, and what it does to w and to the picture."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan.sample.drawing import check_fits, draw_recipe, open_generator, ws_of
from stylegan.sample.options import parse_recipe
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import Mix, Move, Recipe, layer_word, number_word
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from tests.explore.networks import CPU

SEEDS = st.integers(0, 2**63 - 1)
NUMBERS = st.floats(-100, 100)
LAYERS = st.lists(st.integers(0, 30), min_size=2, max_size=2).map(sorted)
MIXES = st.builds(
    lambda seed, layers: Mix(seed=seed, first=layers[0], last=layers[1]), SEEDS, LAYERS
)
SPANS = st.none() | LAYERS.map(lambda layers: range(layers[0], layers[1] + 1))
MOVES = st.dictionaries(st.text(min_size=1), st.tuples(NUMBERS, SPANS), max_size=3).map(
    lambda found: tuple(
        Move(name=name, amount=amount, layers=layers) for name, (amount, layers) in found.items()
    )
)
NOISE = st.one_of(st.sampled_from([("fixed", 0), ("none", 0)]), st.tuples(st.just("random"), SEEDS))


@given(
    seed=SEEDS,
    psi=NUMBERS,
    cutoff=st.integers(0, 99),
    mix=st.none() | MIXES,
    noise=NOISE,
    moves=MOVES,
    number=st.none()
    | st.integers(0, 99)
    | st.text(min_size=1).filter(lambda name: not re.fullmatch("-?[0-9]+", name)),
)
def test_the_words_of_a_recipe_read_as_that_recipe(seed, psi, cutoff, mix, noise, moves, number):
    recipe = Recipe(
        seed=seed,
        psi=psi,
        cutoff=cutoff,
        mix=mix,
        noise=noise[0],
        noise_seed=noise[1],
        moves=moves,
        number=number,
    )
    assert parse_recipe(recipe.words()) == recipe


def test_words_are_those_a_person_would_write():
    recipe = Recipe(
        seed=5,
        psi=0.7,
        mix=Mix(seed=8, first=4, last=7),
        noise="random",
        noise_seed=3,
        moves=(Move(name="eyeglasses", amount=1.5), Move(name="smiling", amount=-1)),
        number=2,
    )
    assert " ".join(recipe.words()) == (
        "--seed 5 --psi 0.7 --mix 8:4-7 --noise random --noise-seed 3"
        " --move eyeglasses=1.5 --move smiling=-1 --class 2"
    )
    assert Recipe().words() == ["--seed", "0"]
    assert str(Mix(seed=8, first=4, last=4)) == "8:4"
    assert parse_recipe(["--mix", "8:4"]).mix == Mix(seed=8, first=4, last=4)


@pytest.mark.parametrize(
    ("text", "name", "layers"),
    [
        ("eyeglasses=1.5:4-7", "eyeglasses", range(4, 8)),
        ("eyeglasses=1.5:4", "eyeglasses", range(4, 5)),
        ("eyeglasses=1.5", "eyeglasses", None),
        ("a:4-7=1.5", "a:4-7", None),
        ("a=2:4-7=1.5:0", "a=2:4-7", range(1)),
    ],
)
def test_a_name_ends_at_the_last_sign_of_equality(text, name, layers):
    assert Move.parse(text) == Move(name=name, amount=1.5, layers=layers)
    assert str(Move.parse(text)) == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seed -1", "--seed"),
        ("--seed 9223372036854775808", "--seed"),
        ("--seed x", "--seed"),
        ("--psi nan", "--psi"),
        ("--psi inf", "--psi"),
        ("--cutoff -1", "--cutoff"),
        ("--mix 8", "8:4-7"),
        ("--mix 8:", "8:4-7"),
        ("--mix 8:a-b", "8:4-7"),
        ("--mix 8:4-", "8:4-7"),
        ("--mix -8:4-7", "8:4-7"),
        ("--mix 8:7-4", "first"),
        ("--mix ²:4-7", "8:4-7"),
        ("--noise some", "some"),
        ("--noise-seed 3", "--noise random"),
        ("--noise none --noise-seed 3", "--noise random"),
        ("--noise random --noise-seed -3", "--noise-seed"),
        ("--move smiling", "smiling=1.5"),
        ("--move smiling=1:", "no range of layers"),
        ("--move smiling=1:fine", "no range of layers"),
        ("--move smiling=1:7-4", "the last comes before the first"),
        ("--move smiling=:4-7", "smiling=1.5:4-7"),
        ("--move smiling:4-7=", "smiling=1.5:4-7"),
        ("--move smiling=much", "smiling=1.5"),
        ("--move =1", "name"),
        ("--move smiling=nan", "number"),
        ("--move smiling=1 --move smiling=2", "more than once"),
        ("--class -1", "--class"),
        ("--sead 1", "--sead"),
        ("extra", "extra"),
    ],
)
def test_words_that_are_no_recipe_are_refused(words, message):
    with pytest.raises(UserError) as caught:
        parse_recipe(words.split())
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@given(NUMBERS)
def test_numbers_are_written_to_the_bit(value):
    assert math.copysign(1, float(number_word(value))) == math.copysign(1, value)
    assert float(number_word(value)) == value
    assert not number_word(value).endswith(".0")


def test_layers_are_named_by_their_pixels():
    assert layer_word(0, 1) == "4x4"
    assert layer_word(0, 3) == "4x4 to 8x8"
    assert layer_word(8, 17) == "64x64 to 1024x1024"


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


def same(first, second, subject):
    return np.array_equal(draw_recipe(first, subject), draw_recipe(second, subject))


def test_a_seed_is_the_latent_of_that_image(subject):
    network = subject.painter.network
    with torch.inference_mode():
        expected = network.mapping(latents(0, [7], network.z_dim))
        assert torch.equal(ws_of(Recipe(seed=7), subject), expected)


def test_layers_of_all_sizes_from_another_latent_are_the_other_image(subject):
    last = subject.num_layers - 1
    assert last == 7
    for psi in (1.0, 0.6):
        mixed = Recipe(seed=1, psi=psi, mix=Mix(seed=2, first=0, last=last))
        assert same(mixed, Recipe(seed=2, psi=psi), subject)


def test_mixed_layers_are_those_named_and_no_others(subject):
    one, other = (ws_of(Recipe(seed=seed, psi=0.7), subject) for seed in (1, 2))
    mixed = ws_of(Recipe(seed=1, psi=0.7, mix=Mix(seed=2, first=2, last=4)), subject)
    taken = [layer for layer in range(8) if torch.equal(mixed[0, layer], other[0, layer])]
    kept = [layer for layer in range(8) if torch.equal(mixed[0, layer], one[0, layer])]
    assert (taken, kept) == ([2, 3, 4], [0, 1, 5, 6, 7])


def test_truncation_is_about_the_average_up_to_the_cutoff(subject):
    average = subject.painter.network.w_avg
    whole = ws_of(Recipe(seed=3), subject)
    half = ws_of(Recipe(seed=3, psi=0.5, cutoff=5), subject)
    torch.testing.assert_close(half[:, :5], (whole[:, :5] + average) / 2)
    assert torch.equal(half[:, 5:], whole[:, 5:])


@given(
    st.floats(-3, 3, width=32), st.floats(-3, 3, width=32), st.sampled_from([-1.0, 0.0, 0.7, 1.0])
)
def test_a_move_of_one_is_a_standard_deviation_whatever_psi(subject, a, b, psi):
    found = subject.directions
    still = Recipe(seed=4, psi=psi, mix=Mix(seed=5, first=0, last=3))
    moves = (Move(name="eyeglasses", amount=a), Move(name="smiling", amount=b))
    moved = ws_of(replace(still, moves=moves), subject).double()
    step = (np.array([a, b]) * found.spreads) @ found.normals.astype(np.float64)
    change = (moved - ws_of(still, subject).double()).numpy()
    np.testing.assert_allclose(change, np.broadcast_to(step, change.shape), atol=1e-5)


def test_a_move_with_a_range_moves_those_layers_alone(subject):
    everywhere = ws_of(Recipe(seed=4, moves=(Move(name="smiling", amount=2),)), subject)
    within = Move(name="smiling", amount=2, layers=range(2, 5))
    still, moved = ws_of(Recipe(seed=4), subject), ws_of(Recipe(seed=4, moves=(within,)), subject)
    assert torch.equal(moved[:, 2:5], everywhere[:, 2:5])
    assert torch.equal(moved[:, :2], still[:, :2])
    assert torch.equal(moved[:, 5:], still[:, 5:])
    of_file = replace(subject.directions, layers=(None, (2, 4)))
    own = replace(subject, directions=of_file)
    assert torch.equal(ws_of(Recipe(seed=4, moves=(replace(within, layers=None),)), own), moved)
    all_layers = (replace(within, layers=range(8)),)
    assert torch.equal(ws_of(Recipe(seed=4, moves=all_layers), own), everywhere)
    with pytest.raises(UserError, match="has layers 0 to 7"):
        check_fits(Recipe(moves=(replace(within, layers=range(2, 9)),)), subject)


def test_noise_of_unlike_kinds_and_seeds_gives_unlike_images(subject):
    made = [
        draw_recipe(Recipe(seed=1, noise=noise, noise_seed=seed), subject)
        for noise, seed in (("fixed", 0), ("none", 0), ("random", 0), ("random", 1))
    ]
    assert len({image.tobytes() for image in made}) == 4
    assert all(image.shape == (32, 32, 3) and image.dtype == np.uint8 for image in made)


def test_a_growing_network_is_drawn_at_its_level_and_repeated(files):
    growing = open_generator(files["growing"], CPU, None)
    image = draw_recipe(Recipe(seed=1), growing)
    assert image.shape == (32, 32, 3)
    assert np.array_equal(image, image[::2, ::2].repeat(2, axis=0).repeat(2, axis=1))
    assert growing.num_layers == 6
    with pytest.raises(UserError, match="layers 0 to 5"):
        check_fits(Recipe(mix=Mix(seed=1, first=0, last=6)), growing)


def test_classes_are_chosen_or_drawn_as_in_the_training_data(files):
    subject = open_generator(files["conditional"], CPU, None)
    images = [ws_of(Recipe(seed=1, number=number), subject) for number in range(3)]
    assert torch.equal(ws_of(Recipe(seed=1, number="cat"), subject), images[1])
    drawn = ws_of(Recipe(seed=1), subject)
    assert [torch.equal(drawn, image) for image in images].count(True) == 1
    assert not torch.equal(drawn, images[0])  # no label of the data
    unlabelled = replace(subject, painter=Painter(subject.painter.network))
    check_fits(Recipe(number=0), unlabelled)
    with pytest.raises(UserError, match="--class 0 to 2"):
        check_fits(Recipe(), unlabelled)
