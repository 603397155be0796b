import dataclasses
import math

import numpy as np
import pytest
import torch

from stylegan_eval.engine.blocks import Run
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.image_pass import GeneratedImages, Samples, collect
from stylegan_eval.metrics.ls import (
    LsCollector,
    Separability,
    check_resolution,
    choose_attributes,
    measure,
    metric_name,
    protocol,
)
from stylegan_eval.metrics.separability import few_kept_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import LsSettings
from tests.eval.twisted import CPU, NAMES, EveryBrokenNetwork, TwistedGenerator, classifier


def images(batch=100):
    return GeneratedImages(generator=TwistedGenerator(), seed=0, batch=batch, device=CPU)


def collected(tmp_path, settings, others=(), batch=100):
    collector = LsCollector(classifier=classifier(), num=settings.num, spaces=settings.spaces)
    run = Run(device=CPU, folder=tmp_path / f"work-{batch}-{len(others)}")
    key = {"generator": "twisted", "batch": batch}
    return collect(images(batch), [collector, *others], key, run, "images")["ls"]


@pytest.fixture(scope="module")
def settings():
    return LsSettings(num=4000, keep=2000)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory, settings):
    return collected(tmp_path_factory.mktemp("blocks"), settings)


def by_name(result):
    return {attribute.name: attribute for attribute in result.attributes}


# Closed forms.


def test_what_the_mapping_untwists_is_separable_in_w_alone(blocks, settings):
    z, w = measure(blocks, NAMES, settings)
    assert (z.space, w.space) == ("z", "w")
    in_z, in_w = by_name(z), by_name(w)
    assert in_z["linear"].entropy == in_w["linear"].entropy == 0
    assert in_z["linear"].accuracy == in_w["linear"].accuracy == 1
    assert in_w["twisted"].entropy == 0
    assert in_z["twisted"].entropy == pytest.approx(1, abs=0.02)
    # The surest of |w2| > median are nearly all "yes": little is hidden, and none of it revealed.
    for side in (in_z, in_w):
        yes = side["even"].share
        label = -(yes * math.log2(yes) + (1 - yes) * math.log2(1 - yes))
        assert side["even"].entropy == pytest.approx(label, abs=0.02)
    for result in (z, w):
        bits = [attribute.entropy for attribute in result.attributes]
        assert result.score == pytest.approx(2 ** sum(bits))
        assert result.note == ""


def test_perfect_separation_scores_1(blocks, settings):
    chosen = dataclasses.replace(settings, attributes="twisted, linear")
    z, w = measure(blocks, NAMES, chosen)
    assert w.score == 1
    assert 0 < w.stderr < 0.05  # of agreement without exception
    assert z.score == pytest.approx(2, rel=0.02)
    assert [a.name for a in z.attributes] == ["twisted", "linear"]


def test_tables_count_the_kept_images(blocks, settings):
    for result in measure(blocks, NAMES, settings):
        for attribute in result.attributes:
            table = np.array(attribute.table)
            assert table.sum() == settings.keep
            assert table[:, 0].sum() == round(attribute.share * settings.keep)
            assert np.trace(table) == round(attribute.accuracy * settings.keep)


def test_standard_error_is_known_and_small(blocks, settings):
    z, _ = measure(blocks, NAMES, settings)
    assert 0 < z.stderr < 0.1 * z.score


def test_official_solver_agrees_where_it_converges(blocks, settings):
    official = dataclasses.replace(settings, svm="official", space="w", attributes="linear,twisted")
    (found,) = measure(blocks, NAMES, official)
    assert found.score == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("keep", "note"),
    [
        (130, "64 numbers is fitted to 130 images, so few that it separates them"),
        (131, "64 numbers is fitted to the 131 images that it is judged by, too few"),
        (1279, "keep 1,280 or more"),
        (1280, ""),
    ],
)
def test_too_few_latents_for_their_length_are_noted(keep, note):
    settings = LsSettings(num=1280, keep=keep, space="w")
    rng = np.random.default_rng(0)
    block = {
        "w": rng.standard_normal((1280, 64)).astype(np.float32),
        "logits": rng.standard_normal((1280, 1)).astype(np.float32),  # independent of w
    }
    (w,) = measure([block], ["hat"], settings)
    assert (note in w.few_kept) if note else not w.few_kept
    assert w.attributes[0].entropy > 0.9 or w.few_kept
    metric = Separability(inputs=Inputs(), settings=settings, classifier=classifier())
    assert {value.notes[-1] for value in metric._values(w)} == {w.few_kept}


def test_the_paper_keeps_enough_latents():
    assert few_kept_note(LsSettings().keep, 512) == ""


# Failures.


def test_an_attribute_of_one_class_leaves_no_score(blocks, settings):
    constant = [{**block, "logits": np.abs(block["logits"])} for block in blocks]
    _, w = measure(constant, NAMES, settings)
    assert math.isnan(w.score)
    assert w.stderr is None
    reasons = ", ".join(f"{name} (all 2000 images have it)" for name in NAMES)
    assert w.note == f"no ls_w: {reasons}: leave out with --attributes=-linear,-twisted,-even"
    assert math.isnan(w.attributes[0].entropy)
    assert w.attributes[0].error


def test_officially_it_counts_as_perfect(blocks, settings):
    constant = [{**block, "logits": np.abs(block["logits"])} for block in blocks]
    official = dataclasses.replace(settings, svm="official")
    z, w = measure(constant, NAMES, official)
    assert z.score == w.score == 1


def test_other_processes_report_nothing(settings):
    assert measure([], NAMES, settings) == []


def test_answers_that_are_not_finite_are_refused(tmp_path):
    collector = LsCollector(classifier=classifier(EveryBrokenNetwork()), num=100)
    run = Run(device=CPU, folder=tmp_path)
    with pytest.raises(UserError, match="NaN or infinite logits"):
        collect(images(), [collector], {"generator": "twisted"}, run, "images")


def test_images_of_files_are_refused():
    block = LsCollector(classifier=classifier(), num=2).begin()
    pixels = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(UserError, match="needs a generator's latents"):
        block.add(Samples(positions=range(2), images=pixels))


def test_classifiers_of_larger_images_are_refused():
    check_resolution(classifier(), 16)
    with pytest.raises(UserError, match=r"draws 16x16, the classifiers read 32x32: .* 16"):
        check_resolution(classifier(resolution=32), 16)


# What a result depends on.


@dataclasses.dataclass(frozen=True)
class Counter:
    """Counts the images of a block."""

    num: int
    name: str = "counter"
    identity: str = "counter"

    def begin(self):
        return self

    def add(self, samples):
        pass

    def arrays(self):
        return {"count": np.zeros(1)}


def test_batch_and_company_do_not_matter(tmp_path, blocks, settings):
    expected = measure(blocks, NAMES, settings)
    company = [Counter(num=2900)]  # cuts the pass into other blocks
    other = collected(tmp_path, settings, company, batch=33)
    assert len(other) > len(blocks)
    assert numbers(measure(other, NAMES, settings)) == numbers(expected)


def numbers(results):
    return [
        (
            each.space,
            each.score,
            each.stderr,
            each.note,
            a.name,
            a.share,
            a.tables.tolist(),
            a.error,
        )
        for each in results
        for a in each.attributes
    ]


def test_collector_keeps_the_spaces_asked_for(tmp_path):
    one = LsSettings(num=128, keep=64, space="w")
    (block,) = collected(tmp_path, one)
    assert set(block) == {"logits", "w"}
    assert {name: array.shape for name, array in block.items()} == {
        "logits": (128, 3),
        "w": (128, 4),
    }
    assert {array.dtype for array in block.values()} == {np.dtype(np.float32)}


def test_w_is_that_of_the_last_layer(blocks):
    w, logits = blocks[0]["w"], blocks[0]["logits"]
    assert w[:, 2] == pytest.approx(logits[:, 0], abs=1e-6)
    assert np.array_equal(np.abs(w), np.abs(blocks[0]["z"]))


def test_identity_names_the_classifiers_and_the_spaces():
    base = LsCollector(classifier=classifier(), num=10)
    others = [
        LsCollector(classifier=classifier(sha256="11"), num=10),
        LsCollector(classifier=classifier(), num=10, spaces=("w",)),
    ]
    assert len({c.identity for c in [base, *others]}) == 3


# Settings.


def test_defaults_are_the_papers():
    settings = LsSettings()
    assert (settings.num, settings.keep, settings.spaces) == (200_000, 100_000, ("z", "w"))
    assert metric_name("w", settings) == "ls_w"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num": 1000}, r"--keep 100000 is more than --num 1000: use --keep 500"),
        ({"keep": 1}, "--keep must be at least 2, got 1"),
        ({"num": 1}, "--num must be at least 2"),
    ],
)
def test_unfit_settings_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        LsSettings(**values)


def test_names_of_other_protocols_say_so():
    settings = LsSettings(svm="official", attributes="b, a")
    assert metric_name("z", settings) == "ls_z[svm:official,attributes:a+b]"
    assert protocol(settings, ["a", "b", "c"])["attributes"] == "a+b"
    many = LsSettings(attributes="-a, -b c, -d, -e=f")
    assert metric_name("w", many) == "ls_w[attributes:4-named]"
    assert protocol(many, ["a", "b c", "d", "e=f", "g"])["attributes"] == "-a+-b-c+-d+-e-f"
    assert protocol(LsSettings(), ["a", "b", "c"])["attributes"] == "3"


def test_attributes_are_chosen_or_left_out():
    assert choose_attributes("", NAMES) == [0, 1, 2]
    assert choose_attributes("even,linear", NAMES) == [2, 0]
    assert choose_attributes("-twisted", NAMES) == [0, 2]
    assert choose_attributes("-even, -linear", NAMES) == [1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("hat", "know no 'hat'; they know linear, twisted, even"),
        ("even,even", "even is there 2 times"),
        ("even,-linear", "a minus before each"),
        ("-even,-linear,-twisted", "a minus before each"),
    ],
)
def test_unfit_choices_are_refused(wanted, message):
    with pytest.raises(UserError, match=message):
        choose_attributes(wanted, NAMES)
