"""What a program hands in: odd values are noted, doubtful batches and bad arguments refused."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.images.memory import MemoryImages

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


def smooth(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8).repeat(4, 2).repeat(4, 3)


FAKES, REALS = smooth(8, 1), smooth(9, 2)
UNIT = FAKES / np.float32(255)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize(
    ("images", "value_range", "note"),
    [
        (UNIT, (0, 1), ""),
        (UNIT * 2 - 1, (-1, 1), ""),
        (UNIT * 1.2 - 0.1, (0, 1), ""),  # an overshoot
        (UNIT * 255, (0, 255), ""),
        (FAKES, None, ""),
        (UNIT, (-1, 1), "none below 0"),
        (UNIT, (0, 255), "are little of range=(0, 255)"),
        (UNIT - 0.5, (0, 1), "lie well outside of range=(0, 1)"),
        (UNIT.astype(np.uint8), None, "no byte is above 1"),
    ],
)
def test_values_that_are_hardly_of_their_range_are_noted(images, value_range, note):
    of_function = se.fid(images, REALS, range=value_range, **LITE)
    streamed = se.FID(real=REALS, range=value_range, **LITE)
    streamed.update(images)
    of_reals = se.fid(REALS, images, real_range=value_range, **LITE)
    for row in (of_function, streamed.compute(), of_reals):
        assert note in row.note
        assert bool(note) == ("range" in row.note)


def test_values_of_a_function_are_judged_by_all_that_it_drew():
    def dark(n, seed):
        return UNIT[:n] if seed else FAKES[:n] / np.float32(255) * 2 - 1

    row = se.fid(lambda n, seed: UNIT[:n], REALS, num=8, range=(-1, 1), **LITE)
    assert "none below 0" in row.note
    assert se.fid(dark, REALS, num=8, range=(-1, 1), **LITE).note.count("below 0") == 0


def test_a_pickled_metric_of_an_earlier_version_goes_on():
    metric = se.FID(real=REALS, **LITE)
    metric.update(FAKES)
    state = {key: value for key, value in metric.__getstate__().items() if key != "_seen"}
    older = object.__new__(se.FID)
    older.__setstate__({key: value for key, value in state.items() if key != "_place"})
    older.update(FAKES[:1])
    assert older.compute().num == 9


def test_alpha_sizes_and_foreign_statistics_are_noted_however_images_come(tmp_path):
    rgba = np.concatenate([FAKES, FAKES[:, :1]], axis=1)
    large = REALS.repeat(2, 2).repeat(2, 3)
    moments = se.statistics(REALS, **LITE)
    np.savez(tmp_path / "foreign.npz", mu=moments.mean, sigma=moments.cov)
    for fakes, reals, note in (
        (rgba, REALS, "alpha is put over white"),
        (FAKES, large, "fakes are 16x16, reals are 32x32"),
        (FAKES, tmp_path / "foreign.npz", "does not say of which network"),
    ):
        expected = se.fid(fakes, reals, **LITE)
        streamed = se.FID(real=reals, **LITE)
        streamed.update(fakes)
        assert note in expected.note
        assert streamed.compute().note == expected.note
    halves = [se.FID(**LITE) for _ in range(2)]
    halves[0].update(FAKES)
    halves[1].update(large, real=True)
    halves[0].load_state_dict(halves[1].state_dict(), add=True)
    assert "fakes are 16x16, reals are 32x32" in halves[0].compute().note


def test_a_streamed_row_is_comparable_with_that_of_the_function(tmp_path):
    (tmp_path / "reals").mkdir()
    for number, pixels in enumerate(REALS):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / f"reals/{number}.png")
    for mirror in ("no", "yes"):
        expected = se.fid(FAKES, tmp_path / "reals", mirror=mirror, **LITE)
        streamed = se.FID(real=tmp_path / "reals", mirror=mirror, **LITE)
        streamed.update(FAKES)
        row = streamed.compute()
        assert row.protocol == expected.protocol
        assert row.protocol["mirror"] == mirror
        assert row.value == pytest.approx(expected.value, rel=1e-9)


def test_settings_that_a_streamed_metric_does_not_follow_are_refused():
    stats = se.statistics(REALS, **LITE)
    for settings, message in (
        ({"psi": 0.7}, "leave out psi"),
        ({"mixing": 2}, "leave out mixing"),
        ({"generator_precision": "bf16"}, "leave out generator_precision"),
        ({"floor": True}, "floor compares halves of one set"),
        ({"reals": "first"}, "leave it out"),
        ({"reals": "random"}, "leave it out"),
        ({"real": None, "mirror": "yes"}, "mirror flips the images of real"),
        ({"real": stats, "mirror": "yes"}, "leave out mirror"),
    ):
        with pytest.raises(se.UserError, match=message):
            se.FID(**{"real": REALS, **LITE, **settings})


def test_of_parts_that_are_unlike_the_first_is_taken_or_none():
    tensor = torch.from_numpy(FAKES)
    pairs = [(image, image[:1]) for image in tensor]
    assert len(MemoryImages(pairs, "x")) == 8
    assert (
        len(MemoryImages([[a, b] for a, b in zip(tensor[::2], tensor[1::2], strict=True)], "x"))
        == 8
    )
    pil = [Image.fromarray(image.transpose(1, 2, 0)) for image in FAKES]
    assert len(MemoryImages([(image, image.convert("P")) for image in pil], "x")) == 8
    grey = [image.convert("L") for image in pil]
    assert len(MemoryImages([[pil[0], grey[1], pil[2]], [pil[3], pil[4]]], "x")) == 5
    assert len(MemoryImages(pd.Series([*pil[:3], grey[3]]), "x")) == 4
    assert len(MemoryImages([tensor[0], tensor[1, :1]], "x")) == 2  # a set of unlike images
    for doubtful in (
        [[tensor[0], tensor[0, :1]]],
        [(tensor[:2], tensor[:2, :1], tensor[:2])],
        [[pil[0], grey[0]]],
        [(pil[0], grey[0])],
        [(pil[0], grey[0], grey[1])],
    ):
        with pytest.raises(se.UserError, match=r"x: which of .* are images"):
            MemoryImages(doubtful, "x")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_bad_arguments_are_one_line(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
        path
    )
    path.write_bytes(path.read_bytes()[:2000])

    def unlike(n, seed):
        return [np.zeros((3, 16 + number % 2, 16), np.uint8) for number in range(n)]

    cut = Image.open(path)
    meta = torch.empty((2, 3, 8, 8), device="meta", dtype=torch.uint8)
    for call, message in (
        (lambda: se.fid(UNIT, REALS, range="0,1", **LITE), "range must be black and white"),
        (lambda: se.fid(UNIT, REALS, range=(0, 1, 2), **LITE), "range must be black and white"),
        (lambda: se.fid(UNIT, REALS, range=(0, np.nan), **LITE), "range must be black and white"),
        (lambda: se.fid(UNIT, REALS, range=(1, 0), **LITE), "range must be black and white"),
        (lambda: se.FID(real=REALS, range=(0,), **LITE), "range must be black and white"),
        (lambda: se.fid(unlike, REALS, num=8, **LITE), "draws images of unlike sizes"),
        (lambda: se.fid([cut, cut], REALS, **LITE), "an image that cannot be read"),
        (lambda: se.fid(meta, REALS, **LITE), "a tensor of the kind meta"),
        (lambda: se.fid(torch.zeros(2, 3, 8, 8).to_sparse(), REALS, **LITE), "the kind sparse_coo"),
        (
            lambda: se.fid(np.ma.masked_equal(FAKES, 3), REALS, **LITE),
            r"a masked array.*filled\(25",
        ),
        (
            lambda: se.fid(torch.nested.nested_tensor([torch.tensor(FAKES[0])] * 2), REALS, **LITE),
            "a tensor of the kind nested",
        ),
        (lambda: se.fid(FAKES, REALS, weights=3, **LITE), "weights must be a file"),
        (lambda: se.plan_samples([], error="0.1"), "error and difference are above 0"),
        (lambda: se.plan_samples([], error=0.1), "no result has a standard error"),
        (lambda: se.frame(3), "frame: got int; expected results"),
        (lambda: se.FID(**LITE).merge_state(3), "merge_state: got int"),
        (lambda: se.FID(**LITE).load_state_dict({}), "no state of `state_dict`"),
        (lambda: se.fid(FAKES, REALS, floor=True, **LITE), "let fake be None"),
    ):
        with pytest.raises(se.UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    cut.close()


def test_a_folder_named_as_a_bundled_network_is_not_passed_over(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    for number, pixels in enumerate(FAKES):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / f"demo/{number}.png")
    monkeypatch.chdir(tmp_path)
    expected = se.fid(FAKES, REALS, **LITE).value
    for name in ("./demo", tmp_path / "demo"):
        assert se.fid(name, REALS, **LITE).value == pytest.approx(expected, rel=1e-6)
    with pytest.raises(se.UserError, match="'demo' is a bundled network and a folder here"):
        se.fid("demo", REALS, **LITE)


def test_statistics_of_an_unknown_number_of_images_ask_for_it(tmp_path):
    fakes, reals = (se.statistics(images, **LITE) for images in (FAKES, REALS))
    np.savez(tmp_path / "foreign.npz", mu=fakes.mean, sigma=fakes.cov)
    pickled = tmp_path / "edm2.pkl"
    pickled.write_bytes(pickle.dumps({"fid": {"mu": fakes.mean, "sigma": fakes.cov}}))
    reals.save(tmp_path / "reals.npz")
    known = se.fid(fakes, reals, **LITE)
    for foreign in (tmp_path / "foreign.npz", pickled):
        with pytest.raises(se.UserError, match="how many images its statistics are of: give num"):
            se.fid(foreign, reals, **LITE)
        with pytest.raises(se.UserError, match="how many images its statistics are of"):
            se.evaluate(foreign, reals, ["fid"], **LITE)
        row = se.fid(foreign, reals, num=8, **LITE)
        assert (row.num, row.value) == (8, pytest.approx(known.value))
        assert "does not say how many images its statistics are of: 8 by --num" in row.note
    with pytest.raises(se.UserError, match="statistics of 8 images, num asks for 5: leave out num"):
        se.fid(fakes, reals, num=5, **LITE)
    for words, message in (
        (["--reals", "first"], "leave out --reals first"),
        (["--mirror", "yes"], "leave out --mirror yes"),
    ):
        args = ["fid", "--images", tmp_path / "foreign.npz", "--data", tmp_path / "reals.npz"]
        done = CliRunner().invoke(
            main, [*map(str, args), "-n", "8", "--features", "efficientnet-lite0", *words]
        )
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert message in done.stderr


def test_a_function_without_use_for_its_seed_is_noted():
    state = np.random.default_rng(0)

    def drawn(rng, n):
        return rng.integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)

    for function, note in (
        (lambda n, seed: drawn(np.random.default_rng(seed), n), ""),
        (lambda n, seed: FAKES[:n], "draws the same images for seeds 0 and 1"),
        (lambda n, seed: drawn(state, n), "draws other images for an equal seed"),
    ):
        row = se.fid(function, REALS, num=8, **LITE)
        assert note in row.note
        assert bool(note) == ("draws" in row.note)


def test_labels_beside_the_images_of_a_function_are_no_images():
    labels = np.arange(8)
    expected = se.fid(lambda n, seed: FAKES[:n], REALS, num=8, **LITE).value
    for made in (lambda n: (FAKES[:n], labels[:n]), lambda n: [torch.tensor(FAKES[:n]), None]):
        row = se.fid(lambda n, seed, made=made: made(n), REALS, num=8, **LITE)
        assert row.value == expected
    two = [FAKES[:1], FAKES[1:2]]
    assert len(MemoryImages(tuple(two), "x")) == 2
    pil = [Image.fromarray(image.transpose(1, 2, 0)) for image in FAKES]
    with pytest.raises(se.UserError, match=r"shape \[2\]; .*: hand in images alone, without label"):
        se.fid(lambda n, seed: (pil[:n], labels[:n]), REALS, num=8, **LITE)


def test_a_string_is_the_name_of_one_metric():
    options = {"num": 8, **LITE}
    (row,) = se.evaluate(FAKES, REALS, "fid", **options)
    assert row.value == se.evaluate(FAKES, REALS, ["fid"], **options)[0].value
    (again,) = se.evaluate(FAKES, REALS, (name for name in ["fid"]), **options)
    assert again.value == row.value
    for odd in ([1], 1, [se.fid]):
        with pytest.raises(se.UserError, match="metrics must be names"):
            se.evaluate(FAKES, REALS, odd, **options)


def test_images_that_exif_turns_are_noted_in_memory():
    images = [Image.fromarray(image.transpose(1, 2, 0)) for image in FAKES]
    plain = se.fid(images, REALS, **LITE)
    images[0].getexif()[274] = 6
    row = se.fid(images, REALS, **LITE)
    assert (row.value, "EXIF" in plain.note) == (plain.value, False)
    assert "EXIF says that 1 images are to be turned, as files are" in row.note


def test_a_masked_array_that_masks_nothing_is_an_array():
    assert len(MemoryImages(np.ma.masked_array(FAKES), "x")) == 8
    assert len(MemoryImages(UNIT, "x", (False, True))) == 8


def test_a_batch_with_labels_is_its_images():
    metric = se.FID(**LITE)
    metric.update([torch.tensor(FAKES), torch.arange(8)])
    assert metric.state_dict()["fake"].shape == (8, 1280)
    assert len(MemoryImages((FAKES, np.arange(8)), "x")) == 8
    with pytest.raises(se.UserError, match=r"fake is \[3, 7\], expected \[N, 1280\]"):
        metric.load_state_dict({**metric.state_dict(), "fake": np.zeros((3, 7))})


def test_real_images_among_generated_ones_in_memory_are_noted():
    mixed = np.concatenate([FAKES, REALS[:2]])
    assert "2 of 10 images of" in se.fid(mixed, REALS, **LITE).note
    assert "that were looked up" not in se.fid(FAKES, REALS, **LITE).note
