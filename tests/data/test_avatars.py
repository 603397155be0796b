import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stylegan.datasets import avatars
from stylegan.datasets.avatar_recipe import draw_face
from stylegan.datasets.avatars import ATTRIBUTES, make_avatars, render, sample_attributes
from stylegan.datasets.resize import area_mean
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from tests import starting
from tests.data.samples import everything_below, write_zip

GOLDEN = Path(__file__).parents[1] / "golden" / "avatars_32.npz"
COUNT = 3000

# Shares that follow from the probabilities of the recipe.
SHARES = {
    "eyeglasses": 0.40, "sunglasses": 0.16, "hat": 0.20, "bald": 0.12, "long_hair": 0.36,
    "curly_hair": 0.36 * 6 / 13 + 0.32 * 4 / 13, "bangs": 0.36 * 7 / 13 + 0.32 * 2 / 13,
    "beard": 0.25, "moustache": 0.15, "no_beard": 0.60, "smiling": 0.50, "eyes_closed": 0.20,
    "mouth_open": 0.5 * 0.80 + 0.5 * 0.55, "brows_raised": 0.30, "brows_lowered": 0.25,
    "skin_light": 0.45, "skin_medium": 0.30, "skin_dark": 0.25, "suit": 0.30,
    "bg_dark": 0.35, "bg_warm": 0.50, "clothes_dark": 0.40,
    # Hair shows unless under a hat or shaved, and without facial hair.
    "hair_black": 0.28 * (1 - 0.26 * 0.6), "hair_brown": 0.24 * (1 - 0.26 * 0.6),
    "hair_blond": 0.18 * (1 - 0.26 * 0.6), "hair_red": 0.15 * (1 - 0.26 * 0.6),
    "hair_gray": 0.15 * (1 - 0.26 * 0.6),
}  # fmt: skip


@pytest.fixture(scope="module")
def labels():
    """{name: bool [COUNT]}."""
    drawn = np.stack([sample_attributes(0, index) for index in range(COUNT)])
    return dict(zip(ATTRIBUTES, drawn.T.astype(bool), strict=True))


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_has_its_share(labels, name):
    share = SHARES[name]
    five_sigma = 5 * np.sqrt(share * (1 - share) / COUNT)
    assert abs(labels[name].mean() - share) < five_sigma


def test_attributes_exclude_and_imply_each_other_as_they_should(labels):
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 27
    assert not (labels["sunglasses"] & ~labels["eyeglasses"]).any()

    def together(*names):
        return np.sum([labels[name] for name in names], axis=0)

    assert (together("beard", "moustache", "no_beard") == 1).all()
    assert (together("skin_light", "skin_medium", "skin_dark") == 1).all()
    assert (together("hat", "bald", "long_hair") <= 1).all()
    assert (together("brows_raised", "brows_lowered") <= 1).all()
    hair = together(*(name for name in ATTRIBUTES if name.startswith("hair_")))
    assert (hair <= 1).all()
    assert (hair[~labels["no_beard"] | labels["long_hair"]] == 1).all()


def test_independent_attributes_are_uncorrelated(labels):
    names = ["eyeglasses", "hat", "beard", "smiling", "eyes_closed", "suit", "bg_dark", "bg_warm"]
    correlations = np.corrcoef([labels[name] for name in names])
    assert np.abs(correlations - np.eye(len(names))).max() < 5 / np.sqrt(COUNT)


def test_the_drawing_shows_what_the_labels_say():
    """The top corners show the background, whose value is at most 0.5 where it is dark."""
    images, drawn = zip(*(render(1, index, 32) for index in range(60)), strict=True)
    value = np.stack(images).max(axis=1)[:, 0, [0, -1]].max(axis=1) / 255  # [N]
    dark = np.stack(drawn)[:, ATTRIBUTES.index("bg_dark")] == 1
    assert np.mean((value < 0.6) == dark) > 0.9


def test_an_avatar_depends_on_seed_and_index_only():
    image, drawn = render(5, 7, 32)
    assert image.dtype == np.uint8
    assert image.shape == (3, 32, 32)
    again, drawn_again = render(5, 7, 32)
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(drawn_again, drawn)
    np.testing.assert_array_equal(sample_attributes(5, 7), drawn)
    for seed, index in [(5, 8), (6, 7), (7, 5), (2**64 - 1, 2**40)]:
        assert (render(seed, index, 32)[0] != image).any()


def test_one_avatar_is_the_same_drawing_at_every_resolution():
    large = area_mean(render(0, 3, 128)[0], 32, 32)
    assert np.abs(large - render(0, 3, 32)[0]).mean() < 4


def test_the_recipe_has_not_moved():
    """Rasterising may differ a little between machines, so within a tolerance."""
    golden = np.load(GOLDEN)
    for index, (image, drawn) in enumerate(zip(golden["images"], golden["labels"], strict=True)):
        found, found_labels = render(0, index, 32)
        assert np.abs(found.astype(float) - image).mean() < 1
        np.testing.assert_array_equal(found_labels, drawn)


def test_the_options_are_of_plain_types():
    for value in draw_face(0, 0)[0].values():
        assert type(value) in (int, float, str, list)


# --- the archive


def test_processes_draw_the_same_archive_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(avatars, "_WORTH_A_WORKER", 10)
    monkeypatch.setattr(avatars, "_CHUNK", 7)
    for workers in (1, 2):
        monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / f"cache{workers}"))
        out = tmp_path / f"{workers}.zip"
        make_avatars(out, count=25, resolution=16, seed=3, workers=workers, progress=False)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with open_images(tmp_path / "1.zip") as files:
        assert files.attributes == ATTRIBUTES
        for index in (0, 24):
            image, drawn = render(3, index, 16)
            np.testing.assert_array_equal(files.read(index), image)
            np.testing.assert_array_equal(files.labels[index], drawn)


def test_what_was_drawn_is_taken_from_the_cache(tmp_path, cache):
    def make(name, **changes):
        options = {"count": 3, "resolution": 8, "seed": 0} | changes
        make_avatars(tmp_path / name, **options, workers=1, progress=False)

    make("a.zip")
    (kept,) = cache.rglob("*.zip")
    drawn_at = kept.stat().st_mtime_ns
    make("b.zip")
    assert kept.stat().st_mtime_ns == drawn_at
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    make("c.zip", count=4)
    make("d.zip", resolution=4)
    make("e.zip", seed=1)
    assert len(list(cache.rglob("*.zip"))) == 4
    assert everything_below(tmp_path) == ["a.zip", "b.zip", "c.zip", "d.zip", "e.zip"]


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:99]), write_zip])
def test_a_damaged_cache_is_drawn_again(tmp_path, cache, damage):
    make_avatars(tmp_path / "a.zip", count=3, resolution=8, workers=1, progress=False)
    whole = (tmp_path / "a.zip").read_bytes()
    (kept,) = cache.rglob("*.zip")
    damage(kept, *([{}] if damage is write_zip else []))
    make_avatars(tmp_path / "b.zip", count=3, resolution=8, workers=1, progress=False)
    assert (tmp_path / "b.zip").read_bytes() == whole


def small(out, seed=0):
    make_avatars(out, count=3, resolution=8, seed=seed, workers=1, progress=False)
    return out.read_bytes()


@pytest.mark.parametrize("written", ["made first", "taken from the cache"])
def test_what_is_written_into_a_users_file_stays_out_of_the_cache(tmp_path, cache, written):
    whole = small(tmp_path / "a.zip")
    if written == "taken from the cache":
        small(tmp_path / "a.zip")
    other = small(tmp_path / "other.zip", seed=1)
    with (tmp_path / "a.zip").open("r+b") as file:  # as cp does
        file.truncate()
        file.write(other)
    assert small(tmp_path / "again.zip") == whole != other
    assert (tmp_path / "again.zip").stat().st_nlink == 1


def in_its_place(kept, other):
    kept.write_bytes(other.read_bytes())


def swapped(kept, other):
    for a, b in ((kept, other), (Path(f"{kept}.sha256"), Path(f"{other}.sha256"))):
        away = a.rename(f"{a}.away")
        b.rename(a)
        away.rename(b)


def a_bit(kept, other):
    del other
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)


@pytest.mark.parametrize("change", [in_its_place, swapped, a_bit])
def test_a_changed_file_of_the_cache_is_drawn_again_with_a_word(tmp_path, cache, capsys, change):
    whole = small(tmp_path / "a.zip")
    small(tmp_path / "b.zip", seed=1)
    kept, other = sorted(cache.rglob("*.zip"))
    change(kept, other)
    capsys.readouterr()
    assert small(tmp_path / "again.zip") == whole
    said = capsys.readouterr().err
    assert said == f"note: {kept} has changed since it was made: it is made again\n" or (
        change is swapped and said == ""  # its digest is another file's: none of its own
    )
    assert small(tmp_path / "again.zip") == whole
    assert capsys.readouterr().err == ""


def test_an_older_cache_without_digests_is_drawn_again_without_a_word(tmp_path, cache, capsys):
    whole = small(tmp_path / "a.zip")
    for note in cache.rglob("*.sha256"):
        note.unlink()
    capsys.readouterr()
    assert small(tmp_path / "b.zip") == whole
    assert capsys.readouterr().err == ""


def test_without_the_extra_the_message_says_what_to_install(tmp_path, cache, monkeypatch):
    avatars._style.cache_clear()
    monkeypatch.setitem(sys.modules, "dicebear", None)  # as Python marks what cannot be imported
    with pytest.raises(UserError, match=r'pip install "\.\[demo\]"'):
        make_avatars(tmp_path / "a.zip", count=3, resolution=8, progress=False)
    assert everything_below(tmp_path) == []
    assert not list(cache.rglob("*.zip"))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_ends_quietly_and_leaves_nothing(tmp_path, cache):
    command = ["avatars", str(tmp_path / "a.zip"), "--count", "100000", "--workers", "2", "--quiet"]
    process = starting.Popen(
        [sys.executable, "-c", "from stylegan.data import main; main()", *command],
        env=os.environ | {"STYLEGAN_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in tmp_path.rglob("*.tmp")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert everything_below(tmp_path) == []
    assert everything_below(cache) == []
