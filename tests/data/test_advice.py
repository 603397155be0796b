"""Advice on data, followed as a shell would."""

import gzip
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.data import main
from stylegan.datasets.pyramid import open_pyramid
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images, prepare_command, read_batches
from stylegan_eval.metrics.sources import check_size
from tests.data.samples import encoded, noise, pngs, write_folder
from tests.data.set_writers import (
    celeba_list,
    rosinality,
    shard,
    write_lmdb,
    write_parquet,
    write_tar,
)
from tests.data.tfrecord_writer import write_tfrecords


def followed(message, out):
    """Run the command that a message ends in, in the place of OUT.zip."""
    command = message[message.index("stylegan-data ") :].replace("OUT.zip", str(out))
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return out


def prepared(source, out):
    done = CliRunner().invoke(main, ["prepare", str(source), str(out)])
    assert done.exit_code == 0, done.output
    return out


def refused(run):
    with pytest.raises(UserError) as error:
        run()
    return str(error.value)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "my photos (1) & 'more'"


def test_images_of_unlike_sizes_can_be_prepared_as_is_said(tmp_path, folder):
    files = pngs(3, 64) | {"x.png": encoded(noise(80, 70))}
    with open_images(write_folder(folder, files)) as images:
        message = refused(lambda: list(read_batches(images, range(4), 2)))
    assert len(open_pyramid(followed(message, tmp_path / "a.zip"), progress=False)) == 4
    message = refused(lambda: open_pyramid(folder, progress=False))
    assert "x.png" in message or "differ in size" in message
    assert len(open_pyramid(followed(message, tmp_path / "b.zip"), progress=False)) == 4
    done = CliRunner().invoke(main, ["inspect", str(folder)])
    followed(done.stdout.strip(), tmp_path / "c.zip")
    done = CliRunner().invoke(main, ["export", str(folder), str(tmp_path / "no.zip")])
    followed(done.stderr.strip(), tmp_path / "d.zip")


def test_real_images_can_be_made_as_large_as_generated_ones_as_is_said(tmp_path, folder):
    with open_images(write_folder(folder, pngs(2, 64))) as images:
        message = refused(lambda: check_size(images, (16, 16)))
    with open_images(followed(message, tmp_path / "x.zip")) as made:
        check_size(made, (16, 16))


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        ((50, 50), "give real images of 50x50; prepare makes squares of a power of two only"),
        ((32, 16), "give real images of 16x32; prepare makes"),
        ((128, 128), "images are never enlarged, give real ones of 128x128 or larger"),
    ],
)
def test_no_command_is_advised_that_cannot_help(folder, size, advice):
    with open_images(write_folder(folder, pngs(2, 64))) as images:
        message = refused(lambda: check_size(images, size))
    assert message.startswith(
        f"the data is 64x64, the generator draws {size[1]}x{size[0]}: {advice}"
    )
    assert "stylegan-data" not in message


def lmdb_folder(folder):
    return write_lmdb(folder / "cars", rosinality([noise(16, 16, n) for n in range(3)]))


def tfrecord_folder(folder):
    images = [noise(16, 16, n).transpose(2, 0, 1) for n in range(3)]
    return write_tfrecords(folder / "records", images)


def tar_file(folder):
    return write_tar(folder / "-a.tar", shard(0, 3))


def tar_folder(folder):
    return tar_file(folder).parent


def packed_tar(folder):
    file = tar_file(folder)
    packed = folder / "x.tar.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    return packed


def parquet_folder(folder):
    return write_parquet(folder / "x.parquet", [encoded(noise(16, 16, n)) for n in range(3)]).parent


def array_file(folder):
    np.savez(folder / "x.npz", np.stack([noise(16, 16, n) for n in range(3)]))
    return folder / "x.npz"


def listed(folder):
    write_folder(folder, pngs(4, 16))
    (folder / "x.txt").write_text("000.png\n001.png\n003.png\n")
    return folder / "x.txt"


CONTAINERS = {
    "LMDB": lmdb_folder,
    "LMDB file": lambda folder: lmdb_folder(folder) / "data.mdb",
    "TFRecords": tfrecord_folder,
    "TFRecords file": lambda folder: next(tfrecord_folder(folder).glob("*.tfrecords")),
    "TFRecords by content": lambda folder: next(tfrecord_folder(folder).glob("*.tfrecords")).rename(
        folder / "train-00000-of-00001"
    ),
    "tar": tar_folder,
    "tar file": tar_file,
    "packed tar": packed_tar,
    "parquet": parquet_folder,
    "parquet file": lambda folder: next(parquet_folder(folder).iterdir()),
    "parquet by content": lambda folder: next(parquet_folder(folder).iterdir()).rename(
        folder / "0000"
    ),
    "array": array_file,
    "list": listed,
    "tar by content": lambda folder: tar_file(folder).rename(folder / "shard 0"),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_are_read_as_they_are_and_as_prepare_makes_them(tmp_path, folder, make):
    folder.mkdir()
    source = make(folder)
    zipped = prepared(source, tmp_path / "x.zip")
    with open_images(source) as images, open_images(zipped) as made:
        assert len(images) == len(made) == 3
        for number in range(3):
            assert np.array_equal(images.read(number), made.read(number))


def test_a_path_that_begins_with_a_dash_is_no_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(lambda: open_images(Path("torchvision:CIFAR10:-x")))
    assert message.endswith("prepare torchvision:CIFAR10:-x OUT.zip")
    assert prepare_command("-a.tar") == "stylegan-data prepare ./-a.tar OUT.zip"
    with open_images(prepared(f"./{tar_file(Path())}", tmp_path / "x.zip")) as made:
        assert len(made) == 3


def test_celeba_with_its_masks_can_be_prepared_as_is_said(tmp_path, folder):
    names = [f"{n}.jpg" for n in range(3)]
    files = {f"CelebA-HQ-img/{name}": encoded(noise(16, 16), "JPEG") for name in names}
    files |= {f"CelebAMask-HQ-mask-anno/{n}.png": encoded(noise(8, 8)) for n in range(3)}
    listed = {"CelebAMask-HQ-attribute-anno.txt": celeba_list(names).encode()}
    with open_images(write_folder(folder, files | listed)) as images:
        message = refused(lambda: list(read_batches(images, range(6), 2)))
    with open_images(followed(message, tmp_path / "x.zip")) as made:
        assert len(made) == 3


def test_a_set_of_torchvision_is_named_with_the_command_that_reads_it():
    message = refused(lambda: open_images(Path("torchvision:CIFAR10:my data")))
    assert message.endswith("stylegan-data prepare 'torchvision:CIFAR10:my data' OUT.zip")
