"""One pass over images that feeds every metric: each image is made once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.blocks import Arrays, Blocks, Key, Run, Tick, split_all
from stylegan_eval.engine.protocols import ImageGenerator
from stylegan_eval.engine.sampling import (
    Stream,
    check_finite,
    draw,
    mirror_flags,
    quantised,
    random_stream,
)
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.generators.factories import ImageFunction
from stylegan_eval.images.files import prefetched, read_groups
from stylegan_eval.images.source import ImageSet
from stylegan_eval.settings.common import Precision


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A batch of images, with where they come from if a generator drew them."""

    positions: Sequence[int]  # Numbers of the images within the pass
    images: Tensor  # uint8 [n, 3, H, W]
    raw: Tensor | None = None  # float32 [n, 3, H, W], about [-1, 1], as the generator drew them
    z: Tensor | None = None  # [n, z_dim]
    ws: Tensor | None = None  # [n, L, w_dim]


class Collector(Protocol):
    """Collects arrays from each block of images."""

    @property
    def name(self) -> str:
        """Distinguishes it from other collectors of the pass."""

    @property
    def identity(self) -> str:
        """All that its arrays depend on besides the images."""

    @property
    def num(self) -> int:
        """It wants the images 0 .. num - 1."""

    def begin(self) -> "Collector":
        """Return an empty one for a block."""

    def add(self, samples: Samples) -> None:
        """Take in a batch of the block."""

    def arrays(self) -> Arrays:
        """Arrays of the block."""


@dataclass(frozen=True, kw_only=True)
class GeneratedImages:
    """Images of a generator; image i depends on (seed, i) alone."""

    generator: ImageGenerator
    seed: int
    batch: int
    device: torch.device
    precision: Precision = "fp32"

    def batches(self, positions: range) -> Iterator[Samples]:
        """Yield the images with these numbers; see `sampling.draw`.

        A GPU is waited for once, before the last batch: then all are known to be finite.
        """
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        for start in range(positions.start, positions.stop, self.batch):
            part = range(start, min(start + self.batch, positions.stop))
            z, ws, raw = draw(self.generator, self.seed, part, self.device, self.precision)
            finite = finite & torch.isfinite(raw).all()
            if part.stop == positions.stop or self.device.type == "cpu":
                check_finite(finite)
            yield Samples(positions=part, images=quantised(raw), raw=raw, z=z, ws=ws)


@dataclass(frozen=True, kw_only=True)
class FunctionImages:
    """Images of a function (n, seed) -> images; an image depends on its batch's place and size."""

    function: ImageFunction
    seed: int
    batch: int

    def batches(self, positions: range) -> Iterator[Samples]:
        """Yield the images with these numbers; the seed of each call is of (seed, first number)."""
        for start in range(positions.start, positions.stop, self.batch):
            part = range(start, min(start + self.batch, positions.stop))
            seed = int(random_stream(self.seed, start, Stream.LATENT).integers(2**31))
            yield Samples(
                positions=part, images=torch.from_numpy(self.function.images(len(part), seed))
            )


@dataclass(frozen=True, kw_only=True)
class FileImages:
    """Images of files, number i of a pass being `indices[i]`; flipped at random when `mirror`."""

    files: ImageSet
    indices: Sequence[int]
    mirror: bool
    seed: int
    batch: int

    def batches(self, positions: range) -> Iterator[Samples]:
        """Yield the images at these places of `indices`, in the order of the files.

        Images of unlike sizes are in batches of their own.
        """
        order = sorted(positions, key=self.indices.__getitem__)
        wanted = [self.indices[position] for position in order]
        for places, images in read_groups(self.files, wanted, self.batch):
            if self.mirror:
                flags = mirror_flags(self.seed, [wanted[place] for place in places])
                images = np.where(flags[:, None, None, None], images[..., ::-1], images)
            yield Samples(
                positions=[order[place] for place in places],
                images=torch.from_numpy(np.ascontiguousarray(images)),
            )


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images to be measured: generated ones, or real ones."""

    source: GeneratedImages | FunctionImages | FileImages
    num: int
    key: Key  # All that they depend on
    about: Mapping[str, Any] = field(default_factory=dict)  # Cells of a row about their generator
    generator: ImageGenerator | None = None  # None for files
    size: tuple[int, int] = (0, 0)  # Height and width of generated ones
    mirrored: bool | None = False  # Whether the generator was trained so; None: not known
    rule: str = ""  # How real ones were chosen; empty for generated ones

    @property
    def are_real(self) -> bool:
        """Whether their features are kept in the cache."""
        return bool(self.rule)


def name_of(images: Images | StoredStats, number: int) -> tuple[str, str]:
    """Name of the file, or number, of the image with this number in a pass; seed if it is drawn."""
    if isinstance(images, StoredStats):
        return str(number), ""
    source = images.source
    if not isinstance(source, FileImages):
        return str(number), str(source.seed)
    index = source.indices[number]
    return source.files.names[index], ""


def pass_key(key: Key, collectors: Sequence[Collector]) -> Key:
    """All that the blocks of a pass depend on: its images and who looks at them."""
    return {**key, **{f"collector {c.name}": f"{c.identity} num={c.num}" for c in collectors}}


def collect(
    source: GeneratedImages | FunctionImages | FileImages,
    collectors: Sequence[Collector],
    key: Key,
    run: Run,
    label: str,
) -> Mapping[str, Blocks]:
    """Show every image to every collector that wants it, once.

    Returns for each collector's name its arrays, block by block, in order; its blocks are those of
    `split_all` over all collectors, up to its `num`. None in all processes but the first.
    """
    blocks = split_all(collector.num for collector in collectors)

    def compute(block: range, tick: Tick) -> Arrays:
        wanting = [collector for collector in collectors if block.stop <= collector.num]
        begun = {collector.name: collector.begin() for collector in wanting}
        batches = source.batches(block)
        if run.device.type == "cuda" and isinstance(source, FileImages):
            batches = prefetched(_pinned(batches))
        for samples in batches:
            for part in begun.values():
                part.add(samples)
            tick(len(samples.positions))
        return {
            f"{name}/{array}": value
            for name, part in begun.items()
            for array, value in part.arrays().items()
        }

    parts = run.map_blocks(pass_key(key, collectors), blocks, compute, label)
    return {collector.name: _of(collector, blocks, parts) for collector in collectors}


def _pinned(batches: Iterator[Samples]) -> Iterator[Samples]:
    """Images in page-locked memory, whose copies to a GPU are not waited for."""
    for samples in batches:
        yield replace(samples, images=samples.images.pin_memory())


def _of(collector: Collector, blocks: Sequence[range], parts: Blocks) -> Blocks:
    """The blocks of one collector."""
    beginning = f"{collector.name}/"
    seen = [number for number in range(len(parts)) if blocks[number].stop <= collector.num]

    def read(number: int) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(beginning): value
            for name, value in parts[seen[number]].items()
            if name.startswith(beginning)
        }

    return Blocks(len(seen), read)
