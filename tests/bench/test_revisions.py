"""Speed of this tree beside that of an older one."""

import pytest

from benchmarks.speed.revisions import compare
from stylegan_eval.errors import UserError

OLDER = """
import torch
from types import SimpleNamespace as Case

WAYS = {"fast": None}

def fast_step(case, way):
    assert case.width == 8
    return lambda: torch.zeros(())
"""


def test_each_tree_works_in_its_own_process(tmp_path):
    older = tmp_path / "benchmarks" / "speed"
    older.mkdir(parents=True)
    for folder in (older.parent, older):
        (folder / "__init__.py").touch()
    (older / "train_side.py").write_text(OLDER)
    pairs = compare(tmp_path, ("step", 8, 8, 4), rounds=2, threads=1)
    assert len(pairs) == 2
    assert all(0 < old < new for old, new in pairs)  # the older tree's step does nothing
    with pytest.raises(UserError, match="choose a later revision"):
        compare(tmp_path, ("features", 1, 32), rounds=2, threads=1)
