"""Real images of the steps, read ahead of them by worker processes."""

import errno
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from stylegan.configs import Config
from stylegan.datasets.pyramid import Pyramid, open_pyramid
from stylegan.datasets.reals import RawBatch, Reals, Slice
from stylegan.datasets.survey import survey
from stylegan.runtime import Runtime
from stylegan.training.partition import Execution
from stylegan.training.schedule import training_points
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.command import STOP_SIGNALS, work_for_parent
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.images.labels import empty_classes, label_size

_FULL = "/dev/shm is full, docker run --shm-size 1g gives a container more"


@dataclass(frozen=True, kw_only=True)
class RealSet:
    """Facts of a set of real images that a configuration depends on."""

    path: Path
    resolution: int
    count: int
    label_size: int
    channels: int
    label_names: tuple[str, ...]  # of classes or numbers in a label, or none
    empty: tuple[str, ...]  # names or numbers of the classes without images
    digests: tuple[str, ...]  # any of which a checkpoint may know it by

    @classmethod
    def of(cls, pyramid: Pyramid, path: Path) -> "RealSet":
        """Facts of prepared images."""
        return cls(
            path=path,
            resolution=pyramid.resolution,
            count=len(pyramid),
            label_size=label_size(pyramid.labels, pyramid.classes),
            label_names=pyramid.classes or pyramid.attributes,
            empty=tuple(empty_classes(pyramid.labels, pyramid.classes)),
            channels=pyramid.channels,
            digests=(pyramid.digest, pyramid.earlier_digest),
        )


def look_at(path: Path, cache: Path | None = None) -> RealSet:
    """Read the headers of images that a training could take; refuse others as `open_pyramid`."""
    with open_images(path) as files:
        overview = survey(files)
        overview.check(path)
        return RealSet(
            path=path,
            resolution=overview.smallest_side,
            count=len(files),
            label_size=label_size(files.labels, files.classes),
            label_names=files.classes or files.attributes,
            empty=tuple(empty_classes(files.labels, files.classes)),
            channels=files.channels,
            digests=(content_digest(files, cache), files.digest),
        )


def open_together(data: Path, cache: Path | None, runtime: Runtime) -> Pyramid:
    """Open the images in all processes; one of each cache prepares them while the others wait."""
    shared = _is_cache_of_first(cache, runtime)
    prepares = runtime.is_first or (runtime.processes.local_rank == 0 and not shared)
    if not prepares:
        runtime.processes.wait()
    with runtime.processes.doing("prepares the images" if prepares else "opens the images"):
        pyramid = open_pyramid(data, cache=cache, progress=runtime.is_first)
    if prepares:
        runtime.processes.wait()
    return pyramid


def _is_cache_of_first(cache: Path | None, runtime: Runtime) -> bool:
    """Whether this process sees the cache of the first one, which may be on another machine."""
    if runtime.world == 1:
        return True
    folder = cache or cache_dir()
    mark = folder / runtime.processes.of_first(f".stylegan-shared-{os.urandom(6).hex()}")
    if runtime.is_first:
        with suppress(OSError):  # `open_pyramid` says what is wrong with it
            folder.mkdir(parents=True, exist_ok=True)
            mark.touch()
    runtime.processes.wait()
    seen = mark.exists()
    runtime.processes.wait()
    if runtime.is_first:
        with suppress(OSError):
            mark.unlink(missing_ok=True)
    return seen


class _Requests(Dataset[RawBatch | UserError]):
    """`Reals` as PyTorch's loader wants it; what is to be told comes as it is.

    Raised in a worker, it would arrive as a traceback.
    """

    def __init__(self, reals: Reals) -> None:
        self._reals = reals

    def __getitem__(self, part: Slice) -> RawBatch | UserError:
        try:
            batch = self._reals[part]
        except UserError as error:
            return error
        if get_worker_info() is not None:
            # Without room for it, a batch on its way to the training is lost without a word.
            for tensor in batch:
                if tensor.numel():
                    tensor.share_memory_()  # type: ignore[no-untyped-call]
        return batch


def slices(config: Config, nimg: int, execution: Execution, runtime: Runtime) -> Iterator[Slice]:
    """Slices of the micro-batches of this process, from image `nimg` on."""
    for point in training_points(config, nimg):
        start = point.nimg
        for _ in range(config.schedule.minibatch_repeats):
            for share in execution.shares(point, config, runtime):
                yield Slice(start, point.minibatch, share.rows, int(point.lod))
            start += point.minibatch


def feed(
    reals: Reals, config: Config, nimg: int, execution: Execution, runtime: Runtime
) -> Generator[RawBatch]:
    """Yield one batch per pass of this process, in order; close it unless it is exhausted.

    The schedule says what comes, so `execution.workers` processes read ahead; for a GPU into
    page-locked memory, from which copies do not wait. When one of them dies (the system kills where
    memory is short), the rest is read in this process.
    """
    parts = slices(config, nimg, execution, runtime)
    pinned = runtime.device.type == "cuda"
    if execution.workers == 0:
        yield from map(_whole, _loader(reals, parts, pin_memory=pinned))
        return
    ahead: deque[Slice] = deque()  # given to workers and not yet yielded
    workers: list[BaseProcess] = []
    loader = _loader(
        reals, _noting(parts, ahead), num_workers=execution.workers, pin_memory=pinned,
        worker_init_fn=_work_for_parent,
    )  # fmt: skip
    try:
        with _out_of_reach_of_signals(workers):
            batches: Iterator[RawBatch | UserError] = iter(loader)
        for batch in batches:
            ahead.popleft()
            yield _whole(batch)
        return
    except (RuntimeError, OSError, EOFError) as error:
        ended = wait([worker.sentinel for worker in workers], timeout=1)
        dead = [worker for worker in workers if worker.sentinel in ended]
        if dead:
            dead[0].join()
            reason = f"a process that reads images ahead (--workers) ended {_how(dead[0])}"
        elif "shared memory" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
            reason = f"no room for images read ahead (--workers): {_FULL}"
        elif isinstance(error, OSError):  # no process can be started; or it comes again below
            reason = f"images cannot be read ahead (--workers): {error.strerror or error}"
        else:
            raise
    finally:
        batches = iter(())  # the ordinary end
        for worker in workers:
            worker.kill()
    logging.getLogger(__name__).warning(
        "%s; from here on the training process reads images itself", reason
    )
    yield from map(_whole, _loader(reals, chain(ahead, parts), pin_memory=pinned))


def _whole(batch: RawBatch | UserError) -> RawBatch:
    if isinstance(batch, UserError):
        raise batch
    return batch


def _noting(parts: Iterator[Slice], ahead: deque[Slice]) -> Iterator[Slice]:
    for part in parts:
        ahead.append(part)
        yield part


def _loader(
    reals: Reals, parts: Iterator[Slice], **options: Any
) -> DataLoader[RawBatch | UserError]:
    return DataLoader(
        _Requests(reals),
        batch_size=None,
        sampler=parts,
        generator=torch.Generator().manual_seed(0),  # unused, but else the global one is drawn
        **options,
    )


@contextmanager
def _out_of_reach_of_signals(started: list[BaseProcess]) -> Iterator[None]:
    """Start processes in the block that signals to stop do not reach, and list them.

    They are blocked until each process ignores them, also in the server that Python may fork from.
    PyTorch's handler of SIGCHLD is undone: it would raise in the middle of a step or of a save.
    """
    if multiprocessing.get_start_method() != "fork":
        multiprocessing.resource_tracker.ensure_running()  # it would unblock them
    before, handler = multiprocessing.active_children(), signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        started += [each for each in multiprocessing.active_children() if each not in before]
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _work_for_parent(_number: int) -> None:
    work_for_parent()


def _how(worker: BaseProcess) -> str:
    status = worker.exitcode
    if status is None or status >= 0:
        return f"with status {status}"
    name = signal.Signals(-status).name
    reason = {"SIGKILL": " (out of memory?)", "SIGBUS": f" ({_FULL}?)"}
    return f"by {name}{reason.get(name, '')}"
