"""Images are prepared once for each cache, whichever machines the processes run on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from stylegan.datasets import pyramid
from stylegan.runtime import Runtime
from stylegan.training.batches import open_together
from stylegan_eval.engine.processes import Processes


@dataclass(frozen=True, kw_only=True)
class Threads(Processes):
    """Threads that meet as processes do."""

    barrier: Any
    shared: list = field(default_factory=list)

    def wait(self):
        self.barrier.wait(timeout=30)

    def of_first(self, value):
        if self.is_first:
            self.shared[:] = [value]
        self.wait()
        found = self.shared[0]
        self.wait()
        return found


@pytest.mark.parametrize("caches", [("one", "other"), ("one", "one")])
def test_one_process_of_each_cache_prepares_the_images(caches, data, tmp_path, monkeypatch):
    """Two machines with two processes each."""
    built, build = [], pyramid._build

    def counted(files, digest, folder, *, progress):
        built.append((threading.current_thread().name, folder.parents[1].name))
        build(files, digest, folder, progress=progress)

    monkeypatch.setattr(pyramid, "_build", counted)
    barrier, shared = threading.Barrier(4), []

    def work(rank):
        threading.current_thread().name = str(rank)
        processes = Threads(rank=rank, world=4, local_rank=rank % 2, barrier=barrier, shared=shared)
        runtime = Runtime(torch.device("cpu"), processes)
        return open_together(data, tmp_path / caches[rank // 2], runtime)

    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(work, range(4)))
    assert len({each.digest for each in opened}) == 1
    expected = [("0", "one"), ("2", "other")] if "other" in caches else [("0", "one")]
    assert sorted(built) == expected
    for name in set(caches):
        assert [path.name for path in (tmp_path / name).glob(".stylegan-shared-*")] == []
