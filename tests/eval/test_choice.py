"""Which images are taken where there are more of them: a random sample, whatever their names."""

import json
import shutil
import zipfile
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch_fidelity.metric_isc import isc_features_to_metric

from stylegan_eval.cli import main
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.sampling import mirror_flags, random_choice
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import metric_of
from stylegan_eval.metrics.features import FeatureCollector, gathered
from stylegan_eval.metrics.image_metrics import files_features
from stylegan_eval.metrics.image_pass import collect
from stylegan_eval.metrics.sources import choose_reals, open_pair
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    CmmdSettings,
    FidSettings,
    IsSettings,
    KidSettings,
    PrdcSettings,
    PrSettings,
)
from tests.eval.fakes import PixelDetector

CPU = torch.device("cpu")
CLASSES, OF_EACH, TAKEN, SEEDS = 10, 64, 320, 5
LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


class Classifier(PixelDetector):
    """Sees the mean colours of the quarters of 8x8 images, and tells by them which of `colours`."""

    def __call__(self, images):
        return torch.nn.functional.avg_pool2d(images.float() / 255, 4).flatten(1)  # [N, 12]

    def logits(self, features):
        centres = torch.from_numpy(colours()) / 255
        return -40 * torch.cdist(features.double().unflatten(1, (3, 4)).mean(2), centres)


def colours():
    return np.random.default_rng(0).uniform(30, 225, (CLASSES, 3))


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same images as a tree of classes and under shuffled names, and fresh ones of both."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(1)
    colour = colours()
    for name in ("tree", "flat", "draws"):
        (folder / name).mkdir()

    def image(kind):
        pixels = colour[kind] + rng.normal(0, 9, (8, 8, 3)) + rng.normal(0, 9, 3)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    shuffled = iter(rng.permutation(CLASSES * OF_EACH))
    for kind in range(CLASSES):
        (folder / "tree" / f"class{kind}").mkdir()
        for index in range(OF_EACH):
            one = image(kind)
            one.save(folder / "tree" / f"class{kind}" / f"{index:03d}.png")
            one.save(folder / "flat" / f"{next(shuffled):04d}.png")
    for index in range(TAKEN):
        image(rng.integers(CLASSES)).save(folder / "draws" / f"{index:04d}.png")
    return folder


def measured(images, data, num=TAKEN, **choice):
    """All metrics of images of two folders, as the command lines compute them."""
    common = {"num": num, "features": "efficientnet-lite0", **choice}
    scores = {key: value for key, value in common.items() if key != "reals"}
    metrics = [
        FidSettings(**common),
        KidSettings(**common, subset_size=100, subsets=20),
        PrSettings(**common),
        PrdcSettings(**common),
        CmmdSettings(**common),
        IsSettings(**scores, splits=8),
    ]
    run, detector = Run(device=CPU), Classifier()
    inputs = Inputs(images=images, data=data)
    with open_pair(inputs, metrics, metrics[0], run) as (fakes, reals):
        real = files_features(
            reals, FeatureCollector(detector=detector, kinds=("moments", "vectors"), num=num),
            run,
        )  # fmt: skip
        collector = FeatureCollector(
            detector=detector, kinds=("moments", "vectors", "classes"), num=num, splits=8
        )
        parts = collect(fakes.source, [collector], fakes.key, run, "images")
        fake = gathered(collector, parts[collector.name])
        values = [v for each in metrics for v in values_of(each, fake, real)]
    run.finish()
    return {value.name: value for value in values}


def values_of(settings, fake, real):
    return resolve_name(metric_of(settings).place)(settings, fake, real)


def spread(images, data, **choice):
    """Mean and deviation of every value over seeds."""
    rows = [measured(images, data, seed=seed, **choice) for seed in range(SEEDS)]
    table = {name: np.array([row[name].value for row in rows]) for name in rows[0]}
    return {name: (values.mean(), values.std(ddof=1)) for name, values in table.items()}


@pytest.mark.parametrize("sides", [("draws", "tree"), ("tree", "draws")])
def test_every_metric_is_the_same_for_a_tree_of_classes_and_for_shuffled_names(sets, sides):
    shuffled = [name.replace("tree", "flat") for name in sides]
    tree = spread(*(sets / name for name in sides))
    flat = spread(*(sets / name for name in shuffled))
    assert len(tree) >= 9
    for name, (mean, deviation) in tree.items():
        other, others = flat[name]
        error = np.hypot(deviation, others) / SEEDS**0.5
        assert abs(mean - other) <= 4 * error + 1e-12, name


def test_the_first_by_name_are_half_of_the_classes(sets):
    some = measured(sets / "draws", sets / "tree", reals="random")
    first = measured(sets / "draws", sets / "tree", reals="first")
    assert first["fd_efficientnet-lite0_first"].value > 3 * some["fd_efficientnet-lite0"].value
    precision = "pr320_3{}_precision[efficientnet-lite0]"
    assert first[precision.format("_first")].value < 0.7 * some[precision.format("")].value


def test_errors_of_sorted_files_are_those_of_shuffled_ones(sets):
    """Groups left out, and splits, are random ones, not classes."""
    every = CLASSES * OF_EACH
    files = [measured(sets / name, sets / "flat", num=every) for name in ("tree", "flat")]
    for name in ("fd_efficientnet-lite0", "is_efficientnet-lite0"):
        tree, flat = (each[name] for each in files)
        # The distance of images from themselves has an error of rounding alone.
        rounding = max(tree.stderr, flat.stderr) < 1e-9 and name.startswith("fd")
        assert rounding or 0.5 < tree.stderr / flat.stderr < 2
    score = files[0]["is_efficientnet-lite0"].value
    assert score == pytest.approx(files[1]["is_efficientnet-lite0"].value, rel=0.03)
    assert files[0]["fd_efficientnet-lite0"].value == pytest.approx(0, abs=1e-6)  # the same images


@pytest.mark.parametrize("splits", [1, 7, 10])
@pytest.mark.parametrize("batch", [1, 50])
def test_splits_of_files_are_torch_fidelitys(sets, splits, batch):
    settings = IsSettings(
        num=CLASSES * OF_EACH, splits=splits, batch=batch, seed=2020, features="efficientnet-lite0"
    )
    run, detector = Run(device=CPU), Classifier()
    collector = FeatureCollector(
        detector=detector, kinds=("classes",), num=settings.num, splits=splits
    )
    with open_pair(Inputs(images=sets / "tree"), [settings], settings, run) as (fakes, _):
        parts = collect(fakes.source, [collector], fakes.key, run, "images")
        seen = gathered(collector, parts[collector.name])
    run.finish()
    (ours,) = values_of(settings, seen, seen)
    files = open_images(sets / "tree")
    images = torch.from_numpy(np.stack([files.read(index) for index in range(len(files))]))
    logits = detector.logits(detector(images))
    theirs = isc_features_to_metric(logits, splits=splits, shuffle=True, rng_seed=2020)
    assert ours.value == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert float(ours.details["std"]) == pytest.approx(theirs["inception_score_std"], rel=1e-3)


@pytest.mark.parametrize("seed", [0, 7, 2**32, 2**63 - 1])
def test_a_choice_has_no_repetition_and_begins_with_every_smaller_one(seed):
    chosen = random_choice(seed, 1000, 300)
    assert sorted(set(chosen)) == sorted(chosen)
    assert chosen[:100] == random_choice(seed, 1000, 100)
    assert sorted(random_choice(seed, 50, 80)) == list(range(50))
    assert chosen != random_choice(seed - 1 if seed else 1, 1000, 300)


def test_all_images_are_chosen_equally_often():
    counts = np.bincount([i for seed in range(400) for i in random_choice(seed, 20, 5)])
    assert np.abs(counts - 100).max() < 5 * (400 * 0.25 * 0.75) ** 0.5


class Counting(PixelDetector):
    seen = 0

    def __call__(self, images):
        type(self).seen += len(images)
        return super().__call__(images)


def look(files, rule, num, seed=0):
    """Features of chosen real images, and how many had to be looked at."""
    before, run = Counting.seen, Run(device=CPU)
    reals = choose_reals(files, num, rule, Sampling(num=num, seed=seed), mirror=False)
    collector = FeatureCollector(detector=Counting(), kinds=("vectors",), num=reals.num)
    vectors = files_features(reals, collector, run).vectors
    run.finish()
    return vectors, Counting.seen - before, reals


def test_statistics_of_another_choice_are_never_used(sets):
    with open_images(sets / "draws") as files:
        choices = [("random", 100, 0), ("random", 100, 1), ("random", 101, 0), ("first", 100, 0)]
        found = [look(files, *choice)[0] for choice in choices]
        assert len({vectors.tobytes() for vectors in found}) == len(choices)
        for choice, vectors in zip(choices, found, strict=True):
            again, seen, reals = look(files, *choice)
            assert seen == 0
            assert np.array_equal(again, vectors)
            images = np.stack([files.read(index) for index in reals.source.indices])
            assert np.array_equal(vectors, PixelDetector()(torch.from_numpy(images)).numpy())
        assert look(files, "first", 100, seed=1)[1] == 0  # of which the seed chooses nothing
        # All of them are the same ones by any rule, and of any seed.
        assert [look(files, "full", 2)[1], look(files, "random", TAKEN, 5)[1]] == [TAKEN, 0]
        assert look(files, "first", TAKEN)[2].rule == look(files, "random", TAKEN)[2].rule == "all"


def test_an_entry_of_the_first_images_is_found_as_it_was_kept_before(sets):
    """The key of a choice by name has not changed."""
    with open_images(sets / "draws") as files:
        content = content_digest(files)
        keys = [look(files, *choice)[2].key for choice in (("first", 100), ("full", 100))]
    flips = {"content": content, "flips": "none"}
    assert keys == [{**flips, "which": "first"}, {**flips, "which": "full"}]


def test_files_are_read_in_their_order_within_a_block(sets):
    settings = FidSettings(num=TAKEN, features="efficientnet-lite0")
    inputs = Inputs(images=sets / "tree", data=sets / "tree")
    with open_pair(inputs, [settings], settings, Run(device=CPU)) as pair:
        fakes, reals = (images.source for images in pair)
        assert list(reals.indices) == sorted(reals.indices)
        assert sorted(fakes.indices) == list(reals.indices)
        assert list(fakes.indices) != sorted(fakes.indices)
        for block in (range(32), range(100, 132)):
            positions = [p for batch in fakes.batches(block) for p in batch.positions]
            assert sorted(positions) == list(block)
            order = [fakes.indices[position] for position in positions]
            assert order == sorted(order)


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def row_of(*args):
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["results"][0]


@pytest.fixture
def few(sets, tmp_path):
    """Files in the order of their classes, three of each."""
    folder = tmp_path / "few"
    for path in sorted((sets / "tree").rglob("00[012].png")):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


def test_the_row_says_how_images_were_chosen(sets, few):
    fakes = ["fid", "--images", sets / "draws", *LITE, "-n", 6, "--data", few]
    rows = {rule: row_of(*fakes, "--reals", rule) for rule in ("random", "first", "full")}
    assert [row["protocol"]["reals"] for row in rows.values()] == list(rows)
    assert [row["metric"] for row in rows.values()] == [
        f"fd_efficientnet-lite0{suffix}" for suffix in ("", "_first", "_full")
    ]
    assert rows["random"]["description"] == "6 of 320 images, at random"
    assert row_of(*fakes)["value"] == rows["random"]["value"]
    other = row_of(*fakes, "--seed", 1)
    assert other["value"] != rows["random"]["value"]
    whole = row_of("fid", "--images", few, "--data", few, *LITE, "-n", 30, "--seed", 1)
    assert (whole["protocol"]["reals"], whole["description"]) == ("all", "images")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--images {draws} -n 321", "--images has 320 images, --num asks for 321: use --num 320"),
        ("--images {draws} -n 31", "the data has 30 images, --num asks for 31: use --num 30"),
        ("--images {one}", "one.txt: holds 1 image; give 2 or more"),
        ("--images {draws} --data {one}", "one.txt: holds 1 image; give 2 or more"),
        ("--floor -n 5 --reals first", "leave out --reals first"),
        ("--images {draws} -n 5 --reals last", "is not one of 'random', 'first', 'full'"),
    ],
)
def test_what_cannot_be_chosen_is_refused(args, message, sets, few, tmp_path):
    one = tmp_path / "one.txt"
    one.write_text(f"{next(few.rglob('*.png'))}\n")
    words = args.format(draws=sets / "draws", one=one).split()
    done = run("fid", "--data", few, *words, *LITE)
    assert done.exit_code in (1, 2)
    assert message in done.stderr


def test_compare_refuses_other_rules_and_tells_other_seeds(sets, few, tmp_path):
    tables = [tmp_path / f"{name}.csv" for name in "abc"]
    base = ["fid", "--images", sets / "draws", "--data", few, *LITE, "-n", 6]
    for table, seed in zip(tables, (0, 1, 0), strict=True):
        assert run(*base, "--seed", seed, "--csv", table).exit_code == 0
    # As a table of the time when the first by name were the only choice.
    tables[2].write_text(tables[2].read_text().replace("reals=random", "reals=first"))
    other = run("compare", tables[0], tables[1])
    assert other.exit_code == 0
    assert "fd_efficientnet-lite0: the real images were chosen by seeds 0, 1" in other.stderr
    refused = run("compare", tables[0], tables[2])
    assert refused.exit_code == 1
    assert "reals=first" in refused.stderr


def test_statistics_of_some_are_of_random_ones(few, tmp_path):
    """Of a zip the same ones as of a folder of the same files."""
    archive = tmp_path / "few.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(few.rglob("*.png"), reverse=True):
            out.write(path, path.relative_to(few))
    means = {}
    for name, data, rule, which in (
        ("folder", few, "random", "random of seed 0"),
        ("zip", archive, "random", "random of seed 0"),
        ("other", few, "random --seed 1", "random of seed 1"),
        ("first", few, "first", "first"),
    ):
        path = tmp_path / f"{name}.npz"
        done = run("stats", path, "--data", data, "-n", 6, *LITE, "--reals", *rule.split())
        assert done.exit_code == 0, done.output
        with np.load(path) as content:
            means[name] = content["mu"].tobytes()
            assert json.loads(str(content["about"]))["which"] == which
    assert means["folder"] == means["zip"]
    assert len(set(means.values())) == 3


def test_flips_are_those_of_the_images_that_were_chosen(sets):
    with open_images(sets / "tree") as files:
        settings = Sampling(num=50)
        plain, mirrored = (
            choose_reals(files, 50, "random", settings, mirror=mirror) for mirror in (False, True)
        )
        assert plain.key != mirrored.key
        one, other = (
            torch.cat([batch.images for batch in reals.source.batches(range(50))])
            for reals in (plain, mirrored)
        )
    flags = mirror_flags(0, plain.source.indices)
    assert 10 < flags.sum() < 40
    for image, seen, flipped in zip(one, other, flags, strict=True):
        assert torch.equal(seen, image.flip(2) if flipped else image)
