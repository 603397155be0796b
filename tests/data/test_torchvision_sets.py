"""Sets in the layouts that torchvision keeps them in, with images of our own."""

import gzip
import json
import pickle
import struct

import numpy as np
import pytest
import torchvision.datasets as layouts
from scipy.io import savemat

from stylegan.datasets.prepare import prepare
from stylegan.datasets.sources import open_source
from stylegan.datasets.sources.torchvision_sets import SETS
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import decode
from tests.data.samples import encoded, noise, write_folder

CLASSES = ("ant", "bee", "cow")
LABELS = (0, 2, 1)


def rgb(size):
    """uint8 [3, 3, H, W], one image of each label."""
    return np.stack([noise(size, size, label).transpose(2, 0, 1) for label in LABELS])


def jpegs(folder, names):
    """Three JPEG files, and what is in them."""
    files = [encoded(noise(16, 16, label), "JPEG") for label in LABELS]
    write_folder(folder, dict(zip(names, files, strict=True)))
    return [decode(file, "a JPEG") for file in files]


def idx_files(folder, images):
    """MNIST's files: of training images [N, H, W], and of no others."""
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        header = struct.pack(">IIII", 0x803, *images.shape)
        numbers = struct.pack(">II", 0x801, len(images)) + bytes(LABELS)
        for name, data in {
            f"{part}-images-idx3-ubyte": header + images.tobytes(),
            f"{part}-labels-idx1-ubyte": numbers,
        }.items():
            (folder / name).write_bytes(data)
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))


def mnist(root, name):
    images = rgb(28)[:, 0]
    idx_files(root / name / "raw", images)
    return np.repeat(images[:, None], 3, axis=1)


def cifar(root, name):
    kind = getattr(layouts, name)
    folder, images = root / kind.base_folder, rgb(32)
    folder.mkdir()
    batches = [file for file, _ in kind.train_list]
    for file, part in zip(batches, np.array_split(np.arange(3), len(batches)), strict=True):
        labels = [LABELS[index] for index in part]
        key = "labels" if name == "CIFAR10" else "fine_labels"
        batch = {"data": images[part].reshape(len(part), 3 * 32 * 32), key: labels}
        (folder / file).write_bytes(pickle.dumps(batch))
    meta = {kind.meta["key"]: list(CLASSES)}
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps(meta))
    return images


def svhn(root, _):
    images = rgb(32)
    savemat(
        root / "train_32x32.mat",
        {"X": images.transpose(2, 3, 1, 0), "y": np.array([[label or 10] for label in LABELS])},
    )
    return images


def stl10(root, _):
    images = rgb(96)
    write_folder(
        root / "stl10_binary",
        {
            "train_X.bin": images.transpose(0, 1, 3, 2).tobytes(),
            "train_y.bin": bytes(label + 1 for label in LABELS),
            "class_names.txt": "\n".join(CLASSES).encode(),
        },
    )
    return images


def flowers(root, _):
    folder = root / "flowers-102"
    read = jpegs(folder / "jpg", [f"image_{number:05d}.jpg" for number in (2, 3, 5)])
    savemat(folder / "setid.mat", {"trnid": [[2, 3, 5]]})
    numbers = {2: LABELS[0] + 1, 3: LABELS[1] + 1, 5: LABELS[2] + 1}
    savemat(folder / "imagelabels.mat", {"labels": [[numbers.get(k, 9) for k in range(1, 6)]]})
    return read


def food(root, _):
    names = [f"{CLASSES[label]}/{label}" for label in LABELS]
    listed = {name.split("/")[0]: [name] for name in names}
    write_folder(root / "food-101" / "meta", {"train.json": json.dumps(listed).encode()})
    return jpegs(root / "food-101" / "images", [f"{name}.jpg" for name in names])


def dtd(root, _):
    names = [f"{CLASSES[label]}/{label}.jpg" for label in LABELS]
    folder = root / "dtd" / "dtd"
    write_folder(folder / "labels", {"train1.txt": "\n".join(names).encode()})
    return jpegs(folder / "images", names)


def aircraft(root, _):
    folder = root / "fgvc-aircraft-2013b" / "data"
    lines = [f"{label:07d} {CLASSES[label]}" for label in LABELS]
    write_folder(
        folder,
        {
            "variants.txt": "\n".join(CLASSES).encode(),
            "images_variant_trainval.txt": "\n".join(lines).encode(),
        },
    )
    return jpegs(folder / "images", [f"{label:07d}.jpg" for label in LABELS])


def pets(root, _):
    folder = root / "oxford-iiit-pet"
    lines = [f"{CLASSES[label]}_7 {label + 1} 1 1" for label in LABELS]
    write_folder(folder / "annotations", {"trainval.txt": "\n".join(lines).encode()})
    return jpegs(folder / "images", [f"{CLASSES[label]}_7.jpg" for label in LABELS])


def eurosat(root, _):
    """Sorted by class: the order of `LABELS` is not kept."""
    names = [f"{CLASSES[label]}/{label}.jpg" for label in LABELS]
    return jpegs(root / "eurosat" / "2750", names)


def caltech101(root, _):
    folder = root / "caltech101" / "101_ObjectCategories"
    (folder / "BACKGROUND_Google").mkdir(parents=True)
    return jpegs(folder, [f"{CLASSES[label]}/image_0001.jpg" for label in LABELS])


def caltech256(root, _):
    folder = root / "caltech256" / "256_ObjectCategories"
    names = [f"{label + 1:03d}.{CLASSES[label]}" for label in LABELS]
    pairs = zip(names, LABELS, strict=True)
    return jpegs(folder, [f"{name}/{label + 1:03d}_0001.jpg" for name, label in pairs])


WRITERS = {
    "CIFAR10": cifar,
    "CIFAR100": cifar,
    "MNIST": mnist,
    "FashionMNIST": mnist,
    "KMNIST": mnist,
    "SVHN": svhn,
    "STL10": stl10,
    "Flowers102": flowers,
    "Food101": food,
    "DTD": dtd,
    "FGVCAircraft": aircraft,
    "OxfordIIITPet": pets,
    "EuroSAT": eurosat,
    "Caltech101": caltech101,
    "Caltech256": caltech256,
}
# How many names torchvision itself gives to the classes; the others take them from the files.
NAMED = {"MNIST": 10, "FashionMNIST": 10, "KMNIST": 10, "Flowers102": 102, "SVHN": 0}
BY_CLASS = ("EuroSAT", "Caltech101", "Caltech256")


@pytest.mark.parametrize("name", sorted(SETS))
def test_each_set_is_read_with_its_classes(tmp_path, monkeypatch, name):
    # The sums of the published files, which no file of a test can have.
    for module in ("cifar", "svhn", "stl10", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_: True)
    expected = WRITERS[name](tmp_path, name)
    order = np.argsort(LABELS) if name in BY_CLASS else np.arange(3)
    source = open_source(f"torchvision:{name}:{tmp_path}")
    assert source.labels.tolist() == [LABELS[index] for index in order]
    for index, at in enumerate(order):
        np.testing.assert_array_equal(source.read(index), expected[at])
        assert source.header(index)[:2] == expected[at].shape[:0:-1]
    if name not in NAMED:
        assert [name.lower()[-3:] for name in source.classes] == list(CLASSES)
    else:
        assert len(source.classes) == NAMED[name]


def test_a_set_is_prepared_with_its_classes(tmp_path):
    mnist(tmp_path, "MNIST")
    made = prepare(f"torchvision:MNIST:{tmp_path}", tmp_path / "out.zip", progress=False)
    assert (made.kind, made.resolution, len(made.classes)) == ("torchvision's MNIST", 16, 10)


class Gadget:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_in_the_place_of_cifar_is_not_executed(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps(Gadget(tmp_path / "executed")))
    with pytest.raises(UserError, match="torchvision cannot read CIFAR10 there"):
        open_source(f"torchvision:CIFAR10:{tmp_path}")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("text", ["torchvision:CIFAR10", "torchvision:os:/x", "torchvision::"])
def test_other_names_of_torchvision_are_refused(text):
    with pytest.raises(UserError, match=r"expected torchvision:NAME:FOLDER with a NAME of CIFAR10"):
        open_source(text)
