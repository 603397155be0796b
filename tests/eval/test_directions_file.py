"""The file of attribute directions: what is written is read, what is broken is told in a line."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import (
    ENTRY,
    Directions,
    read_directions,
    write_directions,
)


def example(**changes):
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((2, 5))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    made = Directions(
        names=("hat", "smiling"),
        normals=normals.astype(np.float32),
        spreads=np.array([0.5, 2], np.float32),
        accuracies=np.array([0.9, 1], np.float32),
        generator_digest="ab" * 32,
        description="2 images, seed 0",
    )
    return dataclasses.replace(made, **changes)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "directions.safetensors"
    write_directions(path, example())
    found = read_directions(path)
    for field in dataclasses.fields(Directions):
        value, expected = getattr(found, field.name), getattr(example(), field.name)
        assert np.array_equal(value, expected), field.name
        assert type(value) is type(expected)
    assert found.normals.dtype == found.spreads.dtype == found.accuracies.dtype == np.float32


def test_layers_and_remarks_are_kept_in_a_format_that_older_versions_refuse(tmp_path):
    path = tmp_path / "directions.safetensors"
    newer = example(
        accuracies=np.array([0.9, np.nan], np.float32),
        layers=(None, (4, 7)),
        about=("", "31.0% of the variance of w"),
    )
    write_directions(path, newer)
    found = read_directions(path)
    assert found.spans == {"hat": None, "smiling": (4, 7)}
    assert found.remarks == {"hat": "", "smiling": "31.0% of the variance of w"}
    np.testing.assert_array_equal(found.accuracies, newer.accuracies)
    assert (found.format, example().format) == (2, 1)
    assert example().spans == {"hat": None, "smiling": None}


def test_equal_directions_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_directions(tmp_path / name, example())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


UNFIT = [
    ({"names": ("hat", "hat")}, "hat is there 2 times"),
    ({"names": ()}, "has no name"),
    ({"names": ("hat", "")}, "has no name"),
    ({"names": ("hat", "two\nlines")}, "no line of text"),
    ({"names": ("one",)}, r"normals is float32 \[2, 5\], expected float32 \[1, D\]"),
    ({"spreads": np.ones(3, np.float32)}, r"spreads is float32 \[3\], expected float32 \[2\]"),
    ({"spreads": np.ones(2)}, "spreads is float64"),
    ({"spreads": np.array([1, 0], np.float32)}, "not above 0"),
    ({"spreads": np.array([1, np.nan], np.float32)}, "not finite"),
    ({"accuracies": np.array([1, 1.5], np.float32)}, "not from 0 to 1"),
    ({"normals": np.ones((2, 5), np.float32)}, "not of length 1"),
    ({"normals": np.ones((2, 0), np.float32)}, r"normals is float32 \[2, 0\]"),
]


@pytest.mark.parametrize(("changes", "message"), UNFIT)
def test_unfit_directions_are_neither_written_nor_read(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_directions(tmp_path / "out", example(**changes))
    assert not (tmp_path / "out").exists()
    save_unchecked(tmp_path / "file", example(**changes))
    with pytest.raises(UserError, match=message):
        read_directions(tmp_path / "file")


def save_unchecked(path, directions, drop=(), **changes):
    record = {
        "format": 1,
        "names": list(directions.names),
        "generator_digest": directions.generator_digest,
        "description": directions.description,
        **changes,
    }
    tensors = {name: getattr(directions, name) for name in ("normals", "spreads", "accuracies")}
    for name in drop:
        record.pop(name, None)
        tensors.pop(name, None)
    save_file(tensors, path, metadata={ENTRY: json.dumps(record)})


@pytest.mark.parametrize(
    ("drop", "changes", "message"),
    [
        (("normals",), {}, "no 'normals'"),
        (("names",), {}, "no 'names'"),
        ((), {"format": 3}, "format 3, this version reads 1 and 2"),
        ((), {"format": 2}, "no 'layers'"),
        ((), {"format": 2, "about": [], "layers": 3}, "layers is no list"),
        ((), {"format": 2, "about": ["", 3], "layers": [None, None]}, "no line of text"),
        ((), {"format": 2, "about": ["", ""], "layers": [None]}, "layers is 1 long, expected 2"),
        ((), {"format": 2, "about": ["", ""], "layers": [None, [2, 1]]}, "a range of layers"),
        ((), {"format": 2, "about": ["", ""], "layers": [None, [1, True]]}, "a range of layers"),
        ((), {"names": "ab"}, "names is no list"),
        ((), {"description": 3}, "no line of text"),
    ],
)
def test_other_records_are_refused(drop, changes, message, tmp_path):
    path = tmp_path / "file"
    save_unchecked(path, example(), drop, **changes)
    with pytest.raises(UserError, match=message):
        read_directions(path)


def test_other_files_are_refused_in_one_line(tmp_path):
    def refused(message):
        with pytest.raises(UserError, match=message) as caught:
            read_directions(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    path = tmp_path / "file"
    refused("no such file; make it with stylegan-eval directions")
    path.write_bytes(b"no safetensors")
    refused("not a safetensors file")
    save_file({"x": np.zeros(3)}, path)
    refused("expected attribute directions")
    write_directions(path, example())
    path.write_bytes(path.read_bytes()[:-1])
    refused("damaged")
    save_file({"normals": np.zeros(3)}, path, metadata={ENTRY: "[" * 100_000})
    refused("no attribute directions")
