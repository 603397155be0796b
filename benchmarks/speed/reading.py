"""How long a feature network waits for images that are read and decoded beside it.

``python -m benchmarks.speed.reading``: the share of a pass that EfficientNet-lite0 waits for PNG
files on this machine; and of a network that takes 1 ms an image, as on a GPU, with eight decoders
of 6 ms an image. That one is simulated: both sleep, as decoding leaves Python's lock.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

import click
import numpy as np
import torch

from benchmarks.speed.fid import write_folders
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.files import Stamp
from stylegan_eval.images.files import open_images, read_groups
from stylegan_eval.images.source import ImageSet
from stylegan_eval.networks.network import load_detector

_BATCH = 32
_NETWORK, _DECODER = 0.001, 0.006  # seconds an image, simulated


class _Slow:
    """Images that take a while to decode."""

    path, digest, folder = Path("simulated"), "", None

    def __init__(self, count: int) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.names = list(map(str, range(count)))
        self._image = np.zeros((3, 64, 64), np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, _index: int, /) -> np.ndarray:
        time.sleep(_DECODER)
        return self._image


def waiting(files: ImageSet, count: int, network: Callable[[np.ndarray], object]) -> float:
    """Share of a pass in which `network` waits for the next batch."""
    waited = 0.0
    begun = last = time.perf_counter()
    groups: Iterable[tuple[list[int], np.ndarray]] = read_groups(files, range(count), _BATCH)
    for _, images in groups:
        waited += time.perf_counter() - last
        network(images)
        last = time.perf_counter()
    return waited / (last - begun)


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(min=64), default=1000)
@click.option("--size", type=click.IntRange(min=16), default=256, help="Pixels; sides are equal.")
def main(images: int, size: int) -> None:
    """Print both shares."""
    detector = load_detector("efficientnet-lite0", "tf1", None, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        first, _ = write_folders(Path(folder), images, size)
        with open_images(first) as files:
            waiting(files, 64, lambda batch: detector(torch.from_numpy(batch)))
            share = waiting(files, images, lambda batch: detector(torch.from_numpy(batch)))
    print(f"{share:.1%} of the time EfficientNet-lite0 waits for PNG files of {size}x{size}")
    with mock.patch("os.cpu_count", return_value=8):
        share = waiting(_Slow(4000), 4000, lambda batch: time.sleep(_NETWORK * len(batch)))
    print(f"{share:.1%} a network of 1 ms an image waits for 8 decoders of 6 ms (simulated)")


if __name__ == "__main__":
    main()
