"""Photographs that pages have projected: one at a time, in a thread of its own, with an end."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stylegan.explore.turns import or_too_large
from stylegan.sample import projection
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.projection import Pixels
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import read_header
from stylegan_eval.networks.lpips import load_distance

LARGEST_SIDE = 6400
"""Pixels of a photograph each way: decoded, those of a small file may fill the memory."""


class CancelledError(Exception):
    """A projection was ended by who had begun it."""


@dataclass(kw_only=True)
class Job:
    """A projection on its way; its thread writes how far it is."""

    settings: ProjectionSettings
    steps: int = 0  # Done
    distance: float = float("nan")  # Perceptual, of the best w so far
    _end: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End it with its next step."""
        self._end.set()

    def watch(self, steps: int, distance: float) -> None:
        """Take note of steps."""
        if self._end.is_set():
            raise CancelledError
        self.steps += steps
        self.distance = distance


class Projector:
    """Projects photographs into the W of a network."""

    def __init__(self, subject: OpenedGenerator) -> None:
        self._subject = subject
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="project")
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        """Whether a photograph is being projected."""
        return self._job is not None

    async def target(self, data: bytes, name: str) -> tuple[Pixels, str]:
        """The image [C, S, S] to look for, in the size of the network's; a note on its size."""
        return await asyncio.to_thread(self._target, data, name)

    def _target(self, data: bytes, name: str) -> tuple[Pixels, str]:
        painter = self._subject.painter
        size = projection.drawn_size(painter, ProjectionSettings().distance)
        if not painter.maps:
            raise UserError("there is no W to project into: this network has no mapping network")
        header = read_header(io.BytesIO(data), name)
        if max(header.width, header.height) > LARGEST_SIDE:
            raise UserError(
                f"{name} is {header.width}x{header.height}: photographs of up to"
                f" {LARGEST_SIDE}x{LARGEST_SIDE} pixels are taken: make it smaller"
            )
        pixels = projection.square_of(data, name, painter.network.config.num_channels)
        came = pixels.shape[1]
        if came == size:
            return pixels, ""
        how = "shrunk" if came > size else "enlarged, and so blurred,"
        return projection.fitted(pixels, size), f"{how} from {came}x{came} to {size}x{size}"

    async def project(self, pixels: Pixels, job: Job) -> NDArray[np.float32]:
        """The w [1, L, D] that is found; CancelledError, or UserError where there is none."""
        if self._job is not None:
            raise UserError("another photograph is being projected: wait for it, or cancel it")
        self._job = job
        try:
            loop = asyncio.get_running_loop()
            step = partial(self._project, pixels, job)
            return await loop.run_in_executor(self._worker, lambda: or_too_large(step))
        finally:
            self._job = None

    def _project(self, pixels: Pixels, job: Job) -> NDArray[np.float32]:
        painter = self._subject.painter
        origin = projection.centre(painter)
        distance = load_distance(job.settings.distance, None, painter.device)
        target = projection.as_tensor(pixels, painter.device)
        aim = projection.Objective(painter, distance, target, job.settings.pixels)
        _, best = projection.project(aim, origin, job.settings, job.watch)
        ws: NDArray[np.float32] = best.ws.cpu().numpy()
        return ws

    def close(self) -> None:
        """End what is being projected."""
        if self._job is not None:
            self._job.cancel()
        self._worker.shutdown(cancel_futures=True)
