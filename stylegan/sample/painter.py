"""Generators loaded for sampling: level of detail, labels, noise and truncation.

Shapes: N images, L rows of ws, D length of w, C channels, H W pixels.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.networks.generator import Generator, labels_of, truncate
from stylegan.networks.layers import upsample_nearest
from stylegan.networks.synthesis import coarsest_lod, split_lod
from stylegan.opening import open_networks
from stylegan.png import read_ws
from stylegan.runtime import Runtime
from stylegan.sample.recipe import GeneratorSource
from stylegan.snapshot import load_generator, load_labels
from stylegan_eval.engine.command import note
from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.sampling import noise_maps, to_uint8
from stylegan_eval.engine.untrusted import as_listed, name_form
from stylegan_eval.errors import UserError
from stylegan_eval.images.labels import shortened

# Noise maps of the images with these numbers, [n or 1, 1, H, W] each; none at all is no noise.
Noise = Callable[[Sequence[int]], Sequence[Tensor]]
Drawn = Callable[[int], object]


def _no_progress(_count: int) -> None:
    """No progress callback."""


class Painter:
    """Draws images of one generator at one level of detail; 0 is full size.

    Each latent gets one of `label_rows` [K, label_size], which a conditional network needs; the
    numbers in a label may have `label_names`. `drawn` is called after each batch with its number of
    images.
    """

    def __init__(
        self,
        network: Generator,
        *,
        lod: float = 0.0,
        label_rows: Tensor | None = None,
        label_names: Sequence[str] = (),
        batch: int = 16,
        drawn: Drawn = _no_progress,
    ) -> None:
        self.network = network
        self.lod = lod
        self.label_rows = label_rows
        self.label_names = label_names
        self.batch = batch
        self.drawn = drawn

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.network.w_avg.device

    @property
    def num_layers(self) -> int:
        """Layers that the level of detail uses: 18 at 1024x1024."""
        level, _ = split_lod(self.lod, self.network.resolution)
        return self.network.g.num_layers - 2 * level

    @property
    def maps(self) -> bool:
        """Whether there is a mapping network, so that W is more than Z normalised."""
        return self.network.config.mapping_layers > 0

    def labels(self, z: Tensor) -> Tensor | None:
        """Label of each latent [N, z_dim]: [N, label_size], or None of an unconditional network."""
        return None if self.label_rows is None else labels_of(z, self.label_rows)

    def one_hot(self, numbers: Sequence[int]) -> Tensor:
        """Labels [N, label_size] of classes."""
        return torch.eye(self.network.config.label_size, device=self.device)[list(numbers)]

    def ws(self, z: NDArray[np.float32], labels: Tensor | None = None) -> Tensor:
        """Map latents [N, z_dim] to ws [N, num_ws, w_dim], with their own labels if none are given.

        `labels`: [N, label_size].
        """
        parts = []
        for start in range(0, len(z), self.batch):
            part = torch.from_numpy(z[start : start + self.batch]).to(self.device)
            own = self.labels(part) if labels is None else labels[start : start + self.batch]
            parts.append(self.mapped(part, own))
        return torch.cat(parts)

    def read_ws(self, files: Sequence[Path]) -> Tensor:
        """Ws [N, num_ws, w_dim] of files, one after another; see `png.read_ws`."""
        network = self.network
        rows = [read_ws(file, network.num_ws, network.config.w_dim) for file in files]
        return torch.from_numpy(np.concatenate(rows)).to(self.device)

    def mapped(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Map latents [N, z_dim] of given labels [N, label_size] to ws [N, num_ws, w_dim]."""
        with torch.inference_mode(), strict_float32(self.device.type):
            return self.network.mapping(z, labels)

    def truncated(self, ws: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Pull ws [N, num_ws, w_dim] towards w_avg by `psi`, in all layers or below `cutoff`."""
        if psi == 1:
            return ws
        if not self.maps:
            raise UserError("truncation needs a mapping network, which this network lacks: psi 1")
        layers = ws.shape[1] if cutoff is None else cutoff
        return truncate(ws, self.network.w_avg, psi, layers)

    def stored_noise(self, layers: Container[int] | None = None) -> Noise:
        """Noise maps that the network holds; those of layers outside `layers` are zero.

        A map that two layers share goes with the first of them.
        """
        stored = self.network.g.fixed_noise(self.lod)
        step = self.network.g.layers_per_noise
        if layers is not None:
            stored = [
                noise if step * k in layers else torch.zeros_like(noise)
                for k, noise in enumerate(stored)
            ]
        return lambda _indices: stored

    def fresh_noise(self, seed: int) -> Noise:
        """Noise that is a function of `seed` and the image's number: `sampling.noise_maps`."""
        shapes = self.network.g.noise_shapes(self.lod)
        return lambda indices: noise_maps(seed, indices, shapes, self.device)

    def noise(self, kind: str, seed: int = 0) -> Noise:
        """Noise as options name it: 'fixed' (stored), 'random' (by `seed`) or 'none'."""
        if kind == "none":
            return lambda _indices: []
        return self.stored_noise() if kind == "fixed" else self.fresh_noise(seed)

    def noise_of_seeds(self, kind: str, seeds: Sequence[int]) -> Noise:
        """Noise of images that have a seed each: random noise is that of the seed, in any batch."""
        if kind != "random":
            return self.noise(kind)
        own = [self.fresh_noise(seed) for seed in seeds]

        def maps(numbers: Sequence[int]) -> list[Tensor]:
            each = [own[number]([0]) for number in numbers]
            return [torch.cat(layer) for layer in zip(*each, strict=True)]

        return maps

    def native(self, ws: Tensor, noise: Noise, first: int = 0) -> Iterator[Tensor]:
        """Batches of images [n, C, H, W] in about [-1, 1], at the level's size."""
        for start in range(0, len(ws), self.batch):
            part = ws[start : start + self.batch]
            with torch.inference_mode(), strict_float32(self.device.type):
                maps = noise(range(first + start, first + start + len(part)))
                images = self.network.synthesis(part, maps, self.lod)
            self.drawn(len(part))
            yield images

    def images(self, ws: Tensor, noise: Noise, first: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Images [R, R, C] of ws one by one at full size, quantised as in the official code.

        Where the level of detail is coarser, pixels are repeated; parameters as of `native`.
        """
        for batch in self.native(ws, noise, first):
            full = upsample_nearest(batch, self.network.resolution // batch.shape[-1])
            yield from to_uint8(full).permute(0, 2, 3, 1).cpu().numpy()  # [n, R, R, C]


def open_painter(source: GeneratorSource, drawn: Drawn = _no_progress) -> Painter:
    """Read the generator of a checkpoint."""
    runtime = Runtime.choose(source.device)
    _, snapshot = open_networks(source.ckpt)
    network = load_generator(snapshot, runtime.device)
    lod = snapshot.lod if source.lod is None else source.lod
    if lod > (coarsest := coarsest_lod(network.resolution)):
        raise UserError(
            f"--lod {lod:g}: at {network.resolution}x{network.resolution} the coarsest level of"
            f" detail is {coarsest}, that of 4x4"
        )
    names = snapshot.label_names
    painter = Painter(network, lod=lod, label_names=names, batch=source.batch, drawn=drawn)
    if source.number is not None:
        painter.label_rows = painter.one_hot([class_number(source.number, painter, source.ckpt)])
    elif network.config.label_size:
        painter.label_rows = load_labels(snapshot)
    return painter


def class_number(wanted: int | str, painter: Painter, ckpt: Path) -> int:
    """Number of a class that is given by its number or name."""
    size, names = painter.network.config.label_size, list(painter.label_names)
    if size == 0:
        raise UserError(f"{ckpt} is unconditional: leave --class and --classes out")
    if wanted in names:
        return names.index(str(wanted))
    if isinstance(wanted, str):
        alike = [k for k, name in enumerate(names) if name_form(name) == name_form(wanted)]
        if len(alike) == 1:
            return alike[0]
        if alike:
            numbers = " and ".join(map(str, alike))
            raise UserError(f"{ckpt}: classes {numbers} look the same: give the number of one")
    if isinstance(wanted, int):
        if wanted < size:
            if str(wanted) in names and names[wanted] != str(wanted):
                _tell_apart(wanted, names[wanted], names.index(str(wanted)))
            return wanted
        raise UserError(f"{ckpt} knows classes 0 to {size - 1}, not {wanted}")
    if not names:
        raise UserError(
            f"{ckpt} has no names of its classes: give a number from 0 to {size - 1}, not"
            f" {wanted!r:.60}"
        )
    folded = {name.casefold(): name for name in names}
    close = [folded[key] for key in get_close_matches(wanted.casefold(), folded)]
    likely = f"do you mean {' or '.join(map(as_listed, close))}?"
    known = likely if close else f"it has {shortened(names, 40)}"
    raise UserError(f"{ckpt} has no class {wanted!r:.60}: {known}")


@cache
def _tell_apart(number: int, name: str, other: int) -> None:
    note(
        f"class {number} is number {number}, named {name!r:.60}; the class named {number} has the"
        f" number {other}"
    )


def class_numbers(wanted: Sequence[int | str], painter: Painter, ckpt: Path) -> list[int]:
    """Numbers of classes that are given by number or name, or together as "all"."""
    if list(wanted) == ["all"] and "all" not in painter.label_names:
        return list(range(painter.network.config.label_size)) or [class_number(0, painter, ckpt)]
    return [class_number(each, painter, ckpt) for each in wanted]
