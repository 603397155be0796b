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
from typing import Any, NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed import (  # type: ignore[attr-defined]  # its stubs lack them
    PrefixStore,
    Store,
    TCPStore,
)
from torch.distributed.rendezvous import rendezvous

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.heartbeat import Heartbeat, end_with_parent, patience
from stylegan_eval.errors import ProcessEndedError, UserError

Item = TypeVar("Item")
PROCESS_ENDED = "another process has ended: its own message says why"
# Gloo's own limit where the slowest block is waited for: there heartbeats are watched.
_ENDLESS = timedelta(days=7)
# What is exchanged once all are there, and sums on GPUs, have so many times the heartbeats'
# patience: these name the process that hangs, so they come first.
_EXCHANGE = 2.0
# A container may start that much later than another.
_TO_MEET = timedelta(minutes=10)
_TO_FIND_LAUNCHER = timedelta(seconds=30)


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
        if self.any(here=False):
            raise FailedTogetherError("another process failed")

    def any(self, *, here: bool) -> bool:
        """Wait for all processes; whether it holds in any. No GPU is waited for."""
        if self.world == 1:
            return here
        votes = torch.tensor(int(here))
        _reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def add_up(self, vector: torch.Tensor) -> None:
        """Replace `vector` by its sum over all processes."""
        if self.world > 1:
            _reduce(vector, dist.ReduceOp.SUM)

    def doing(self, what: str, *, step: bool = False) -> contextlib.AbstractContextManager[None]:
        """Tell the others what the block does; a `step` is one that all processes take alike."""
        return _JOINED[0].heartbeat.doing(what, step=step) if _JOINED else contextlib.nullcontext()

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
            self.any(here=True)
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


class _Joined(NamedTuple):
    heartbeat: Heartbeat
    patient: dist.ProcessGroup  # in which the slowest process is waited for


_JOINED: list[_Joined] = []  # one, where this process has joined others


def _reduce(tensor: torch.Tensor, op: dist.ReduceOp.RedOpType) -> None:
    """Combine a tensor with those of all processes, in place; on a CPU, watch who is waited for."""
    with all_alive():
        if tensor.is_cuda or not _JOINED:
            dist.all_reduce(tensor, op=op)
            return
        heartbeat, patient = _JOINED[0]
        work = dist.all_reduce(tensor, op=op, group=patient, async_op=True)
        with heartbeat.waiting() as watch:
            while not _is_done(work, heartbeat.interval):
                watch.look()


def _is_done(work: dist.Work, seconds: float) -> bool:
    """Whether work is done within so many seconds; RuntimeError if it failed."""
    try:
        work.wait(timedelta(seconds=seconds))
    except RuntimeError:
        if work.is_completed():
            raise
        return False
    return True


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
    limit = max(_TO_MEET, timedelta(seconds=_EXCHANGE * patience()))
    try:
        store, rank, world = next(rendezvous("env://", timeout=_to_meet()))
        heartbeat = Heartbeat(_own_connection(), rank, world, patience())
        heartbeat.start()
    except (RuntimeError, ValueError) as error:
        where = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise UserError(
            f"the other processes cannot be reached at {where} ({str(error).splitlines()[0]:.120}):"
            " the launcher has ended, or MASTER_ADDR and MASTER_PORT are not the first machine's"
        ) from error
    store.set_timeout(limit)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)
    patient = dist.new_group(backend="gloo", timeout=_ENDLESS)
    heartbeat.read()  # all have sent one by now
    _JOINED.append(_Joined(heartbeat, cast(dist.ProcessGroup, patient)))


def _to_meet() -> timedelta:
    """How long to look for the list of members.

    A launcher keeps it from before its own processes start: to these it is there, or has ended.
    """
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return _TO_FIND_LAUNCHER if kept and os.environ.get("GROUP_RANK") == "0" else _TO_MEET


def _own_connection() -> Store:
    """Connect to the store: a connection answers one thread at a time."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=_ENDLESS)
    return PrefixStore(f"heartbeat/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
