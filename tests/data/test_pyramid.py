import hashlib
import json
import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stylegan.datasets import pyramid as pyramids
from stylegan.datasets.pyramid import check_pyramid, open_pyramid
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
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
    assert everything_below(folder) == [
        "0004.npy", "0008.npy", "0016.npy", "about.json", "checksums.npy"
    ]  # fmt: skip


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


def zeroed(path, start=128, count=None):
    """Overwrite bytes of a file in place, with its old time of modification."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    stop = len(data) if count is None else start + count
    data[start:stop] = bytes(value ^ 255 if count else 0 for value in data[start:stop])
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swapped_rows(path):
    level = np.load(path, mmap_mode="r+")
    level[[0, 1]] = level[[1, 0]]
    level.flush()


def another_pyramid_in_place_of(folder):
    files = {f"{n:03d}.png": encoded(noise(8, 8, 50 + n)) for n in range(3)}
    other = open_pyramid(write_zip(folder.parent / "other.zip", files), progress=False)
    shutil.rmtree(folder)
    shutil.copytree(other.folder, folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "0004.npy").unlink(),
        lambda folder: (folder / "0008.npy").write_bytes((folder / "0008.npy").read_bytes()[:200]),
        lambda folder: (folder / "0008.npy").write_bytes(b""),
        lambda folder: shutil.copy(folder / "0004.npy", folder / "0008.npy"),
        lambda folder: zeroed(folder / "0008.npy"),
        lambda folder: zeroed(folder / "0004.npy", 128, 1),  # one byte of one pixel
        lambda folder: swapped_rows(folder / "0008.npy"),
        lambda folder: zeroed(folder / "checksums.npy"),
        lambda folder: (folder / "checksums.npy").unlink(),
        lambda folder: (folder / "about.json").write_text("{}"),
        lambda folder: (folder / "about.json").write_bytes(b"\xff"),
        lambda folder: (folder / "about.json").unlink(),
        lambda folder: another_pyramid_in_place_of(folder),
    ],
)
def test_what_changed_in_the_cache_is_prepared_again(tmp_path, cache, capsys, damage):
    source = write_zip(tmp_path / "x.zip", pngs(3))
    before = open_pyramid(source, progress=False)
    levels = [np.array(before.level(lod)) for lod in range(before.max_lod + 1)]
    (folder,) = (cache / "pyramids").iterdir()
    damage(folder)
    again = open_pyramid(source, progress=False)
    assert capsys.readouterr().err == (
        f"note: {folder} has changed since it was made: it is made again\n"
    )
    for lod, level in enumerate(levels):
        np.testing.assert_array_equal(again.level(lod), level)
        np.testing.assert_array_equal(again.read(lod, range(3)), level)
    open_pyramid(source, progress=False)
    assert capsys.readouterr().err == ""


def test_a_damaged_image_is_refused_when_it_is_read(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(5))
    pyramid = open_pyramid(source, progress=False)
    whole = np.array(pyramid.level(0))
    zeroed(pyramid.folder / "0008.npy", 128 + 3 * 192, 192)  # image 3, under the open pyramid
    np.testing.assert_array_equal(pyramid.read(0, [4, 2, 0]), whole[[4, 2, 0]])
    with pytest.raises(UserError, match=r"image 3 of 8x8 is damaged .* --resume"):
        pyramid.read(0, np.array([1, 3]))
    again = open_pyramid(source, progress=False)
    np.testing.assert_array_equal(again.read(0, range(5)), whole)


def test_what_a_disk_loses_without_changing_times_is_found_by_reading(tmp_path, cache):
    source = write_zip(tmp_path / "x.zip", pngs(5))
    folder = open_pyramid(source, progress=False).folder
    assert check_pyramid(folder, progress=False)
    zeroed(folder / "0004.npy")
    about = json.loads((folder / "about.json").read_text())
    status = (folder / "0004.npy").stat()
    about["stamps"]["0004.npy"] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    text = json.dumps(about)
    (folder / "about.json").write_text(text)
    pyramid = open_pyramid(source, progress=False)
    pyramid.read(0, range(5))
    with pytest.raises(UserError, match="4x4 is damaged"):
        pyramid.read(1, [0])
    (folder / "about.json").write_text(text)
    assert not check_pyramid(folder, progress=False)
    again = open_pyramid(source, progress=False)
    assert again.read(1, range(5)).any(axis=(1, 2, 3)).all()


def test_a_copied_cache_is_checked_and_used(tmp_path, cache, monkeypatch, capsys):
    source = write_zip(tmp_path / "x.zip", pngs(5))
    first = open_pyramid(source, progress=False)
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setattr(pyramids, "_build", None)  # it need not be made
    again = open_pyramid(source, cache=tmp_path / "copy", progress=False)
    np.testing.assert_array_equal(again.level(0), first.level(0))
    assert capsys.readouterr().err == ""


def test_the_check_of_a_large_changed_set_is_bounded(tmp_path, cache, monkeypatch, capsys):
    source = write_zip(tmp_path / "x.zip", pngs(40))
    pyramid = open_pyramid(source, progress=False)
    monkeypatch.setattr(pyramids, "_CHECKED_BYTES", 10 * (192 + 48))  # of ten images
    zeroed(pyramid.folder / "0008.npy", 128, 20 * 192)  # half of them: missed once in 2^10
    open_pyramid(source, progress=False)
    assert "has changed since it was made" in capsys.readouterr().err


def test_training_and_metrics_have_one_notion_of_content(tmp_path, cache):
    """A folder whose pixels changed with size and times of modification kept."""
    plain = {f"{n}.bmp": encoded(noise(8, 8, n), "BMP") for n in range(4)}
    source = write_folder(tmp_path / "x", plain)
    first = open_pyramid(source, progress=False)
    zeroed(source / "2.bmp", 60, 100)
    second = open_pyramid(source, progress=False)
    with open_images(source) as files:
        assert content_digest(files) == second.digest != first.digest
        for index in range(4):
            np.testing.assert_array_equal(second.level(0)[index], files.read(index))
    (source / "0.bmp").rename(source / "away")
    (source / "1.bmp").rename(source / "0.bmp")
    (source / "away").rename(source / "1.bmp")
    third = open_pyramid(source, progress=False)
    np.testing.assert_array_equal(third.level(0)[:2], second.level(0)[1::-1])
    (source / "3.bmp").unlink()
    (source / "3.bmp").symlink_to(write_folder(tmp_path, {"a": plain["0.bmp"]}) / "a")
    linked = open_pyramid(source, progress=False)
    (source / "3.bmp").unlink()
    (source / "3.bmp").symlink_to(write_folder(tmp_path, {"b": plain["1.bmp"]}) / "b")
    retargeted = open_pyramid(source, progress=False)
    assert len({each.digest for each in (first, second, third, linked, retargeted)}) == 5


def test_a_moved_folder_is_not_prepared_again(tmp_path, cache, monkeypatch):
    source = write_folder(tmp_path / "x", pngs(3))
    first = open_pyramid(source, progress=False)
    monkeypatch.setattr(pyramids, "_build", None)
    shutil.copytree(source, tmp_path / "copy")  # with other times
    for place in (source.rename(tmp_path / "y"), tmp_path / "copy"):
        assert open_pyramid(place, progress=False).folder == first.folder


def test_what_an_earlier_version_prepared_is_replaced_without_a_word(tmp_path, cache, capsys):
    source = write_folder(tmp_path / "x", pngs(3))
    with open_images(source) as files:
        name = hashlib.sha256(f"pyramid 1 {files.digest}".encode()).hexdigest()[:32]
    old = cache / "pyramids" / name
    old.mkdir(parents=True)
    np.save(old / "0008.npy", np.zeros((3, 3, 8, 8), np.uint8))
    pyramid = open_pyramid(source, progress=False)
    assert pyramid.level(0).any()
    assert [each.name for each in (cache / "pyramids").iterdir()] == [pyramid.folder.name]
    assert capsys.readouterr().err == ""


def test_another_process_gets_where_the_images_are_not_what_is_in_them(tmp_path):
    pyramid = open_pyramid(write_zip(tmp_path / "x.zip", pngs(20, 64)), progress=False)
    packed = pickle.dumps(pyramid)
    assert len(packed) < 10_000
    again = pickle.loads(packed)  # noqa: S301 (our own)
    np.testing.assert_array_equal(again.read(1, range(20)), pyramid.read(1, range(20)))
    assert isinstance(again.level(0), np.memmap)
