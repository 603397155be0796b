"""Attribute directions: the normals in closed form, and what moving along them does."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.directions import Mover, covariance_normal, find
from stylegan_eval.metrics.flip import metric_name, protocol
from stylegan_eval.metrics.image_pass import GeneratedImages, collect
from stylegan_eval.metrics.ls import LsCollector
from stylegan_eval.metrics.separability import fit_hyperplane, svm_predictions
from stylegan_eval.results.directions_file import Directions
from stylegan_eval.settings.others import DirectionsSettings
from tests.eval.twisted import CPU, NAMES, TwistedGenerator, classifier


def covariance_and_planes(seed, size=6, count=3):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size)) * np.logspace(-1, 1, size)
    return root @ root.T, rng.standard_normal((count, size))


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# The normals.


def test_where_w_varies_alike_all_ways_the_normal_is_the_hyperplanes():
    _, (plane, other, _) = covariance_and_planes(0)
    found = covariance_normal(plane, [other], 3 * np.eye(6), 0)
    assert found == pytest.approx(plane / np.linalg.norm(plane))


@given(st.integers(0, 1000))
def test_the_normal_by_the_covariance_is_euclids_among_whitened_latents(seed):
    S, (plane, *_) = covariance_and_planes(seed)
    values, vectors = np.linalg.eigh(S)
    root = vectors * np.sqrt(values) @ vectors.T  # S^(1/2); w = root x with x white
    # In x the hyperplane is (root a).x = b, with the normal root a, which is root root a in w.
    expected = root @ (root @ plane)
    assert cosine(covariance_normal(plane, [], S, 1), expected) == pytest.approx(1, abs=1e-9)


def test_the_normal_by_the_covariance_is_the_mean_change_of_w():
    S, (plane, *_) = covariance_and_planes(1)
    w = np.random.default_rng(2).multivariate_normal(np.zeros(6), S, 20_000)
    reading = w @ plane
    slopes = (w * reading[:, None]).mean(axis=0)  # of each entry of w on a.w
    found = covariance_normal(plane, [], np.cov(w.T), 0)
    assert cosine(found, slopes) == pytest.approx(1, abs=1e-3)


def cost(move, plane, others, S, apart):
    """What the normal makes least, of `move` scaled to one step of the reading."""
    move = move / (plane @ move)
    readings = [(other @ move) ** 2 / (other @ S @ other) for other in others]
    return move @ np.linalg.solve(S, move) + apart * sum(readings)


@given(st.integers(0, 1000), st.floats(0, 100))
def test_no_move_near_the_normal_costs_less(seed, apart):
    S, (plane, *others) = covariance_and_planes(seed)
    found = covariance_normal(plane, others, S, apart)
    assert plane @ found > 0
    assert np.linalg.norm(found) == pytest.approx(1)
    least = cost(found, plane, others, S, apart)
    for other in np.random.default_rng(seed).standard_normal((20, 6)):
        for step in (1e-3, 0.1):
            assert least <= cost(found + step * other, plane, others, S, apart) * (1 + 1e-9)


def test_the_heavier_the_other_readings_weigh_the_less_they_change():
    S, (plane, *others) = covariance_and_planes(3)
    changes = []
    for apart in (0, 1, 10, 1e6):
        found = covariance_normal(plane, others, S, apart)
        move = found / (plane @ found)
        changes.append(sum((o @ move) ** 2 / (o @ S @ o) for o in others))
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < 1e-6 * changes[0]


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_scales_do_not_matter(seed, factor):
    S, (plane, *others) = covariance_and_planes(seed)
    expected = pytest.approx(covariance_normal(plane, others, S, 2), abs=1e-6)
    assert covariance_normal(factor * plane, others, S, 2) == expected
    assert covariance_normal(plane, [factor * other for other in others], S, 2) == expected
    assert covariance_normal(plane, others, factor * S, 2) == expected


def test_the_hyperplane_and_its_sides_are_of_one_fit():
    rng = np.random.default_rng(4)
    features = rng.standard_normal((800, 3)).astype(np.float32)
    targets = (features[:, 1] + 0.3 * rng.standard_normal(800) < 0).astype(np.int64)  # 0: has it
    for convention in ("deterministic", "official"):
        plane = fit_hyperplane(features, targets, convention)
        assert np.array_equal(plane.sides, svm_predictions(features, targets, convention))
        assert plane.normal == pytest.approx([0, 1, 0], abs=0.1)
        readings = features @ plane.normal
        assert readings[plane.sides == 0].min() > readings[plane.sides == 1].max() - 1e-6


# Found in images.


@pytest.fixture(scope="module")
def settings():
    return DirectionsSettings(num=2000, keep=1000, samples=150, batch=50, strength=0.5)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory, settings):
    images = GeneratedImages(generator=TwistedGenerator(), seed=0, batch=100, device=CPU)
    collector = LsCollector(classifier=classifier(), num=settings.num, spaces=("w",))
    run = Run(device=CPU, folder=tmp_path_factory.mktemp("work"))
    return collect(images, [collector], {"generator": "twisted"}, run, "images")["ls"]


def test_directions_are_the_axes_that_colours_are_read_from(blocks, settings):
    chosen = dataclasses.replace(settings, attributes="linear,twisted")
    found = {each.name: each for each in find(blocks, NAMES, chosen)}
    assert found["linear"].normal == pytest.approx([0, 0, 1, 0], abs=0.1)
    assert found["twisted"].normal == pytest.approx([1, 0, 0, 0], abs=0.1)
    for name in ("linear", "twisted"):
        assert found[name].accuracy == 1
        assert found[name].spread == pytest.approx(1, abs=0.05)
        assert found[name].share == pytest.approx(0.5, abs=0.05)


def test_an_attribute_of_one_class_has_no_direction(blocks, settings):
    chosen = dataclasses.replace(settings, attributes="even,linear", apart=100)
    always = [{**block, "logits": block["logits"] + [0, 0, 1e3]} for block in blocks]
    even, linear = find(always, NAMES, chosen)
    assert even.error == "all 1000 images have it"
    assert not even.normal.any()
    assert linear.error == ""  # and the other is not kept apart from what is not there
    assert linear.normal == pytest.approx([0, 0, 1, 0], abs=0.1)


def test_a_generator_of_one_image_has_no_directions(blocks, settings):
    still = [{**block, "w": np.ones_like(block["w"])} for block in blocks]
    with pytest.raises(UserError, match="all w are the same"):
        find(still, NAMES, settings)


# Moved.


def directions(normals, spreads):
    return Directions(
        names=("linear", "twisted"),
        normals=np.array(normals, np.float32),
        spreads=np.array(spreads, np.float32),
        accuracies=np.ones(2, np.float32),
        generator_digest="",
        description="",
    )


def mover(settings):
    return Mover(
        generator=TwistedGenerator(), classifier=classifier(), settings=settings, device=CPU
    )


def fresh_w(settings, count):
    return TwistedGenerator().mapping(latents(settings.check_seed, range(count), 4))[:, -1].numpy()


def test_what_turns_is_what_crosses_the_hyperplane(settings):
    axes = directions([[0, 0, 1, 0], [1, 0, 0, 0]], [0.7, 1.5])
    linear, twisted = mover(settings).measure(axes)
    assert linear.strengths == (0.5, 1, 2, 3, 4)
    for flips, axis, spread in ((linear, 2, 0.7), (twisted, 0, 1.5)):
        w = fresh_w(settings, settings.num)[:, axis]
        lacking, having = w[w <= 0][:150], w[w > 0][:150]
        assert (flips.lacking.count, flips.having.count) == (150, 150)
        for number, strength in enumerate(flips.strengths):
            added, removed = lacking + strength * spread > 0, having - strength * spread <= 0
            assert flips.lacking.turned[number] == pytest.approx(added.mean(), abs=1 / 150)
            assert flips.having.turned[number] == pytest.approx(removed.mean(), abs=1 / 150)
        assert flips.rate == pytest.approx((flips.lacking.turned + flips.having.turned) / 2)
        assert flips.lacking.turned[0] < flips.lacking.turned[-1] == 1


def test_others_are_the_verdicts_that_the_move_does_not_aim_at(settings):
    linear, twisted = mover(settings).measure(directions([[0, 0, 1, 0], [1, 0, 0, 0]], [1, 1]))
    assert not twisted.others.any()  # red alone changes: no other attribute reads it
    # Blue changes "even" as well, one of two others: where |w2| crosses its median.
    w = fresh_w(settings, settings.num)[:, 2]
    shares = []
    for side, sign in ((w[w <= 0][:150], 1), (w[w > 0][:150], -1)):
        crossed = (np.abs(side) > 0.6745) != (np.abs(side + sign * 2.0) > 0.6745)
        shares.append(crossed.mean() / 2)
    assert linear.others[2] == pytest.approx(np.mean(shares), abs=1 / 150)


def test_moving_at_right_angles_changes_nothing(settings):
    for flips in mover(settings).measure(directions([[0, 0, 0, 1], [0, 1, 0, 0]], [1, 1])):
        assert not flips.rate.any()
        assert not flips.others.any()
        assert (flips.stderr > 0).all()  # of none of so many


def test_a_side_without_images_is_unknown_and_not_zero(settings):
    rare = dataclasses.replace(settings, num=2, keep=2, batch=1, samples=2)
    seeds = (seed for seed in range(1, 99) if (fresh_w_of(seed)[:, 2] > 0).all())
    chosen = dataclasses.replace(rare, check_seed=next(seeds))
    linear, _ = mover(chosen).measure(directions([[0, 0, 1, 0], [1, 0, 0, 0]], [1, 1]))
    assert (linear.lacking.count, linear.having.count) == (0, 2)
    assert np.isnan(linear.lacking.turned).all()
    assert np.array_equal(linear.rate, linear.having.turned)
    assert np.isfinite(linear.stderr).all()


def fresh_w_of(seed):
    return TwistedGenerator().mapping(latents(seed, range(2), 4))[:, -1].numpy()


def test_the_batch_does_not_matter(settings):
    axes = directions([[0, 0, 1, 0], [0.6, 0.8, 0, 0]], [1, 1])
    found = [
        mover(dataclasses.replace(settings, batch=batch, samples=10)).measure(axes)
        for batch in (1, 64)
    ]
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one.rate, other.rate)
        assert np.array_equal(one.others, other.others)


# Names and settings.


def test_names_say_what_is_not_usual():
    usual = DirectionsSettings()
    assert metric_name(usual, 3.0, "hat") == "flip_w/hat"
    assert metric_name(usual, 1.0, "hat") == "flip_w[strength:1]/hat"
    plain = DirectionsSettings(normal="plain", apart=3)
    assert metric_name(plain, 2.5, "hat") == "flip_w[normal:plain,strength:2.5]/hat"
    assert "attributes" not in protocol(plain, 3.0)
    alone = DirectionsSettings(apart=0)
    assert metric_name(alone, 3.0, "hat") == "flip_w[apart:0]/hat"
    assert "attributes" not in protocol(alone, 3.0)
    assert protocol(DirectionsSettings(attributes="b c, a"), 3.0)["attributes"] == "a+b-c"
    assert protocol(usual, 3.0)["attributes"] == "all"


def test_the_strength_asked_for_joins_the_curve():
    assert DirectionsSettings().strengths == (1, 2, 3, 4)
    assert DirectionsSettings(strength=2.5).strengths == (1, 2, 2.5, 3, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num": 100}, "--keep must be from 2 to --num 100, got 5000"),
        ({"keep": 1}, "--keep must be from 2"),
        ({"samples": 0}, "--samples must be at least 1"),
        ({"strength": 0}, "--strength must be above 0"),
        ({"strength": float("inf")}, "--strength must be above 0"),
        ({"strength": float("nan")}, "--strength must be above 0"),
        ({"apart": -1}, "--apart must be a number from 0 on"),
        ({"apart": float("nan")}, "--apart must be a number from 0 on"),
        ({"check_seed": -1}, "--check-seed must be 0 to"),
        ({"seed": 1}, "--check-seed 1 would move the images"),
    ],
)
def test_unfit_settings_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        DirectionsSettings(**values)
