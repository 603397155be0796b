import io
import os
import struct
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import decode
from stylegan_eval.images.files import open_images, read_batches
from stylegan_eval.images.memory import MemoryImages
from tests.data.samples import (
    channels_first,
    dataset_json,
    encoded,
    noise,
    png_chunks,
    pngs,
    write_folder,
    write_zip,
)


def png_16_bit_rgb(values, *chunks):
    """uint16 [H, W, 3] as PNG."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    end = (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return png_chunks((b"IHDR", header), *chunks, *end)


def png_grey(values, bits, clear):
    """Whole numbers [W] as a PNG of one row, of which those that are `clear` are transparent."""
    row = "".join(f"{value:0{bits}b}" for value in values)
    row = row.ljust(-(-len(row) // 8) * 8, "0")
    packed = zlib.compress(int(f"0{row}", 2).to_bytes(1 + len(row) // 8, "big"))
    return png_chunks(
        (b"IHDR", struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", clear)),
        (b"IDAT", packed),
        (b"IEND", b""),
    )


# --- which files, in which order


def test_folder_and_zip_list_the_same_names_sorted(tmp_path):
    image = encoded(noise(4, 4))
    images = ["b.PNG", "a/z.jpg", "a.png", "a/b/c.JPeG", "B.webp"]
    others = [".hidden.png", ".git/x.png", "__MACOSX/._a.png", "readme.txt", "a/notes.json"]
    files = dict.fromkeys(images + others, image)
    expected = ("B.webp", "a.png", "a/b/c.JPeG", "a/z.jpg", "b.PNG")
    assert open_images(write_folder(tmp_path / "folder", files)).names == expected
    with open_images(write_zip(tmp_path / "x.zip", files)) as found:
        assert found.names == expected
        assert len(found) == 5


def test_linked_folders_are_read_and_loops_end(tmp_path):
    write_folder(tmp_path / "elsewhere", pngs(2))
    folder = write_folder(tmp_path / "set", {"own.png": encoded(noise(4, 4))})
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    assert open_images(folder).names == ("link/000.png", "link/001.png", "own.png")


def test_a_folder_of_several_names_is_read_under_its_own_else_the_first(tmp_path):
    """In whatever order the file system lists them."""
    write_folder(tmp_path / "elsewhere", pngs(1))
    folder = tmp_path / "set"
    write_folder(folder / "m", pngs(1))
    for name, target in [("a", folder / "m"), ("q", tmp_path / "elsewhere"), ("z", folder / "m"),
                         ("b", tmp_path / "elsewhere"), ("c", tmp_path / "elsewhere")]:  # fmt: skip
        (folder / name).symlink_to(target)
    assert open_images(folder).names == ("b/000.png", "m/000.png")


# --- pixels


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_rgb_is_read_exactly_as_stored(tmp_path, method):
    image = noise(5, 7)
    files = {"x.png": encoded(image), "y.bmp": encoded(image, "BMP")}
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "x.zip", files, method),
    ):
        with open_images(source) as found:
            for index in range(2):
                pixels = found.read(index)
                assert pixels.dtype == np.uint8
                assert pixels.flags.c_contiguous
                np.testing.assert_array_equal(pixels, channels_first(image))
            assert found.header(0) == (7, 5, "RGB")


@pytest.mark.parametrize("mode", ["L", "1"])
def test_greyscale_becomes_three_equal_channels(mode):
    grey = Image.fromarray(noise(6, 6)).convert(mode)
    pixels = decode(encoded(grey), "x")
    expected = np.asarray(grey.convert("L"))
    for channel in pixels:
        np.testing.assert_array_equal(channel, expected)


def test_alpha_is_composited_over_white():
    rgba = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    rgba[0, :, 3], rgba[1, :, 3] = 255, 0
    pixels = decode(encoded(rgba), "x").transpose(1, 2, 0)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(pixels - expected).max() <= 1
    np.testing.assert_array_equal(pixels[0], rgba[0, :, :3])
    assert (pixels[1] == 255).all()


def test_grey_with_alpha_and_palettes_with_transparency_show_white():
    la = np.stack([np.full((4, 4), 10), np.repeat([[0, 255]], 8).reshape(4, 4)], 2)
    image = decode(encoded(Image.fromarray(la.astype(np.uint8), "LA")), "x")
    np.testing.assert_array_equal(image[0], np.where(la[..., 1] == 0, 255, 10))
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8))
    palette = palette.convert("P")
    palette.putpalette([9, 8, 7, 60, 50, 40, 0, 0, 255])
    opaque = decode(encoded(palette), "x").transpose(1, 2, 0)
    assert opaque.tolist() == [[[9, 8, 7], [60, 50, 40]], [[0, 0, 255], [60, 50, 40]]]
    clear = decode(encoded(palette, transparency=1), "x").transpose(1, 2, 0)
    assert clear.tolist() == [[[9, 8, 7], [255] * 3], [[0, 0, 255], [255] * 3]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_shows_white(tmp_path, bits):
    most = 2**bits - 1
    values = [0, most // 3, most // 2, most]
    for clear in values:
        file = png_grey(values, bits, clear)
        scaled = [round(value * 255 / most) for value in values]
        shown = [255 if values[at] == clear else level for at, level in enumerate(scaled)]
        opaque = [0 if value == clear else 255 for value in values]
        assert decode(file, "x")[:, 0].tolist() == [shown] * 3
        assert decode(file, "x", 1)[:, 0].tolist() == [shown]
        assert decode(file, "x", 4)[:, 0].tolist() == [shown] * 3 + [opaque]
        with open_images(write_folder(tmp_path / f"{clear}", {"a.png": file})) as files:
            assert files.header(0).channels == 4


def test_a_transparent_colour_of_16_bits_is_refused():
    clear = (b"tRNS", struct.pack(">HHH", 300, 2, 3))
    with pytest.raises(UserError, match=r"x: .*tRNS.*save it with an alpha channel"):
        decode(png_16_bit_rgb(noise(2, 2).astype(np.uint16), clear), "x")


def in_memory(image):
    return MemoryImages([image], "x").read(0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_means_the_same_in_memory_as_in_its_file(bits):
    """What a loaded image no longer tells is refused, not guessed."""
    values = sorted({0, 1, 2**bits - 1, 2**bits // 3})
    for clear in values:
        file = png_grey(values, bits, clear)
        image = Image.open(io.BytesIO(file))
        for loaded in (False, True):
            if loaded and clear and bits in (2, 4):
                with pytest.raises(UserError, match="a loaded image does not tell: hand in"):
                    in_memory(image)
            else:
                np.testing.assert_array_equal(in_memory(image), decode(file, "x"))
    grey = Image.fromarray(noise(4, 4)[:, :, 0])
    grey.info["transparency"] = 5
    assert in_memory(grey).shape == (3, 4, 4)


def test_transparent_colours_of_16_bits_and_odd_integers_are_refused_in_memory():
    clear = (b"tRNS", struct.pack(">HHH", 300, 2, 3))
    image = Image.open(io.BytesIO(png_16_bit_rgb(noise(2, 2).astype(np.uint16), clear)))
    with pytest.raises(UserError, match="of its 16-bit colours one is transparent"):
        in_memory(image)
    with pytest.raises(UserError, match="a loaded image does not tell"):
        in_memory(image)
    with pytest.raises(UserError, match="signed or 32-bit pixels"):
        in_memory(Image.fromarray(noise(4, 4)[:, :, 0].astype(np.int32)))


def test_16_bit_grey_is_scaled_and_rounded():
    values = np.concatenate([np.arange(256) * 257, np.arange(0, 65536, 13)]).astype(np.uint16)
    values = values[: len(values) // 16 * 16].reshape(16, -1)
    pixels = decode(encoded(values), "x")
    expected = np.floor(values * (255 / 65535) + 0.5)
    for channel in pixels:
        np.testing.assert_array_equal(channel, expected)
    assert (pixels[0].reshape(-1)[:256] == np.arange(256)).all()


def test_16_bit_colour_comes_back_to_the_8_bits_it_was_made_from():
    image = noise(5, 6)
    pixels = decode(png_16_bit_rgb(image.astype(np.uint16) * 257), "x")
    np.testing.assert_array_equal(pixels, channels_first(image))


def test_cmyk_is_converted():
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)
    image = decode(encoded(Image.fromarray(inks, "CMYK"), "TIFF"), "x").transpose(1, 2, 0)
    assert image.tolist() == [[[255, 255, 255], [0, 0, 0], [0, 255, 255]]]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, upright, file_format):
    image = noise(3, 5)
    exif = Image.Exif()
    exif[274] = orientation
    pixels = decode(encoded(image, file_format, exif=exif.tobytes()), "x")
    np.testing.assert_array_equal(pixels, channels_first(upright(image)))


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, "x") == np.array([255, 0, 0]).reshape(3, 1, 1)).all()


# --- labels and digest


def test_class_labels_follow_the_sorted_names(tmp_path):
    files = pngs(3)
    labels = [["002.png", 5], ["000.png", 1], ["001.png", 0], ["gone.png", 9]]
    with open_images(
        write_zip(tmp_path / "x.zip", files | {"dataset.json": dataset_json(labels)})
    ) as found:
        assert found.labels.dtype == np.int64
        assert found.labels.tolist() == [1, 0, 5]
        assert found.attributes == ()
        assert found.names == tuple(files)


def test_attribute_labels_keep_their_names(tmp_path):
    labels = [[f"00{n}.png", [n, 0.5]] for n in range(2)]
    files = pngs(2) | {"dataset.json": dataset_json(labels, attributes=["old", "smiling"])}
    found = open_images(write_folder(tmp_path, files))
    assert found.labels.dtype == np.float32
    assert found.labels.tolist() == [[0, 0.5], [1, 0.5]]
    assert found.attributes == ("old", "smiling")


def test_null_labels_are_no_labels(tmp_path):
    files = pngs(1) | {"dataset.json": b'{"labels": null}'}
    assert open_images(write_folder(tmp_path, files)).labels is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100000, "not valid JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"labels": 3}', "list of"),
        (b'{"labels": [["000.png"]]}', "list of"),
        (dataset_json([["000.png", 1]]), "1 of 2 images have no label, 001.png first"),
        (dataset_json([["000.png", 1], ["001.png", -1]]), "numbers from 0.*'001.png' is -1, that"),
        (
            dataset_json([["000.png", 1], ["001.png", [1]]]),
            r"'001.png' is \[1\], that of '000.png' 1",
        ),
        (
            dataset_json([["000.png", [1, 2]], ["001.png", [1]]]),
            r"many numbers: .* is \[1\], that of",
        ),
        (dataset_json([["000.png", 0.5], ["001.png", 1.0]]), r"that of '000.png' is 0.5$"),
        (
            dataset_json([["000.png", 1], ["001.png", None]]),
            "'001.png' is None, that of '000.png' 1",
        ),
        (dataset_json([["000.png", [[1]]], ["001.png", [[1]]]]), r"'000.png' is \[\[1\]\]$"),
        (dataset_json([["000.png", "cat"], ["001.png", "dog"]]), "'000.png' is 'cat'$"),
        (dataset_json([[None, 1], ["000.png", 1], ["001.png", 1]]), "list of"),
        (dataset_json([[["000.png"], 1], ["001.png", 1]]), "list of"),
        (dataset_json([["000.png", [1]], ["001.png", [float("nan")]]]), "equally many"),
        (dataset_json([["000.png", [1]], ["001.png", [2]]], attributes=["a", "b"]), "2 attributes"),
        (dataset_json(None, attributes="old"), "list of names"),
    ],
)
def test_a_dataset_json_that_does_not_fit_is_refused(tmp_path, content, complaint):
    source = write_zip(tmp_path / "x.zip", pngs(2) | {"dataset.json": content})
    with pytest.raises(UserError, match=complaint) as error:
        open_images(source)
    assert f"{source}: dataset.json" in str(error.value)


def test_the_digest_of_a_zip_is_its_content(tmp_path):
    files = pngs(3)
    digest = open_images(write_zip(tmp_path / "a.zip", files)).digest
    backwards = dict(reversed(files.items()))
    packed = write_zip(tmp_path / "b.zip", backwards, zipfile.ZIP_DEFLATED)
    assert open_images(packed).digest == digest
    others = [
        files | {"000.png": encoded(noise(8, 8, 99))},
        files | {"dataset.json": b'{"labels": null}'},
        dict(list(files.items())[:2]),
        {f"x{name}": data for name, data in files.items()},
    ]
    digests = [open_images(write_zip(tmp_path / "c.zip", other)).digest for other in others]
    assert len({digest, *digests}) == 5


def test_the_digest_of_a_folder_follows_changes(tmp_path):
    folder = write_folder(tmp_path, pngs(2))
    digest = open_images(folder).digest
    assert open_images(folder).digest == digest
    os.utime(folder / "000.png", ns=(1, 1))
    assert open_images(folder).digest != digest


# --- reading from elsewhere


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_another_process_can_read(tmp_path, write):
    with (
        open_images(write(tmp_path / "x", pngs(2))) as files,
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        far = pool.submit(files.read, 1).result()
        np.testing.assert_array_equal(far, files.read(1))


def test_many_threads_read_the_same_as_one(tmp_path):
    with open_images(write_zip(tmp_path / "x.zip", pngs(40))) as files:
        one = [files.read(index) for index in range(40)]
        with ThreadPoolExecutor(8) as pool:
            many = list(pool.map(files.read, list(range(40)) * 5))
        np.testing.assert_array_equal(many, one * 5)


def test_a_closed_zip_opens_again(tmp_path):
    files = open_images(write_zip(tmp_path / "x.zip", pngs(1)))
    before = files.read(0)
    files.close()
    np.testing.assert_array_equal(files.read(0), before)
    files.close()


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_batches_hold_the_images_in_order(tmp_path, batch):
    indices = [4, 0, 3, 3, 9, 1, 2, 8, 7, 5, 6]
    with open_images(write_folder(tmp_path, pngs(10))) as files:
        batches = list(read_batches(files, iter(indices), batch))
        assert [len(images) for images in batches[:-1]] == [batch] * (len(batches) - 1)
        np.testing.assert_array_equal(
            np.concatenate(batches), np.stack([files.read(index) for index in indices])
        )
    assert list(read_batches(files, [], batch)) == []


def test_batches_refuse_a_size_that_differs(tmp_path):
    odd = {"099.png": encoded(noise(6, 8))}
    with open_images(write_zip(tmp_path / "x.zip", pngs(5) | odd)) as files:
        with pytest.raises(UserError, match=r"099.png is 8x6, others are 8x8") as error:
            list(read_batches(files, range(6), 2))
        assert f"stylegan-data prepare {files.path}" in str(error.value)
