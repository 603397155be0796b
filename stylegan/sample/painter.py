"""A generator ready to draw: its level of detail, labels, noise, truncation, size of batches."""

from collections.abc import Callable, Container, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.networks.generator import Generator, labels_of, truncate
from stylegan.networks.layers import upsample_nearest
from stylegan.networks.synthesis import split_lod
from stylegan.opening import open_networks
from stylegan.runtime import Runtime
from stylegan.sample.recipe import Source
from stylegan.snapshot import load_generator, load_labels
from stylegan_eval.engine.precision import strict_float32
from stylegan_eval.engine.sampling import noise_maps, to_uint8
from stylegan_eval.errors import UserError

# Noise maps of the images with these numbers, [n or 1, 1, H, W] each; none at all is no noise.
Noise = Callable[[Sequence[int]], Sequence[Tensor]]
Drawn = Callable[[int], object]


def _no_progress(_count: int) -> None:
    """No progress callback."""


class Painter:
    """Draws images of one generator at one level of detail.

    Parameters
    ----------
    lod : float
        Level of detail; 0 is full size.
    label_rows : Tensor, optional
        [K, label_size], labels that each latent draws one of; a conditional network needs them.
    drawn : callable
        Told how many images were drawn, after each batch.
    """

    def __init__(
        self,
        network: Generator,
        *,
        lod: float = 0.0,
        label_rows: Tensor | None = None,
        batch: int = 16,
        drawn: Drawn = _no_progress,
    ) -> None:
        self.network = network
        self.lod = lod
        self.label_rows = label_rows
        self.batch = batch
        self.drawn = drawn

    @property
    def device(self) -> torch.device:
        """Where the network is."""
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

    def ws(self, z: NDArray[np.float32]) -> Tensor:
        """Map latents [N, z_dim] to ws [N, num_ws, w_dim]."""
        parts = []
        for start in range(0, len(z), self.batch):
            part = torch.from_numpy(z[start : start + self.batch]).to(self.device)
            parts.append(self.mapped(part, self.labels(part)))
        return torch.cat(parts)

    def mapped(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Map latents [N, z_dim] of given labels [N, label_size] to ws [N, num_ws, w_dim]."""
        with torch.inference_mode(), strict_float32(self.device.type):
            return self.network.mapping(z, labels)

    def truncated(self, ws: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Pull ws [N, num_ws, w_dim] towards w_avg by `psi`, in the layers below `cutoff`.

        Without `cutoff`, in all layers.
        """
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

    def native(self, ws: Tensor, noise: Noise, first: int = 0) -> Iterator[Tensor]:
        """Batches of images [n, C, H, W] of ws, about [-1, 1], at the native size of the level.

        Parameters
        ----------
        ws : Tensor
            [N, num_ws, w_dim].
        noise : Noise
            Asked for the noise of each image.
        """
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


def open_painter(source: Source, drawn: Drawn = _no_progress) -> Painter:
    """Read the generator of a checkpoint."""
    runtime = Runtime.choose(source.device)
    _, snapshot = open_networks(source.ckpt)
    network = load_generator(snapshot, runtime.device)
    size, number = network.config.label_size, source.number
    if size == 0 and number is not None:
        raise UserError(f"{source.ckpt} is unconditional: leave --class out")
    if number is not None and number >= size:
        raise UserError(f"{source.ckpt} knows classes 0 to {size - 1}, not {number}")
    rows = None
    if size:
        rows = load_labels(snapshot) if number is None else torch.eye(size)[number : number + 1]
    lod = snapshot.lod if source.lod is None else source.lod
    return Painter(network, lod=lod, label_rows=rows, batch=source.batch, drawn=drawn)
