"""Which files of a folder, zip or tar are read, which are left out, and what is said of them."""

import io
import itertools
import os
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, features

from stylegan.data import main as data_command
from stylegan_eval.cli import main as eval_command
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import decode
from stylegan_eval.images.files import open_images
from tests.data.hostile import text_bomb
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
from tests.data.set_writers import tar_member, write_tar

AVIF = pytest.param(
    "AVIF", ".avif", marks=pytest.mark.skipif(not features.check("avif"), reason="old Pillow")
)
LOSSLESS = [
    ("PNG", ".apng"), ("BMP", ".dib"), ("TIFF", ".tiff"), ("WEBP", ".webp"), ("PPM", ".pnm"),
    ("QOI", ".qoi"), ("TGA", ".tga"), ("PCX", ".pcx"), ("SGI", ".sgi"), ("DDS", ".dds"),
    ("JPEG2000", ".jp2"),
]  # fmt: skip
LOSSY = [("JPEG", ".jfif"), ("JPEG", ".jpe"), ("MPO", ".mpo"), AVIF]


def options_of(file_format):
    return {"WEBP": {"lossless": True}}.get(file_format, {})


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("file_format", "ending"), LOSSLESS)
@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_what_pillow_reads_is_read_whatever_its_ending(tmp_path, file_format, ending, write):
    image = noise(16, 16)
    file = encoded(image, file_format, **options_of(file_format))
    with open_images(write(tmp_path / "x", {f"a{ending.upper()}": file})) as files:
        np.testing.assert_array_equal(files.read(0), channels_first(image))
        assert files.header(0)[:2] == (16, 16)


@pytest.mark.parametrize(("file_format", "ending"), LOSSY)
def test_lossy_files_are_read_as_pillow_reads_them(tmp_path, file_format, ending):
    file = encoded(noise(16, 16), file_format)
    files = open_images(write_folder(tmp_path, {f"a{ending}": file}))
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    np.testing.assert_array_equal(files.read(0), channels_first(expected))


@pytest.mark.parametrize("name", ["frame0001", "a.jpg_large", "a.png ", "a.dat", "b/a.jpg?w=64"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "QOI"])
@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_an_unknown_ending_is_read_by_its_content(tmp_path, name, file_format, write):
    file = encoded(noise(16, 16), file_format)
    with open_images(write(tmp_path / "x", {name: file, "a.txt": b"P5 is a pixel"})) as files:
        assert files.names == (name,)
        np.testing.assert_array_equal(files.read(0), decode(file, "x"))


def test_names_of_known_endings_are_not_opened(tmp_path):
    write_folder(tmp_path, pngs(3) | {"a.txt": b"x", "b.json": b"x", "c.mp4": b"x", "d": b"x"})
    code = (
        "import sys, pathlib\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, a: opened.append(str(a[0])) if event == 'open' else None)\n"
        "from stylegan_eval.images.files import open_images\n"
        "open_images(pathlib.Path(sys.argv[1]))\n"
        "print([name for name in opened if name.startswith(sys.argv[1])])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout.strip() == f"['{tmp_path}/d']", done.stderr


OTHERS = {
    "a.svg": b"<svg/>", "b/b.svg": b"<svg/>", "c.mp4": b"\0\0\0\x18ftypmp42", "d": b"text",
    "e.cr2": encoded(noise(4, 4), "TIFF"), "f.jpg.part": encoded(noise(9, 9), "JPEG")[:99],
    "a.txt": b"caption", "b.json": b"{}", ".hidden": b"x", "__MACOSX/g.svg": b"x",
}  # fmt: skip
LEFT_OUT = "left out: 2 .svg, 1 without an ending, 1 .cr2, 1 .mp4, 1 .part"


@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_what_is_left_out_is_one_line_of_every_command(tmp_path, write):
    source = write(tmp_path / "x", pngs(4, 16) | OTHERS)
    plan = ("--subset-size", 2, "--device", "cpu")
    commands = [
        (data_command, "prepare", source, "--dry-run"),
        (data_command, "prepare", source, tmp_path / "out.zip"),
        (data_command, "inspect", source),
        (data_command, "export", source, tmp_path / "export.zip"),
        (eval_command, "kid", "--images", source, "--data", source, "-n", 4, *plan,
         "--weights", tmp_path / "none"),
    ]  # fmt: skip
    for command, *arguments in commands:
        done = run(command, *arguments)
        notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
        assert notes == [f"note: {source}: {LEFT_OUT}"], (arguments, done.output)
    assert (
        "left out: 2 .svg, 1 without an ending, 1 .cr2, 1 .json"
        in run(data_command, "inspect", source).stdout
    )


def test_nothing_is_said_of_companions_alone(tmp_path):
    others = {name: OTHERS[name] for name in ("a.txt", "b.json", ".hidden")}
    done = run(data_command, "inspect", write_folder(tmp_path, pngs(2) | others))
    assert done.stderr == ""


def test_a_set_without_images_says_what_is_there(tmp_path):
    with pytest.raises(UserError, match=r"no images; .*; left out: 2 \.svg"):
        open_images(write_folder(tmp_path, {"a.svg": b"", "b.svg": b""}))


def test_a_pipe_of_unknown_ending_is_left_out_and_not_opened(tmp_path):
    write_folder(tmp_path, pngs(1))
    os.mkfifo(tmp_path / "pipe")
    assert open_images(tmp_path).left_out == "1 without an ending"


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"


@pytest.mark.parametrize("name", ["a.heic", "a", "a.HEIF"])
def test_a_format_that_needs_a_package_names_it(tmp_path, name, monkeypatch):
    monkeypatch.setattr("stylegan_eval.images.image_kinds.find_spec", lambda _module: None)
    monkeypatch.setattr("stylegan_eval.images.image_kinds._known_suffixes", frozenset)
    ending = ".heif" if name.endswith("F") else ".heic"
    done = run(
        data_command, "inspect", write_folder(tmp_path, {"0": pngs(1)["000.png"], name: HEIC})
    )
    assert f"left out: 1 {ending} (install pillow-heif)" in done.stderr
    with pytest.raises(UserError, match=r"pip install pillow-heif, or the extra photos: pip"):
        decode(HEIC, "a.jpg")


def test_the_advice_to_install_a_package_works(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(np.kron(noise(4, 4), np.ones((16, 16, 1), np.uint8)))
    buffer = io.BytesIO()
    heif.from_pillow(image).save(buffer, quality=-1, chroma=444)
    files = open_images(
        write_folder(tmp_path, {"a.heic": buffer.getvalue(), "b": buffer.getvalue()})
    )
    assert files.names == ("a.heic", "b")
    expected = channels_first(np.asarray(image).astype(int))
    for index in range(2):
        assert np.abs(files.read(index) - expected).max() <= 4


def test_members_of_a_tar_are_taken_by_the_same_rule(tmp_path):
    image = encoded(noise(8, 8))
    members = {
        "a.jfif": image, "a.cls": b"1", "b": image, "b.cls": b"0", "b.mask.png": image,
        "c.svg": b"<svg/>", "d.cls": b"4",
    }  # fmt: skip
    tar = write_tar(tmp_path / "x.tar", itertools.starmap(tar_member, members.items()))
    done = run(data_command, "prepare", tar, tmp_path / "out.zip")
    assert sorted(done.stderr.splitlines()) == [
        f"note: {tar}: 1 label of files that are not there, 'd' first",
        f"note: {tar}: left out: 1 .mask.png, 1 .svg",
    ]
    with open_images(tmp_path / "out.zip") as files:
        assert files.labels.tolist() == [1, 0]


def test_a_list_of_celeba_with_other_images_or_two_lines_is_told(tmp_path):
    lines = ["3", "old smiling", "a.jpg 1 -1", "b.jpg -1 1", "gone.jpg 1 1"]
    files = {"a.jpg": pngs(1)["000.png"], "b.jpg": pngs(2)["001.png"]}
    source = write_folder(
        tmp_path / "x", files | {"list_attr_celeba.txt": "\n".join(lines).encode()}
    )
    done = run(data_command, "inspect", source)
    assert "1 label of files that are not there, 'gone.jpg' first" in done.stderr
    lines[-1] = "a.jpg 1 1"
    (source / "list_attr_celeba.txt").write_text("\n".join(lines))
    assert "two lines of a.jpg that differ" in run(data_command, "inspect", source).stderr


# --- metadata


def with_chunk(kind, data, *, last=False, image=None):
    """A PNG with one more chunk after its header, or after its pixels."""
    file = encoded(noise(8, 8) if image is None else image)
    chunk = png_chunks((kind, data))[8:]
    place = len(file) - 12 if last else 33
    return file[:place] + chunk + file[place:]


WORKFLOW = b'{"nodes": [' + b'{"id": 1, "type": "KSampler"}, ' * 90000 + b"]}"  # 2.7 MB
LARGE = {
    "zTXt": (b"zTXt", b"workflow\0\0" + zlib.compress(WORKFLOW)),
    "iTXt": (b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(WORKFLOW)),
    "iCCP": (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3 * 2**20))),
    "xmp": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(WORKFLOW)),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", LARGE)
def test_texts_and_profiles_of_any_size_are_passed_over(tmp_path, kind, last):
    file = with_chunk(*LARGE[kind], last=last)
    for source in (
        write_folder(tmp_path / "x", {"a.png": file}),
        write_zip(tmp_path / "x.zip", {"a.png": file}),
    ):
        with open_images(source) as files:
            assert files.header(0) == (8, 8, "RGB")
            np.testing.assert_array_equal(files.read(0), channels_first(noise(8, 8)))


def test_an_orientation_beside_a_large_text_is_applied():
    exif = Image.Exif()
    exif[274] = 6
    raw = exif.tobytes()
    profile = b"\nexif\n%8d\n%s\n" % (len(raw), raw.hex().encode())
    packed = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))
    file = with_chunk(*LARGE["zTXt"])
    file = file[:33] + png_chunks(packed)[8:] + file[33:]
    np.testing.assert_array_equal(decode(file, "x"), channels_first(np.rot90(noise(8, 8), -1)))


def test_a_text_that_expands_to_gigabytes_is_never_unpacked():
    bomb = text_bomb()
    tracemalloc.start()
    try:
        pixels = decode(bomb, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels.shape[0] == 3
    assert peak < 64 * 2**20


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_exif_that_cannot_be_read_turns_nothing(file_format):
    image = noise(8, 8)
    file = encoded(image, file_format, exif=b"Exif\0\0garbage!", **options_of(file_format))
    np.testing.assert_array_equal(decode(file, "x"), channels_first(image))


# --- labels


def labelled(path, pairs, names=("cat/0.png", "cat/1.png", "dog/0.png")):
    files = {name: encoded(noise(8, 8, n)) for n, name in enumerate(names)}
    return write_folder(path, files | {"dataset.json": dataset_json(pairs)})


@pytest.mark.parametrize(
    "spelling",
    [
        lambda name: name,
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f".\\{name}".replace("/", "\\"),
        lambda name: name.replace("/", "//"),
        str.upper,
        lambda name: name.upper().replace("/", "\\"),
    ],
)
def test_labels_are_found_under_any_spelling_of_a_path(tmp_path, spelling):
    names = ("cat/0.png", "cat/1.png", "dog/0.png")
    pairs = [[spelling(name), 7 * number] for number, name in enumerate(names)]
    assert open_images(labelled(tmp_path, pairs)).labels.tolist() == [0, 7, 14]


def test_a_name_in_two_unicode_forms_is_one(tmp_path):
    pairs = [["caf\u00e9.png", 3]]
    assert open_images(labelled(tmp_path, pairs, ("cafe\u0301.png",))).labels.tolist() == [3]


def test_the_case_counts_where_it_tells_images_apart(tmp_path):
    names = ("A.png", "a.png")
    pairs = [["a.png", 1], ["A.png", 2]]
    assert open_images(labelled(tmp_path / "x", pairs, names)).labels.tolist() == [2, 1]
    with pytest.raises(UserError, match=r"1 of 2 images have no label, A\.png first"):
        open_images(labelled(tmp_path / "y", pairs[:1], names))


@pytest.mark.parametrize("second", ["cat/0.png", "cat\\0.png", "./cat/0.png"])
def test_two_labels_of_one_file_are_refused_unless_equal(tmp_path, second):
    pairs = [["cat/0.png", 0], ["cat/1.png", 0], ["dog/0.png", 1]]
    assert len(open_images(labelled(tmp_path / "x", [*pairs, [second, 0]])).labels) == 3
    with pytest.raises(UserError, match=r"two labels of .*, 0 and 1: leave one"):
        open_images(labelled(tmp_path / "y", [*pairs, [second, 1]]))


def test_a_mapping_that_names_a_file_twice_is_refused(tmp_path):
    source = labelled(tmp_path, None)
    (source / "dataset.json").write_text('{"labels": {"cat/0.png": 0, "cat/0.png": 1}}')
    with pytest.raises(UserError, match=r"'cat/0.png' is there twice"):
        open_images(source)


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, 1, 1], "ape", "expected a list of names"),
        ([0, 1, 1], ["ape", 3], "expected a list of names"),
        ([0, 1, 1], ["ape", ""], "expected a list of names"),
        ([0, 1, 1], ["ape", "ape"], "'ape' is there twice"),
        ([0, 1, 2], ["ape", "cat"], "has 2 names, and there is a class 2"),
        ([[0.5], [1], [2]], ["ape", "cat"], "labels are no classes"),
        (None, ["ape"], "labels are no classes"),
    ],
)
def test_names_of_classes_that_do_not_fit_are_refused(tmp_path, labels, names, message):
    pairs = labels and list(zip(["cat/0.png", "cat/1.png", "dog/0.png"], labels, strict=True))
    source = labelled(tmp_path / "x", pairs)
    (source / "dataset.json").write_bytes(dataset_json(pairs, class_names=names))
    with pytest.raises(UserError, match=rf'"class_names".*{message}'):
        open_images(source)


def test_labels_without_a_file_are_told(tmp_path):
    pairs = [["cat/0.png", 0], ["cat/1.png", 0], ["dog/0.png", 1], ["dog/1.png", 1], ["x.png", 1]]
    done = run(data_command, "inspect", source := labelled(tmp_path, pairs))
    assert done.stderr == (
        f"note: {source}: dataset.json: 2 labels of files that are not there, 'dog/1.png' first\n"
    )


def test_a_missing_label_names_a_key_that_matched_nothing(tmp_path):
    with pytest.raises(
        UserError, match=r"3 of 3 images .*, cat/0.png first; 'set/cat/0.png', say, has a label"
    ):
        open_images(labelled(tmp_path, [["set/cat/0.png", 0]]))


def test_a_file_of_labels_in_a_wrong_place_is_told(tmp_path):
    source = write_zip(tmp_path / "x.zip", {"set/a.png": pngs(1)["000.png"],
                                            "set/dataset.json": b"{}"})  # fmt: skip
    done = run(data_command, "inspect", source)
    assert "set/dataset.json: no labels are read from it; expected dataset.json" in done.stderr


def test_images_beside_a_tar_are_the_set_that_metrics_see(tmp_path):
    image = encoded(noise(8, 8))
    (tmp_path / "set").mkdir()
    write_tar(tmp_path / "set" / "a.tar", [tar_member("x.png", image)])
    (tmp_path / "set" / "cats").mkdir()
    for k in range(3):
        (tmp_path / "set" / "cats" / f"{k}.png").write_bytes(image)
    done = run(data_command, "prepare", tmp_path / "set", tmp_path / "out.zip")
    assert done.exit_code == 0, done.output
    assert "left out: 1 .tar" in done.stderr
    with open_images(tmp_path / "out.zip") as prepared, open_images(tmp_path / "set") as seen:
        assert len(prepared) == len(seen) == 3
