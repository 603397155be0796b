"""What a run will write where, and whether the disk has room for it."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stylegan.configs import Config
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.training.schedule import training_points
from stylegan.training.settings import RunSettings
from stylegan.training.units import size_text
from stylegan_eval.cache import cache_dir
from stylegan_eval.images import open_images, read_batches

_LOG_BYTES_PER_TICK = 1500  # of log.jsonl, train.log and TensorBoard's events together


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files of one kind.

    Attributes
    ----------
    what : str
        Their name.
    count : int
        How many there will be.
    size : int
        Bytes of each, at most.
    folder : Path
        Where.
    """

    what: str
    count: int
    size: int
    folder: Path

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.count * self.size


def checkpoint_bytes(config: Config) -> int:
    """Bytes of the tensors in a checkpoint.

    G, its average and D with their buffers; for G and D the second moment of each weight, and the
    first where beta1 is not 0.
    """
    with torch.device("meta"):
        G = Generator(config.network, config.resolution)
        D = Discriminator(config.network, config.resolution)
    moments = 1 if config.schedule.beta1 == 0 else 2
    stored = 2 * _bytes_of(G) + _bytes_of(D)
    return stored + moments * sum(p.nbytes for p in (*G.parameters(), *D.parameters()))


def _bytes_of(network: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in network.state_dict().values())


def sheet_columns(config: Config) -> int:
    """Images in a row of a sample sheet, and rows."""
    return max(2, min(8, 1024 // config.resolution))


def run_files(config: Config, settings: RunSettings, nimg: int = 0) -> list[Written]:
    """What a run that begins after `nimg` images will have written into its folder at the end."""
    out, interval = settings.out, settings.interval(config) * 1000
    total = config.schedule.total_kimg * 1000
    # That at the end may lie between two intervals; a fresh run begins with one.
    snapshots = math.ceil(total / interval) - int(nimg // interval) + (nimg == 0)
    # An old checkpoint goes when the new one is there.
    checkpoints = min(settings.keep + 1, snapshots) + bool(settings.metrics.metrics)
    checkpoints += settings.snapshot_minutes > 0
    pixels = (sheet_columns(config) * config.resolution) ** 2
    channels = config.network.num_channels
    ticks = _ticks(config, nimg)
    return [
        Written(what="checkpoints", count=checkpoints, size=checkpoint_bytes(config), folder=out),
        # PNG hardly compresses noise, but does not enlarge it.
        Written(what="sample sheets", count=snapshots + 1, size=channels * pixels, folder=out),
        Written(what="log", count=ticks, size=_LOG_BYTES_PER_TICK, folder=out),
    ]


def _ticks(config: Config, nimg: int) -> int:
    ticks, since = 1, 0.0
    for point in training_points(config, nimg):
        since += point.minibatch * config.schedule.minibatch_repeats / 1000
        if since >= point.tick_kimg:
            ticks, since = ticks + 1, 0.0
    return ticks


def prepared_images(data: Path, cache: Path | None) -> Written:
    """The copy of a data set that the first run on it makes: all levels, 8 bits, not compressed.

    Raises
    ------
    UserError
        The images cannot be read.
    """
    with open_images(data) as files:
        ((first,),) = read_batches(files, range(1), 1)
        sizes = [size for size in (first.shape[-1] >> lod for lod in range(30)) if size >= 4]
        image = sum(first.shape[0] * size**2 + 4 for size in sizes)  # with a checksum each
        total = image * len(files)
    folder = (cache or cache_dir()) / "pyramids"
    return Written(what="prepared images", count=1, size=total, folder=folder)


def shortage(files: Sequence[Written], folder: Path) -> str | None:
    """One line when the disk of `folder` has no room for `files`; None when it has."""
    needed, free = sum(item.total for item in files), free_space(folder)
    if needed <= free:
        return None
    return (
        f"a run needs up to {size_text(needed)} in {folder}, where {size_text(free)} are free: free"
        " some, choose another disk with --out, or lower --keep"
    )


def free_space(folder: Path) -> int:
    """Bytes free on the disk where `folder` is or will be."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    return shutil.disk_usage(above).free
