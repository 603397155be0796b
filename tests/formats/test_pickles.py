"""The interpreter of pickles: what it makes is what Python's own unpickler would have made."""

import collections
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import read_pickle
from stylegan_eval.pickles.networks import read_networks
from stylegan_eval.pickles.values import Array
from tests.formats import official_pickles as pickles

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=("Cs",)))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(value=VALUES, protocol=st.integers(0, 5), shared=st.booleans())
def test_plain_values_are_those_that_were_pickled(value, protocol, shared, tmp_path_factory):
    value = [value, value, {"again": value}] if shared else value
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_pickle(path) == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old_arrays", [True, False])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
def test_arrays_are_those_that_were_pickled(protocol, old_arrays, dtype, tmp_path):
    rng = np.random.default_rng(protocol)
    values = [rng.normal(scale=100, size=shape).astype(dtype) for shape in ((3, 2, 4), (1,), ())]
    values.append(np.asfortranarray(values[0]))
    path = tmp_path / "x.pkl"
    path.write_bytes(pickles.dumps(values, protocol, old_arrays=old_arrays))
    for found, wanted in zip(read_pickle(path), values, strict=True):
        assert isinstance(found, Array)
        assert found.value.dtype == wanted.dtype
        np.testing.assert_array_equal(found.value, wanted)


def test_arrays_of_python_2_hold_their_bytes_as_text(tmp_path):
    numbers = np.arange(-3, 5, dtype=np.float32).reshape(2, 4)
    raw = numbers.tobytes()
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR(K\1(K\2K\4t"
         b"cnumpy\ndtype\n(U\2f4K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbI00\nT"
        + struct.pack("<i", len(raw)) + raw + b"tb."
    )  # fmt: skip
    np.testing.assert_array_equal(pickle.loads(data, encoding="latin1"), numbers)  # noqa: S301
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_pickle(path).value, numbers)


class EasyDict(dict):
    pass


EasyDict.__module__ = "dnnlib.util"


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict, EasyDict])
@pytest.mark.parametrize("protocol", [2, 4])
def test_dictionaries_of_other_classes_are_plain_ones(kind, protocol, tmp_path):
    made = pickles.network("D", "D_basic", {}, [("lod", np.zeros((), np.float32))])
    made.static_kwargs = kind(resolution=8)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickles.dumps(made, protocol, more=(EasyDict,)))
    (network,) = read_networks(path)
    assert type(network.options) is dict
    assert network.options == {"resolution": 8}
    assert network.variables["lod"].shape == ()


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "x.pkl"
    with path.open("wb") as file:  # a hole: takes no room
        file.truncate(2**30 + 1)
    with pytest.raises(UserError, match="at most 1073741824"):
        read_pickle(path)
    with pytest.raises(UserError, match="no such file"):
        read_pickle(tmp_path / "no.pkl")
