import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import mannwhitneyu
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import stylegan_eval as se
from stylegan.training.settings import MetricSettings
from stylegan_eval.cli import main
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.authenticity import nearest_real
from stylegan_eval.metrics.ct import c_t, ct, z_score
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.settings.image_metrics import CtSettings

LITE = {"features": "efficientnet-lite0", "device": "cpu"}
FLAGS = [word for key, value in LITE.items() for word in (f"--{key}", value)]


def mixture(count, seed, dim=40):
    """Three clusters far from each other, most of whose variance is in a few directions."""
    rng = np.random.default_rng(seed)
    centres = 30 * np.eye(3, dim)
    scale = 1 / np.arange(1, dim + 1)
    which = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    return torch.from_numpy(centres[which] + scale * rng.standard_normal((count, dim))).float()


def measured(train, held, fake, **settings):
    about = {"name": "net", "weights_sha256": "", "device": torch.device("cpu")}
    network = type("Network", (), about)
    sides = (ImageFeatures(detector=network, vectors=x.numpy()) for x in (fake, train, held))
    few = CtSettings(features="efficientnet-lite0", num=len(fake), **settings)
    [value] = ct(few, *sides)
    return value


def by_definition(train, held, fake, components):
    """Meehan et al. with the choices of their code, by scikit-learn and SciPy in float64."""
    train, held, fake = (x.double().numpy() for x in (train, held, fake))
    pca = PCA(components).fit(train)
    train, held, fake = (pca.transform(x) for x in (train, held, fake))
    cells = KMeans(3, n_init=10, random_state=0).fit(train)
    at = [cells.predict(x) for x in (train, held, fake)]
    total = score = 0
    for cell in range(3):
        t, p, q = (x[labels == cell] for x, labels in zip((train, held, fake), at, strict=True))
        if len(q) <= 20:
            continue
        near = NearestNeighbors(n_neighbors=1).fit(t)
        u = mannwhitneyu(near.kneighbors(q)[0], near.kneighbors(p)[0], alternative="less")
        m, n = len(q), len(p)
        z = (u.statistic.item() - (n * m / 2 - 0.5)) / math.sqrt(n * m * (n + m + 1) / 12)
        total, score = total + n, score + n * z
    return score / total


@pytest.mark.parametrize("share", [0, 0.6])
def test_it_is_the_papers_definition(share):
    train, held, new = mixture(400, 0), mixture(150, 1), mixture(300, 2)
    copied = int(share * len(new))
    fake = torch.cat([train[:copied] + 0.001 * new[:copied], new[copied:]])
    value = measured(train, held, fake, components=8)
    assert value.value == pytest.approx(by_definition(train, held, fake, 8), abs=1e-9)
    assert (value.value < -3) == (share > 0)
    assert value.protocol == {"cells": "3", "components": "8"}


def test_cells_that_generated_images_hardly_reach_do_not_count():
    train, held, new = mixture(400, 0), mixture(150, 1), mixture(300, 2)
    largest, rest = new[new[:, 0] > 15], new[new[:, 0] <= 15]
    fake = torch.cat([largest, rest[:20]])
    value = measured(train, held, fake, components=8).value
    assert value == pytest.approx(by_definition(train, held, fake, 8), abs=1e-9)


def test_score_of_ties_and_of_all_smaller_ones():
    same = torch.ones(30)
    # U = n m / 2, and half a case for continuity.
    assert z_score(same, same)[0] == pytest.approx(0.5 / math.sqrt(30 * 30 * 61 / 12))
    assert z_score(same, same)[1] == 0
    assert z_score(0 * same, same)[0] == pytest.approx(-449.5 / math.sqrt(30 * 30 * 61 / 12))


def test_errors_are_those_of_repeated_samples():
    train, held = mixture(300, 0, dim=5), mixture(200, 1, dim=5)
    values = [measured(train, held, mixture(300, seed, dim=5)) for seed in range(2, 102)]
    spread = np.std([value.value for value in values], ddof=1)
    assert np.mean([value.stderr for value in values]) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(("cells", "std"), [(1, 1.0), (3, 0.58)])
def test_z_is_about_standard_normal_where_nothing_is_copied(cells, std):
    """All images redrawn."""
    rng = torch.Generator().manual_seed(0)
    rows = [measured(*torch.randn(3, 200, 5, generator=rng), cells=cells) for _ in range(100)]
    assert float(rows[0].details["null-std"]) == pytest.approx(std, abs=0.05)
    assert np.std([row.value for row in rows], ddof=1) == pytest.approx(std, rel=0.2)
    assert np.std([float(row.details["z"]) for row in rows], ddof=1) == pytest.approx(1, rel=0.2)


def test_a_cell_without_images_says_what_to_do():
    x = torch.arange(60.0)[:, None]
    cell = (x[:, 0] > 29).long()
    with pytest.raises(se.UserError, match="holds no held-out image: use fewer cells, or more"):
        c_t([x, x[:20], x], [cell, cell[:20], cell], 2)
    with pytest.raises(se.UserError, match="no cell holds more than 20 generated images"):
        c_t([x, x, x[:20]], [cell, cell, cell[:20]], 2)
    with pytest.raises(se.UserError, match="--cells must be at least 1"):
        CtSettings(cells=0)


def test_files_of_features_stand_for_images(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    train, held, fake = (mixture(n, seed, dim=1280) for seed, n in enumerate((400, 150, 300)))
    files = []
    for name, vectors in (("train", train), ("held", held), ("fake", fake)):
        files.append(tmp_path / f"{name}.npz")
        np.savez(files[-1], feats=vectors.numpy())
    value = se.ct(files[2], files[0], held_out=files[1], **LITE)
    assert value.value == pytest.approx(measured(train, held, fake).value, abs=1e-9)
    assert value.protocol["held-out"].startswith("150:")
    pairs = se.pairs(files[2], files[0], **LITE)
    near = nearest_real(fake, train)
    assert dict(zip(pairs["image"], pairs["real"], strict=True)) == {
        str(number): str(at) for number, at in enumerate(near.at.tolist())
    }


@pytest.fixture
def sets(tmp_path, image_folder, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return [image_folder(name, 30, seed=seed) for seed, name in enumerate(["train", "held", "new"])]


def test_copies_of_training_images_lie_below_0_and_new_images_do_not(sets):
    train, held, new = sets
    flags = {**LITE, "cells": 1, "held_out": held}
    of_new, of_copies = (se.ct(fake, train, **flags) for fake in (new, train))
    assert of_new.name == "ct30[efficientnet-lite0]"
    assert abs(of_new.value) < 4 < 6 < -of_copies.value
    assert of_new.stderr > 0
    assert of_copies.stderr is None  # all nearer than any held-out image: no spread
    assert of_new.protocol["held-out"].startswith("30:")
    mixed = held.parent / "mixed.txt"
    some = [*sorted(held.iterdir()), *sorted(train.iterdir())[:10]]
    mixed.write_text("".join(f"{path}\n" for path in some))
    note = "10 of 40 images of --held-out that were looked up are among those of --data"
    assert note in se.ct(new, train, **{**flags, "held_out": mixed}).note
    assert "--held-out" not in of_new.note
    with open_images(held) as files:
        pixels = np.stack([files.read(number) for number in range(30)])
    in_memory = se.ct(new, train, **{**flags, "held_out": pixels})
    assert in_memory.value == of_new.value


def test_held_out_images_are_asked_for_and_refused(sets, tmp_path):
    train, held, new = map(str, sets)
    stats = str(tmp_path / "held.npz")

    def run(*args):
        return CliRunner().invoke(main, [*args, "--data", train, *FLAGS])

    assert run("stats", stats).exit_code == 0
    for args, message in [
        (["ct"], "--held-out is missing: name real images that the generator was not trained on"),
        (["ct", "--held-out", train], "--held-out are the images of --data: give others"),
        (["ct", "--held-out", stats], "--held-out needs images or features"),
        (["all", "--metrics", "pr", "--held-out", held], "which is not among --metrics"),
    ]:
        done = run(*args, "--images", new)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
        assert message in done.stderr
    args = ["all", "--metrics", "authenticity,ct", "--held-out", held, "--json"]
    done = run(*args, "--images", new)
    assert done.exit_code == 1  # 20 images of three cells
    assert "no cell holds more than 20" in done.stderr
    with pytest.raises(se.UserError, match="ct10k is not known"):
        MetricSettings(metrics="ct10k").named()
