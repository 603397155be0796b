from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals, Slice, image_indices, mirror_flags, process_reals
from tests.data.samples import dataset_json, pngs, write_zip

GOLDEN = Path(__file__).parents[1] / "golden" / "process_reals.npz"
seeds = st.integers(0, 2**64 - 1)


# --- the stream


@given(size=st.integers(1, 50), epoch=st.integers(0, 10**6), seed=seeds)
def test_every_epoch_is_a_permutation(size, epoch, seed):
    order = image_indices(epoch * size, size, size, seed)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(size))


@given(
    size=st.integers(1, 30),
    start=st.integers(0, 10**9),
    counts=st.lists(st.integers(0, 40), max_size=5),
    seed=seeds,
)
def test_the_order_does_not_depend_on_how_it_is_split(size, start, counts, seed):
    whole = image_indices(start, sum(counts), size, seed)
    ends = start + np.cumsum([0, *counts])
    parts = [image_indices(int(s), n, size, seed) for s, n in zip(ends[:-1], counts, strict=True)]
    np.testing.assert_array_equal(np.concatenate([*parts, np.empty(0, np.int64)]), whole)


@given(start=st.integers(0, 10**12), counts=st.lists(st.integers(0, 700), max_size=5), seed=seeds)
def test_mirroring_does_not_depend_on_how_it_is_split(start, counts, seed):
    whole = mirror_flags(start, sum(counts), seed)
    assert whole.dtype == bool
    ends = start + np.cumsum([0, *counts])
    parts = [mirror_flags(int(s), n, seed) for s, n in zip(ends[:-1], counts, strict=True)]
    np.testing.assert_array_equal(np.concatenate([*parts, np.empty(0, bool)]), whole)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [tuple(image_indices(e * 100, 100, 100, s)) for e in range(5) for s in range(5)]
    assert len(set(orders)) == 25


def test_half_of_the_images_are_mirrored_independently():
    flags = mirror_flags(12345, 10**6, 0)
    assert abs(flags.mean() - 0.5) < 5 * 0.5 / 1000
    for lag in (1, 64, 256):
        assert abs(np.mean(flags[lag:] == flags[:-lag]) - 0.5) < 5 * 0.5 / 1000
    assert abs(np.mean(flags == mirror_flags(12345, 10**6, 1)) - 0.5) < 5 * 0.5 / 1000


# --- the images


@pytest.mark.parametrize("lod", ["0", "0.25", "0.5", "1", "1.75", "2"])
def test_process_reals_gives_the_official_numbers(lod):
    golden = np.load(GOLDEN)
    images = torch.from_numpy(golden[f"process_reals_in_lod_{lod}"])
    found = process_reals(images, fade=float(lod) % 1 or None)
    assert found.shape == images.shape
    repeats = 32 // found.shape[2]
    full = found.repeat_interleave(repeats, dim=2).repeat_interleave(repeats, dim=3)
    np.testing.assert_allclose(full, golden[f"process_reals_out_lod_{lod}"], rtol=0, atol=1e-6)


def test_only_the_flagged_images_are_mirrored():
    images = torch.arange(3 * 3 * 4 * 4, dtype=torch.uint8).reshape(3, 3, 4, 4)
    mirror = torch.tensor([True, False, True])
    found = process_reals(images, fade=0.5, mirror=mirror)
    plain = process_reals(images, fade=0.5)
    torch.testing.assert_close(found[1], plain[1])
    torch.testing.assert_close(found[[0, 2]], plain[[0, 2]].flip(3))
    assert not torch.allclose(found[0], plain[0])


def test_the_range_is_minus_one_to_one():
    images = torch.tensor([0, 255, 0, 255], dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert process_reals(images).flatten().tolist() == [-1, 1, -1, 1]


def read(reals, start, count, lod=0, rows=None):
    rows = np.arange(count) if rows is None else rows
    return reals[Slice(start, count, rows, int(lod))]


def batch_of(reals, start, count, lod=0, rows=None):
    raw = read(reals, start, count, lod, rows)
    return process_reals(raw.images, fade=lod % 1 or None, mirror=raw.mirror)


@pytest.fixture
def source(tmp_path):
    labels = [[f"{n:03d}.png", n % 3] for n in range(10)]
    return write_zip(tmp_path / "x.zip", pngs(10, 16) | {"dataset.json": dataset_json(labels)})


@pytest.mark.parametrize("lod", [0, 0.5, 1, 1.25, 2])
def test_a_batch_joins_order_mirroring_and_level(source, lod):
    pyramid = open_pyramid(source, progress=False)
    batch = batch_of(Reals(pyramid, seed=4, mirror=True), 7, 8, lod)
    indices, flags = image_indices(7, 8, 10, 4), mirror_flags(7, 8, 4)
    assert 0 < flags.sum() < 8
    level = np.stack([pyramid.level(int(lod))[k] for k in indices])
    level[flags] = level[flags][..., ::-1]
    torch.testing.assert_close(batch, process_reals(torch.from_numpy(level), fade=lod % 1 or None))


def test_any_split_of_the_stream_gives_the_same_images_and_labels(source):
    reals = Reals(open_pyramid(source, progress=False), seed=0, mirror=True, labelled=True)
    whole = batch_of(reals, 3, 25, lod=0.5)
    assert whole.dtype == torch.float32
    parts = [batch_of(reals, 3 + n, 5, lod=0.5) for n in range(0, 25, 5)]
    assert torch.equal(torch.cat(parts), whole)
    labels = [read(reals, 3 + n, 5).labels for n in range(0, 25, 5)]
    assert torch.equal(torch.cat(labels), read(reals, 3, 25).labels)


def test_places_of_a_minibatch_are_what_the_whole_minibatch_has_there(source):
    reals = Reals(open_pyramid(source, progress=False), seed=0, mirror=True, labelled=True)
    whole = read(reals, 8, 12)
    rows = np.array([1, 4, 7, 2, 11])
    for part, all_of_it in zip(read(reals, 8, 12, rows=rows), whole, strict=True):
        assert torch.equal(part, all_of_it[rows])


def test_networks_smaller_than_the_images_read_coarser_levels(source):
    pyramid = open_pyramid(source, progress=False)
    small = Reals(pyramid, seed=0, mirror=True, offset=1)
    full = Reals(pyramid, seed=0, mirror=True)
    assert torch.equal(batch_of(small, 0, 9, lod=0.25), batch_of(full, 0, 9, lod=1.25))


def test_other_labels_are_those_of_random_images(source):
    reals = Reals(open_pyramid(source, progress=False), seed=0, mirror=False, labelled=True)
    drawn = torch.cat([read(reals, start, 100).other_labels for start in range(0, 3000, 100)])
    assert torch.equal(drawn.sum(1), torch.ones(3000))
    shares = torch.tensor([4, 3, 3]) / 10  # classes of images 0 to 9
    assert (drawn.mean(0) - shares).abs().max() < 5 * 0.5 / 3000**0.5
    assert not torch.equal(read(reals, 0, 100).other_labels, read(reals, 0, 100).labels)


def test_without_mirroring_no_image_is_turned(source):
    pyramid = open_pyramid(source, progress=False)
    batch = batch_of(Reals(pyramid, seed=0, mirror=False), 0, 10)
    images = torch.from_numpy(np.array(pyramid.level(0)[image_indices(0, 10, 10, 0)]))
    assert torch.equal(batch, process_reals(images))


def test_classes_are_one_hot_and_go_with_their_images(source):
    reals = Reals(open_pyramid(source, progress=False), seed=0, mirror=False, labelled=True)
    assert (len(reals), reals.label_size) == (10, 3)
    labels = read(reals, 5, 12).labels
    assert labels.dtype == torch.float32
    assert torch.equal(labels.sum(1), torch.ones(12))
    np.testing.assert_array_equal(labels.argmax(1), image_indices(5, 12, 10, 0) % 3)


def test_attributes_are_given_as_they_are_and_no_labels_as_nothing(tmp_path):
    plain = Reals(
        open_pyramid(write_zip(tmp_path / "a.zip", pngs(3)), progress=False),
        seed=0,
        mirror=False,
        labelled=True,
    )
    assert plain.label_size == 0
    assert read(plain, 0, 4).labels.shape == (4, 0)
    content = dataset_json([[f"{n:03d}.png", [n, -1]] for n in range(3)])
    source = write_zip(tmp_path / "b.zip", pngs(3) | {"dataset.json": content})
    reals = Reals(open_pyramid(source, progress=False), seed=0, mirror=False, labelled=True)
    assert reals.label_size == 2
    indices = image_indices(0, 5, 3, 0)
    np.testing.assert_array_equal(read(reals, 0, 5).labels[:, 0], indices)
