"""Distribute blocks over processes, and synchronise them.

`torchrun` says through the environment how many processes there are. They share no tensors: each
writes whole blocks into a folder (see `blocks`), and sends the first one those that it cannot see.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.signals import end_with_parent
from stylegan_eval.errors import UserError

Item = TypeVar("Item")
PROCESS_ENDED = "another process has ended: its own message says why"
# Ranks wait for the slowest block, which on a CPU may take hours.
_PATIENCE = timedelta(days=7)
# A container may start that much later than another; a launcher that is gone is noticed then.
_TO_MEET = timedelta(minutes=10)


class ProcessEndedError(UserError):
    """Another process has ended: nothing that needs all of them can go on."""


class FailedTogetherError(UserError):
    """Another process, which is still there, could not do its part."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """One process among `world` of them."""

    rank: int = 0  # 0 to world - 1; rank 0 reports
    world: int = 1  # How many
    local_rank: int = 0  # Number on this machine: which GPU

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes results."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every world-th of `items`, beginning with the rank's."""
        return items[self.rank :: self.world]

    def wait(self) -> None:
        """Wait for all; FailedTogetherError where one failed in `failing_together` instead."""
        if self._any(failed=False):
            raise FailedTogetherError("another process failed")

    def _any(self, *, failed: bool) -> bool:
        """Wait for all processes; whether any of them comes because it failed."""
        if self.world == 1:
            return failed
        votes = torch.tensor(int(failed))
        with all_alive():
            dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes.item())

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Let a block that all processes enter fail in all of them when it fails in one.

        The others learn of it where they next wait for each other, at the end of the block at the
        latest, by a `FailedTogetherError`; so all are at the same place again.
        """
        try:
            yield
        except (ProcessEndedError, FailedTogetherError):
            raise
        except Exception:
            self._any(failed=True)
            raise
        self.wait()

    def exit(self, status: int) -> None:
        """Wait for all processes, then end this one, if it is one of several."""
        if self.world > 1:
            self.wait()
            end_if_joined(status)

    def gather(self, paths: Sequence[Path]) -> None:
        """Let the first process have all files, of which `share` gave each process its own.

        On one machine, or with a folder that all see, they are there.
        """
        missing = [number for number, path in enumerate(paths) if not path.exists()]
        for number in self.of_first(missing) if self.world > 1 else ():
            owner, path = number % self.world, paths[number]
            if self.is_first and owner:
                with all_alive(), atomic_write(path) as temporary:
                    temporary.write_bytes(_received(owner))
            elif self.rank == owner:
                with all_alive():
                    _send(path.read_bytes() if path.exists() else b"")

    def agree(self, *, answer: bool) -> bool:
        """Value of the first process."""
        return self.of_first(answer)

    def of_first(self, value: Item) -> Item:
        """The value that the first process has."""
        if self.world == 1:
            return value
        self.wait()
        values = [value]
        with all_alive():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def of_all(self, value: Item) -> list[Item]:
        """The values of all processes, by rank."""
        if self.world == 1:
            return [value]
        self.wait()
        values: list[Any] = [None] * self.world
        with all_alive():
            dist.all_gather_object(values, value)
        return values


def _send(data: bytes) -> None:
    dist.send(torch.tensor(len(data)), 0)
    if data:
        dist.send(torch.frombuffer(bytearray(data), dtype=torch.uint8), 0)


def _received(sender: int) -> bytes:
    size = torch.tensor(0)
    dist.recv(size, sender)
    data = torch.empty(int(size), dtype=torch.uint8)
    if len(data):
        dist.recv(data, sender)
    return data.numpy().tobytes()


@contextlib.contextmanager
def all_alive() -> Iterator[None]:
    """Say in one line that another process has ended, when waiting for it fails."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessEndedError(PROCESS_ENDED) from error


def end_if_joined(status: object) -> None:
    """End this process at once, as `sys.exit` would, if it has joined others.

    Now and then a thread of Gloo's outlives the interpreter, and the process would abort
    ("terminate called without an active exception") with its work done.
    """
    if not dist.is_initialized():
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))


def processes_from_environment(backend: str = "gloo") -> Processes:
    """Join the processes that `torchrun` started, by `backend` if not yet; else be alone."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "0", "1"):
        return Processes()
    try:
        named = {key: int(os.environ[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    except (KeyError, ValueError) as error:
        raise UserError(
            f"WORLD_SIZE is set but {error} is not as torchrun sets it: start with"
            " torchrun --nproc-per-node N -m stylegan_eval ..., or unset WORLD_SIZE"
        ) from error
    if not dist.is_initialized():
        end_with_parent()
        _meet(backend)
    return Processes(rank=named["RANK"], world=named["WORLD_SIZE"], local_rank=named["LOCAL_RANK"])


def _meet(backend: str) -> None:
    """Join the group; who started this process, or the first one, keeps the list of members."""
    try:
        store, rank, world = next(rendezvous("env://", timeout=_TO_MEET))
    except (RuntimeError, ValueError) as error:
        where = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise UserError(
            f"the other processes cannot be reached at {where} ({str(error).splitlines()[0]:.120}):"
            " the launcher has ended, or MASTER_ADDR and MASTER_PORT are not the first machine's"
        ) from error
    store.set_timeout(_PATIENCE)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_PATIENCE)
