import io
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.data import main
from stylegan.datasets import Choices
from stylegan.datasets.prepare import export_ada, prepare
from stylegan.datasets.resize import area_mean, centre_square, halve, resized
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from tests.data.samples import (
    dataset_json,
    encoded,
    everything_below,
    noise,
    pngs,
    write_folder,
    write_zip,
)


def area_mean_by_overlaps(plane, resolution):
    """Mean over the area of each new pixel, by the overlap of every pair of pixels."""
    side = len(plane)
    step = side / resolution
    weights = np.zeros((resolution, side))
    for new in range(resolution):
        for old in range(side):
            overlap = min((new + 1) * step, old + 1) - max(new * step, old)
            weights[new, old] = max(0, overlap) / step
    return weights @ plane @ weights.T


@pytest.mark.parametrize(("side", "resolution"), [(16, 4), (9, 3), (10, 4), (37, 16), (9, 8)])
def test_box_is_the_exact_mean_over_the_area(side, resolution):
    image = noise(side, side).transpose(2, 0, 1)
    expected = np.stack([area_mean_by_overlaps(plane.astype(float), resolution) for plane in image])
    np.testing.assert_allclose(
        area_mean(image, resolution, resolution), expected, rtol=0, atol=1e-10
    )


def test_box_is_the_repeated_2x2_mean_for_powers_of_two():
    image = noise(64, 64).transpose(2, 0, 1)
    halved = halve(halve(image[None].astype(np.float32)))[0]
    np.testing.assert_array_equal(area_mean(image, 16, 16), halved)
    np.testing.assert_array_equal(resized(image, 16, 16, "box"), np.rint(halved))


def test_lanczos_keeps_a_constant_and_is_sharper_than_box():
    flat = np.full((3, 64, 64), 77, dtype=np.uint8)
    np.testing.assert_array_equal(resized(flat, 16, 16, "lanczos"), np.full((3, 16, 16), 77))
    ramp = np.abs(np.sin(np.arange(64) / 9)) * 200
    wavy = np.broadcast_to(ramp, (3, 64, 64)).astype(np.uint8)
    assert resized(wavy, 16, 16, "lanczos").std() > resized(wavy, 16, 16, "box").std()


@pytest.mark.parametrize(
    ("height", "width", "top", "left"), [(5, 9, 0, 2), (9, 5, 2, 0), (4, 7, 0, 1), (6, 6, 0, 0)]
)
def test_the_crop_is_square_and_centred(height, width, top, left):
    image = noise(height, width).transpose(2, 0, 1)
    side = min(height, width)
    expected = image[:, top : top + side, left : left + side]
    np.testing.assert_array_equal(centre_square(image), expected)


def mixed(path):
    """Images of several sizes, modes and formats; the shortest side is 20."""
    photo = Image.fromarray(noise(40, 30))
    return write_folder(
        path,
        {
            "a.png": encoded(photo),
            "b/c.jpg": encoded(photo.convert("CMYK").resize((33, 50)), "JPEG"),
            "b/d.gif": encoded(photo.convert("P"), "GIF"),
            "b/e.png": encoded(photo.convert("LA").resize((64, 20))),
            "f.tif": encoded(np.full((25, 25), 65535, dtype=np.uint16), "TIFF"),
        },
    )


@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_any_sizes_and_modes_become_one_size(tmp_path, out):
    made = prepare(mixed(tmp_path / "src"), tmp_path / out, progress=False)
    assert (made.count, made.resolution, made.classes) == (5, 16, ())
    with open_images(tmp_path / out) as files:
        assert [files.header(n) for n in range(5)] == [(16, 16, "RGB")] * 5
        assert files.labels is None
        crop = noise(40, 30)[5:35].transpose(2, 0, 1)
        np.testing.assert_array_equal(files.read(0), np.rint(area_mean(crop, 16, 16)))
        assert (files.read(4) == 255).all()


def test_images_that_fit_are_kept_as_they_are(tmp_path):
    source = write_zip(tmp_path / "src.zip", pngs(5))
    assert prepare(source, tmp_path / "out.zip", progress=False).resolution == 8
    with open_images(source) as before, open_images(tmp_path / "out.zip") as after:
        for index in range(5):
            np.testing.assert_array_equal(after.read(index), before.read(index))


def test_the_result_does_not_depend_on_the_workers(tmp_path):
    source = mixed(tmp_path / "src")
    for workers in (1, 4):
        prepare(
            source,
            tmp_path / f"{workers}.zip",
            Choices(resolution=8),
            workers=workers,
            progress=False,
        )
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "4.zip").read_bytes()


def test_labels_and_attributes_are_kept(tmp_path):
    labels = [[f"{n:03d}.png", [n, 1.5]] for n in range(3)]
    files = pngs(3) | {"dataset.json": dataset_json(labels, attributes=["a", "b"])}
    prepare(write_folder(tmp_path / "src", files), tmp_path / "out.zip", progress=False)
    with open_images(tmp_path / "out.zip") as made:
        assert made.labels.tolist() == [[0, 1.5], [1, 1.5], [2, 1.5]]
        assert made.attributes == ("a", "b")


def test_folders_become_classes_when_asked(tmp_path):
    image = encoded(noise(8, 8))
    names = ["dog/x.png", "cat/1.png", "cat/young/2.png", "ape/z.png"]
    source = write_folder(tmp_path / "src", dict.fromkeys(names, image))
    made = prepare(source, tmp_path / "out.zip", labels="folders", progress=False)
    assert made.classes == ("ape", "cat", "dog")
    with open_images(tmp_path / "out.zip") as files:
        assert files.labels.tolist() == [0, 1, 1, 2]
        assert files.classes == ("ape", "cat", "dog")
    again = prepare(tmp_path / "out.zip", tmp_path / "again", progress=False)
    assert again.classes == ("ape", "cat", "dog")
    export_ada(tmp_path / "again", tmp_path / "ada.zip", progress=False)
    assert (tmp_path / "ada.zip").read_bytes() == (tmp_path / "out.zip").read_bytes()
    (source / "stray.png").write_bytes(image)
    with pytest.raises(UserError, match=r"stray.png is in no sub-folder"):
        prepare(source, tmp_path / "b.zip", labels="folders", progress=False)


@pytest.mark.parametrize(
    ("mode", "colour", "ground"),
    [("RGB", "#102030", (16, 32, 48)), ("L", "white", (255,)), ("RGBA", "#01020304", (1, 2, 3, 4))],
)
def test_padding_keeps_the_whole_image(tmp_path, mode, colour, ground):
    wide = Image.fromarray(noise(16, 32)).convert(mode)
    tall = Image.fromarray(noise(64, 10)).convert(mode)
    if mode == "RGBA":
        wide.putalpha(Image.fromarray(noise(16, 32)[:, :, 0].clip(1)))
    files = {"a.png": encoded(wide), "b.png": encoded(tall)}
    source = write_folder(tmp_path / "src", files)
    out = tmp_path / "out.zip"
    options = ["--pad", colour, "--channels", mode]
    done = CliRunner().invoke(main, ["prepare", str(source), str(out), *options])
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(out) as archive:
        first, second = (
            np.asarray(Image.open(io.BytesIO(archive.read(f"00000/img0000000{k}.png"))))
            for k in range(2)
        )
    first, second = (image.reshape(32, 32, -1) for image in (first, second))
    np.testing.assert_array_equal(first[8:24], np.asarray(wide).reshape(16, 32, -1))
    for margin in (first[:8], first[24:], second[:, :13], second[:, 18:]):
        assert (margin == ground).all()
    if mode == "RGB":
        expected = area_mean(np.asarray(tall).transpose(2, 0, 1), 32, 5).transpose(1, 2, 0)
        np.testing.assert_array_equal(second[:, 13:18], np.rint(expected))


@pytest.mark.parametrize(("count", "shown"), [(3, [0, 1, 2]), (128, range(0, 128, 2))])
def test_a_sheet_shows_what_was_prepared(tmp_path, count, shown):
    source = write_folder(tmp_path / "src", pngs(count))
    words = ["prepare", str(source), str(tmp_path / "o.zip"), "--sheet", str(tmp_path / "s.png")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "s.png") as image:
        sheet = np.asarray(image)
    columns = min(count, 8)
    assert sheet.shape == (8 * -(-len(shown) // columns), 8 * columns, 3)
    for place, number in enumerate(shown):
        top, left = 8 * (place // columns), 8 * (place % columns)
        np.testing.assert_array_equal(sheet[top : top + 8, left : left + 8], noise(8, 8, number))
    done = CliRunner().invoke(main, [*words, "--dry-run"])
    assert (done.exit_code, "leave out --dry-run" in done.stderr) == (2, True)


def test_padding_goes_with_no_crop_and_takes_a_colour(tmp_path):
    source = write_folder(tmp_path / "src", pngs(2))
    for message, *options in (
        ("'whit' is no colour; expected a name", "--pad", "whit"),
        ("leave out --crop centre", "--pad", "white", "--crop", "centre"),
    ):
        words = ["prepare", str(source), str(tmp_path / "out.zip"), *options]
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, message in done.stderr) == (2, True), done.output


def test_what_is_not_downloaded_needs_no_leave(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["prepare", "src", "out.zip", "--download"])
    message = "--download is for torchvision:NAME:FOLDER: leave it out with src"
    assert (done.exit_code, message in " ".join(done.stderr.split())) == (2, True), done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["out.zip", "out"])
@pytest.mark.parametrize(
    ("extra", "resolution", "complaint"),
    [
        ({}, 16, r"000.png is only 8 pixels on its shorter side, below 16.*at most 8"),
        ({"small.png": encoded(noise(3, 50))}, None, "small.png is only 3 pixels"),
        ({"small.png": encoded(noise(7, 9))}, 8, "small.png is only 7 pixels.*at most 4"),
        ({"cut.png": encoded(noise(64, 64))[:3000]}, 8, "cut.png: damaged or truncated"),
        ({"text.png": b"text"}, 8, "text.png: not an image"),
    ],
)
def test_a_bad_image_is_named_and_nothing_is_left(tmp_path, out, extra, resolution, complaint):
    source = write_folder(tmp_path / "src", pngs(3) | extra)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError, match=complaint):
        prepare(source, target / out, Choices(resolution=resolution), progress=False)
    assert everything_below(target) == []


# --- one small image


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_image_that_lowers_the_resolution_of_all_is_named(tmp_path, dry):
    small = {"small.png": encoded(noise(48, 50))}
    source = write_folder(tmp_path / "src", pngs(6, 64) | small)
    done = CliRunner().invoke(main, ["prepare", str(source), str(tmp_path / "x.zip"), *dry])
    assert done.exit_code == 0
    assert done.stderr == (
        f"note: {source}: small.png is 50x48, so all images become 32x32; --resolution 64"
        " --skip-small leaves out the 1 of 7 that are smaller than 64\n"
    )
    advice = ["--resolution", "64", "--skip-small"]
    done = CliRunner().invoke(main, ["prepare", str(source), str(tmp_path / "y.zip"), *advice])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "6 images of 64x64" in done.stdout


def test_the_small_image_is_named_once_where_all_are_made_a_second_time(tmp_path):
    """Without the damaged one, in colour, all are grey."""
    grey = {f"{n}.png": encoded(noise(64, 64, n)[:, :, 0]) for n in range(3)}
    small = {"small.png": encoded(noise(48, 50)[:, :, 0]), "cut.png": encoded(noise(64, 64))[:999]}
    source = write_folder(tmp_path / "src", grey | small)
    words = ["prepare", str(source), str(tmp_path / "x.zip"), "--skip-damaged"]
    done = CliRunner().invoke(main, words)
    assert "channels: L, of 4 grey" in done.stdout
    assert done.stderr.count("small.png is 50x48") == 1


@pytest.mark.parametrize("sides", [[64] * 5, [64, 70, 127], [64, 64, 64, 300], [64, 80, 130, 140]])
def test_sizes_that_most_images_share_need_no_note(tmp_path, sides):
    files = {f"{n}.png": encoded(noise(side, side)) for n, side in enumerate(sides)}
    source = write_folder(tmp_path / "src", files)
    done = CliRunner().invoke(main, ["prepare", str(source), str(tmp_path / "x.zip")])
    assert ("so all images become" in done.stderr) == (sorted(sides)[len(sides) // 2] >= 128)
