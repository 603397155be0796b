"""Grey images and images with alpha: as they are read, prepared, and laid out for training."""

import io
import json
import zipfile

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.data import main
from stylegan.datasets import Choices
from stylegan.datasets.prepare import export_ada, prepare
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.resize import resized
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import decode, in_channels, read_header
from stylegan_eval.images.files import open_images
from stylegan_eval.images.source import read_as
from tests.data.samples import dataset_json, encoded, noise, write_folder, write_zip


def rgba(seed, size=16):
    """uint8 [size, size, 4]; the upper half is transparent in part."""
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 4), dtype=np.uint8)
    image[size // 2 :, :, 3] = 255
    image[0, 0] = 9, 8, 7, 0
    return image


def palette(transparent):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([9, 8, 7, 60, 50, 40, 0, 0, 255])
    return encoded(image, **({"transparency": 1} if transparent else {}))


GREY = noise(16, 16)[:, :, 0]
LA = np.stack([GREY, noise(16, 16, 1)[:, :, 0]], axis=2)
KINDS = {
    "grey": (encoded(GREY), 1),
    "16 bit": (encoded(GREY.astype(np.uint16) * 257), 1),
    "1 bit": (encoded(Image.fromarray(GREY).convert("1")), 1),
    "grey and alpha": (encoded(Image.fromarray(LA, "LA")), 4),
    "grey, one of them clear": (encoded(GREY, transparency=3), 4),
    "RGB": (encoded(noise(16, 16)), 3),
    "RGBA": (encoded(rgba(0)), 4),
    "palette": (palette(transparent=False), 3),
    "clear palette": (palette(transparent=True), 4),
    "CMYK": (encoded(Image.new("CMYK", (4, 4)), "JPEG"), 3),
    "LAB": (encoded(Image.new("LAB", (4, 4)), "TIFF"), 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_headers_tell_grey_colour_and_alpha_apart(kind):
    file, channels = KINDS[kind]
    assert read_header(io.BytesIO(file), "x").channels == channels


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_in_every_number_of_channels(kind):
    file, _ = KINDS[kind]
    rgb = decode(file, "x")
    grey, with_alpha = decode(file, "x", 1), decode(file, "x", 4)
    luma = Image.fromarray(rgb.transpose(1, 2, 0)).convert("L")
    np.testing.assert_array_equal(grey[0], luma)
    np.testing.assert_array_equal(in_channels(with_alpha, 3), rgb)
    assert (with_alpha[:3, with_alpha[3] == 0] == 255).all()
    for image, channels in ((grey, 1), (rgb, 3), (with_alpha, 4)):
        assert image.shape == (channels, *rgb.shape[1:])
        assert image.flags.c_contiguous


def test_grey_comes_through_as_it_is_and_16_bits_become_8():
    for kind in ("grey", "16 bit"):
        np.testing.assert_array_equal(decode(KINDS[kind][0], "x", 1)[0], GREY)


@pytest.mark.parametrize("resample", ["box", "lanczos"])
def test_shrinking_takes_no_colour_from_what_is_transparent(resample):
    image = np.zeros((4, 8, 8), np.uint8)
    image[:, :, :3] = np.array([200, 100, 50, 255])[:, None, None]  # seen, beside black
    image[3, :, 4:] = 0
    small = resized(image, 4, 4, resample)
    seen = small[3] > 8
    assert seen[:, :2].all()
    np.testing.assert_allclose(small[:3, seen].T, [[200, 100, 50]] * seen.sum(), atol=8)
    assert (small[:3, small[3] == 0] == 255).all()
    opaque = np.concatenate([image[:3], np.full((1, 8, 8), 255, np.uint8)])
    np.testing.assert_array_equal(
        resized(opaque, 4, 4, resample)[:3], resized(image[:3], 4, 4, resample)
    )


SETS = {
    "L": [GREY, GREY.astype(np.uint16) * 257],
    "RGBA": [rgba(0), Image.fromarray(LA, "LA")],
    "RGB": [noise(16, 16), GREY, rgba(0)],  # mixed
    "opaque": [np.dstack([noise(16, 16, n), np.full((16, 16), 255)]).astype("u1") for n in (0, 1)],
}


def written(path, kind):
    return write_folder(path, {f"{n}.png": encoded(image) for n, image in enumerate(SETS[kind])})


def test_transparent_grey_of_16_bits_is_told_to_become_8(tmp_path):
    grey = io.BytesIO()
    Image.fromarray(GREY.astype(np.uint16) * 257).save(
        grey, "PNG", transparency=int(GREY[0, 0]) * 257
    )
    source = write_folder(tmp_path / "x", {"0.png": grey.getvalue()})
    done = CliRunner().invoke(main, ["prepare", str(source), "--dry-run"])
    assert "channels: RGBA, of 1 with alpha; 16 bits become 8; " in done.output, done.output


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("L", "channels: L, of 2 grey; 16 bits become 8\n"),
        ("RGBA", "channels: RGBA, of 2 with alpha"),
        ("RGB", "channels: RGB, of 1 grey, 1 in colour, 1 with alpha; grey becomes three equal"),
        ("opaque", "channels: RGB, of 2 with alpha; alpha is put over white\n"),
    ],
)
def test_auto_is_what_all_images_have_in_common_and_is_told(tmp_path, kind, line):
    source, out = written(tmp_path / "x", kind), tmp_path / "out.zip"
    mode = "RGB" if kind == "opaque" else kind
    for more in ([str(out)], ["--dry-run"]):
        done = CliRunner().invoke(main, ["prepare", str(source), *more])
        assert done.exit_code == 0, done.output
        assert f"  {line}" in done.output
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    with open_images(source) as before, open_images(out) as after:
        assert after.channels == channels
        for index in range(len(before)):
            assert after.header(index).mode == mode
            expected = read_as(before, index, channels)
            np.testing.assert_array_equal(read_as(after, index, channels), expected)
            np.testing.assert_array_equal(after.read(index), before.read(index))  # for metrics
    described = CliRunner().invoke(main, ["inspect", str(out)]).output
    names = {"L": "channels: 1, grey", "RGBA": "channels: 4, RGBA"}
    assert (names.get(mode) or "modes") in described
    assert ("channels" in described) == (mode != "RGB")


@pytest.mark.parametrize("wanted", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["L", "RGB", "RGBA"])
def test_channels_can_be_asked_for_and_are_what_is_trained_on(tmp_path, kind, wanted):
    source = written(tmp_path / "x", kind)
    made = prepare(source, tmp_path / "out.zip", Choices(channels=wanted, resolution=8))
    assert made.channels.startswith(f"channels: {wanted}, of")
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[wanted]
    with open_images(source) as files:
        images = [resized(read_as(files, n, channels), 8, 8, "box") for n in range(len(files))]
    pyramid = open_pyramid(tmp_path / "out.zip", progress=False)
    assert (pyramid.channels, pyramid.resolution) == (channels, 8)
    np.testing.assert_array_equal(pyramid.read(0, range(len(images))), images)
    again = open_pyramid(tmp_path / "out.zip", progress=False)
    assert again.folder == pyramid.folder


@pytest.mark.parametrize(
    ("kind", "named"), [("L", "are grey, and are"), ("RGBA", "have alpha, put over white, and are")]
)
def test_sets_that_say_nothing_are_trained_on_as_rgb_and_told_what_helps(
    tmp_path, capsys, kind, named
):
    source = written(tmp_path / "x", kind)
    with click.Context(click.Command("train")):  # notes are a command's
        assert open_pyramid(source, progress=False).channels == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {source}: all images {named} trained on as RGB; for networks of")
    words = line.rpartition("stylegan-data ")[2].split()
    words[words.index("OUT.zip")] = str(tmp_path / "out.zip")
    assert CliRunner().invoke(main, words).exit_code == 0
    assert open_pyramid(tmp_path / "out.zip", progress=False).channels == (1 if kind == "L" else 4)
    with click.Context(click.Command("train")):
        open_pyramid(source, progress=False)
    assert capsys.readouterr().err == ""  # the first time alone


def test_archives_of_rgb_are_what_they_were(tmp_path):
    write_folder(tmp_path / "x", {"a.png": encoded(noise(8, 8))})
    made = prepare(tmp_path / "x", tmp_path / "out.zip")
    assert made.channels == ""
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert json.loads(file.read("dataset.json")) == {"labels": None, "attributes": []}


def test_export_keeps_grey_byte_for_byte_and_refuses_alpha_which_others_do_not_read(tmp_path):
    for kind in ("L", "RGBA"):
        prepare(written(tmp_path / kind, kind), tmp_path / f"{kind}.zip")
    export_ada(tmp_path / "L.zip", out := tmp_path / "ada.zip", progress=False)
    assert out.read_bytes() == (tmp_path / "L.zip").read_bytes()
    with pytest.raises(UserError, match=r"holds RGBA, which stylegan2-ada and .* --channels RGB$"):
        export_ada(tmp_path / "RGBA.zip", tmp_path / "no.zip", progress=False)
    prepare(tmp_path / "RGBA.zip", tmp_path / "RGB.zip", Choices(channels="RGB"))
    export_ada(tmp_path / "RGB.zip", tmp_path / "yes.zip", progress=False)


def test_arrays_of_four_channels_keep_alpha_when_they_are_prepared(tmp_path):
    images = np.stack([rgba(0), rgba(1)])
    np.save(tmp_path / "x.npy", images)
    prepare(tmp_path / "x.npy", tmp_path / "out.zip")
    with open_images(tmp_path / "x.npy") as array, open_images(tmp_path / "out.zip") as files:
        assert files.channels == 4
        for index, image in enumerate(images):
            expected = decode(encoded(image), "x", 4)
            np.testing.assert_array_equal(read_as(files, index, 4), expected)
            np.testing.assert_array_equal(array.read(index), decode(encoded(image), "x"))


@pytest.mark.parametrize("channels", [2, "RGBA", True, None])
def test_other_numbers_of_channels_are_no_set(tmp_path, channels):
    files = {"a.png": encoded(GREY), "dataset.json": dataset_json(None, channels=channels)}
    source = write_zip(tmp_path / "x.zip", files)
    with pytest.raises(UserError, match='"channels" must be 1, 3 or 4, not'):
        open_images(source)
