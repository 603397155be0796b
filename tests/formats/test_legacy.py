"""Files from before PyTorch 1.6, as the published ones are."""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylegan.checkpoint import read_archive
from stylegan.formats.torch_files import read_peer
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.torch_files import is_torch_legacy, read_torch
from tests.formats import peers_rosinality


def saved(path, content):
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


class Gadget:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_as_old_as_the_published_ones_is_read(tmp_path):
    content = peers_rosinality.full()
    path = saved(tmp_path / "old.model", content)
    assert is_torch_legacy(path)
    old, new = read_peer(read_torch(path), path), read_peer(content, path)
    for part, state in new.networks.items():
        for name, value in state.items():
            assert torch.equal(old.networks[part][name], value)
    torch.save(content, tmp_path / "new.model")
    assert not is_torch_legacy(tmp_path / "new.model")
    assert not is_torch_legacy(tmp_path)


def test_code_is_refused_and_not_run(tmp_path):
    path = saved(tmp_path / "bad.model", {"generator": Gadget(tmp_path / "made")})
    with pytest.raises(UserError, match=r"bad\.model: .*run code: posix\.mkdir; nothing"):
        read_torch(path)
    assert not (tmp_path / "made").exists()
    path = saved(tmp_path / "list.model", [1, 2])
    with pytest.raises(UserError, match="holds list"):
        read_archive(path)


@given(data=st.data())
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_damaged_is_read_or_refused_in_one_line(tmp_path, data):
    small = {"a": torch.arange(6.0).view(2, 3), "b": {"c": torch.ones(2)}}
    content = bytearray(saved(tmp_path / "x.model", small).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(15, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "y.model"
    path.write_bytes(content)
    try:
        tree = read_archive(path)
    except UserError as error:
        said = str(error)
        assert said.startswith(str(path))
        assert "\n" not in said
    else:
        assert isinstance(tree, dict)
