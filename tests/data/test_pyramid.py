import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stylegan.datasets.pyramid import open_pyramid
from stylegan_eval.errors import UserError
from stylegan_eval.images import open_images
from tests.data.samples import (
    dataset_json,
    encoded,
    everything_below,
    noise,
    pngs,
    run_with_small_disk,
    write_folder,
    write_zip,
)


def levels_one_by_one(image):
    """Levels of one uint8 [3, R, R] by the official rule: the chain in float32, rounded apart."""
    levels = [image]
    chain = image.astype(np.float32)
    while chain.shape[1] > 4:
        chain = np.mean(
            [chain[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0, dtype=np.float32
        )
        levels.append(np.rint(chain).clip(0, 255).astype(np.uint8))
    return levels


def test_every_level_follows_the_official_rule(tmp_path):
    source = write_zip(tmp_path / "x.zip", pngs(5, 32))
    pyramid = open_pyramid(source, progress=False)
    assert (len(pyramid), pyramid.resolution, pyramid.max_lod) == (5, 32, 3)
    assert pyramid.labels is None
    with open_images(source) as files:
        assert pyramid.digest == files.digest
        for index in range(5):
            expected = levels_one_by_one(files.read(index))
            assert len(expected) == 4
            for lod, level in enumerate(expected):
                assert pyramid.level(lod).shape == (5, 3, 32 >> lod, 32 >> lod)
                np.testing.assert_array_equal(pyramid.level(lod)[index], level)


def test_levels_are_rounded_from_the_chain_not_from_each_other(tmp_path):
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[:, 1::2] = 1
    image[0::4] = 2
    pyramid = open_pyramid(write_folder(tmp_path, {"a.png": encoded(image)}), progress=False)
    # The means of 2x2 are 1.25 and 0.5 in turns: rounded, 1 and (to even) 0.
    assert pyramid.level(1)[0, 0, :, 0].tolist() == [1, 0] * 4
    # Of 4x4 they are 0.875; the mean of the rounded level would be 0.5, which rounds to 0.
    assert (pyramid.level(2) == 1).all()


def test_the_smallest_pyramid_has_one_level(tmp_path):
    pyramid = open_pyramid(write_folder(tmp_path, pngs(2, 4)), progress=False)
    assert pyramid.max_lod == 0
    for lod in (-1, 1):
        with pytest.raises(ValueError, match="is not in"):
            pyramid.level(lod)


def test_levels_are_mapped_and_read_only(tmp_path):
    level = open_pyramid(write_folder(tmp_path, pngs(2)), progress=False).level(0)
    assert isinstance(level, np.memmap)
    assert not level.flags.writeable


def test_labels_come_along(tmp_path):
    labels = dataset_json([["000.png", [1]], ["001.png", [0]]], attributes=["old"])
    source = write_zip(tmp_path / "x.zip", pngs(2) | {"dataset.json": labels})
    pyramid = open_pyramid(source, progress=False)
    assert pyramid.labels.tolist() == [[1], [0]]
    assert pyramid.attributes == ("old",)


def test_it_is_prepared_once_and_again_when_the_content_changes(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(3))
    first = open_pyramid(source, progress=False)
    (folder,) = (cache / "pyramids").iterdir()
    made_at = folder.stat().st_mtime_ns
    copy = shutil.copy(source, tmp_path / "copy.zip")
    again = open_pyramid(copy, progress=False)
    assert folder.stat().st_mtime_ns == made_at
    np.testing.assert_array_equal(again.level(0), first.level(0))
    write_zip(source, pngs(4))
    assert len(open_pyramid(source, progress=False)) == 4
    assert len(list((cache / "pyramids").iterdir())) == 2


def test_the_cache_can_be_elsewhere(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(3))
    open_pyramid(source, cache=tmp_path / "mine", progress=False)
    assert list((tmp_path / "mine" / "pyramids").iterdir())
    assert everything_below(cache) == []


def test_several_may_prepare_at_the_same_time(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(20, 16))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_pyramid(source, progress=False), range(4)))
    for pyramid in found:
        np.testing.assert_array_equal(pyramid.level(1), found[0].level(1))
    (folder,) = (cache / "pyramids").iterdir()
    assert everything_below(folder) == ["0004.npy", "0008.npy", "0016.npy"]


# --- bad input


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (pngs(2, 8) | {"z.png": encoded(noise(16, 16))}, "differ in size.*8x8, 16x16"),
        ({"a.png": encoded(noise(8, 16))}, "16x8, not square"),
        ({"a.png": encoded(noise(12, 12))}, "the resolution, 12, is not a power of two"),
        ({"a.png": encoded(noise(2, 2))}, "the resolution, 2, is not a power of two from 4 on"),
    ],
)
def test_sizes_that_cannot_be_trained_on_name_the_remedy(tmp_path, cache, files, complaint):
    source = write_folder(tmp_path, files)
    with pytest.raises(UserError, match=complaint) as error:
        open_pyramid(source, progress=False)
    assert f"stylegan-data prepare {source} OUT.zip" in str(error.value)
    assert everything_below(cache) == []


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("z.png", encoded(noise(64, 64))[:4000], r"z\.png: damaged or truncated"),
        ("z.png", b"text", r"z\.png: not an image"),
    ],
)
def test_a_bad_image_is_named_and_nothing_is_left(tmp_path, cache, name, data, complaint):
    source = write_zip(tmp_path / "x.zip", pngs(3, 64) | {name: data})
    with pytest.raises(UserError, match=complaint):
        open_pyramid(source, progress=False)
    assert everything_below(cache) in ([], ["pyramids"])


def test_a_lack_of_room_is_found_before_the_work(tmp_path, cache, monkeypatch):
    source = write_zip(tmp_path / "x.zip", pngs(10, 64))
    needed = 10 * 3 * (64**2 + 32**2 + 16**2 + 8**2 + 4**2)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(UserError, match=r"needs 0\.00 GB in .*--cache or STYLEGAN_CACHE"):
        open_pyramid(source, progress=False)
    assert everything_below(cache) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed))
    open_pyramid(source, progress=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_fills_up_is_one_message_and_nothing_is_left(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(10, 64))
    script = (
        "import sys, pathlib\n"
        "from stylegan.datasets.pyramid import open_pyramid\n"
        "from stylegan_eval.errors import UserError\n"
        "try:\n"
        "    open_pyramid(pathlib.Path(sys.argv[1]))\n"
        "except UserError as error:\n"
        "    print(error)"
    )
    done = run_with_small_disk(script, [source])
    assert done.stdout.startswith(f"cannot write {cache}")
    assert done.stdout.endswith(": File too large\n")
    assert everything_below(cache) == ["pyramids"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "0004.npy").unlink(),
        lambda folder: (folder / "0008.npy").write_bytes((folder / "0008.npy").read_bytes()[:200]),
        lambda folder: (folder / "0008.npy").write_bytes(b""),
        lambda folder: shutil.copy(folder / "0004.npy", folder / "0008.npy"),
    ],
)
def test_damaged_cached_files_are_named(tmp_path, cache, damage):
    source = write_zip(tmp_path / "x.zip", pngs(3))
    open_pyramid(source, progress=False)
    (folder,) = (cache / "pyramids").iterdir()
    damage(folder)
    with pytest.raises(UserError, match=rf"{folder} is damaged .*remove it"):
        open_pyramid(source, progress=False)
