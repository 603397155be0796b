"""Trained generators in Python: `stylegan.load`."""

from collections.abc import Iterable
from operator import index
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan.networks.layers import upsample_nearest
from stylegan.opening import load_for_evaluation, located
from stylegan.png import picture
from stylegan.sample.painter import Painter, open_painter
from stylegan.sample.recipe import CUTOFF, NOISE, GeneratorSource
from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import check_psi, check_seed


class TrainedGenerator:
    """A generator that is ready to draw. Functions of `stylegan_eval` measure it as its file."""

    def __init__(self, painter: Painter, loaded: LoadedGenerator) -> None:
        self.painter = painter
        self.loaded = loaded  # for measurements
        self.z_dim, self.resolution = painter.network.z_dim, painter.network.resolution

    def __repr__(self) -> str:
        return f"<generator: {self.loaded.description}, z_dim {self.z_dim}>"

    def __call__(
        self, z: Tensor, *, psi: float = 1.0, cutoff: int | None = None, noise: str = "fixed"
    ) -> Tensor:
        """Draw float images [N, C, R, R] of latents z [N, z_dim], about [-1, 1], not clamped.

        Layers below `cutoff` (by default all) are truncated by `psi`; 1 is none. `noise` is "fixed"
        (the maps that the network holds), "random" (by an image's number in `z`) or "none".
        """
        ws = self._ws(z, psi, cutoff)
        batches = self.painter.native(ws, self.painter.noise(_noise(noise)))
        images = torch.cat(list(batches))
        return upsample_nearest(images, self.resolution // images.shape[-1])

    def sample(
        self,
        seeds: int | Iterable[int],
        *,
        psi: float = 1.0,
        cutoff: int | None = CUTOFF,
        noise: str = "fixed",
    ) -> NDArray[np.uint8]:
        """Draw uint8 images [N, R, R, C], those of ``stylegan-sample grid`` with these seeds.

        An image is a function of its seed, also with `noise` "random": no other seed changes it.
        """
        chosen = _seeds(seeds)
        ws = self._ws(latents(0, chosen, self.z_dim), psi, cutoff)
        maps = self.painter.noise_of_seeds(_noise(noise), chosen)
        return np.stack(list(self.painter.images(ws, maps)))

    def images(
        self,
        seeds: int | Iterable[int],
        *,
        psi: float = 1.0,
        cutoff: int | None = CUTOFF,
        noise: str = "fixed",
    ) -> list[Image.Image]:
        """Draw PIL images; see `sample`."""
        drawn = self.sample(seeds, psi=psi, cutoff=cutoff, noise=noise)
        return [picture(image) for image in drawn]

    def _ws(self, z: Tensor, psi: float, cutoff: int | None) -> Tensor:
        if not isinstance(psi, int | float | np.number):
            raise UserError(f"psi must be a number, not {psi!r:.60}")
        check_psi(psi)
        if cutoff is not None and (not isinstance(cutoff, int | np.integer) or cutoff < 0):
            raise UserError(
                f"cutoff must be a number of layers from 0 up, or None for all, not {cutoff!r:.60}"
            )
        if not isinstance(z, Tensor) or z.ndim != 2 or z.shape[1] != self.z_dim or not len(z):
            came = f"a tensor {list(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
            raise UserError(f"z is {came}; expected a tensor [N, {self.z_dim}]")
        given = z.detach().cpu().float()
        if not bool(torch.isfinite(given).all()):
            raise UserError("z holds infinities or NaN")
        ws = self.painter.ws(given.numpy())
        return self.painter.truncated(ws, psi, cutoff)


def _seeds(given: int | Iterable[int]) -> list[int]:
    """Seeds that are one whole number or several; nothing is rounded."""
    try:
        each = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
        chosen = [index(seed) for seed in each]
    except TypeError:
        raise UserError(
            f"seeds must be whole numbers, such as 5, [3, 5] or range(16), not {given!r:.60}"
        ) from None
    for seed in chosen:
        check_seed("a seed", seed)
    if not chosen:
        raise UserError("seeds: none given; expected some, such as range(16)")
    return chosen


def _noise(kind: str) -> str:
    if kind not in NOISE:
        raise UserError(f"noise must be one of {', '.join(NOISE)}, got {kind!r:.60}")
    return kind


def load(
    path: str | Path, *, device: str = "auto", label: int | str | None = None
) -> TrainedGenerator:
    """Load a generator: ``"demo"``, a run's folder, or any file of networks that commands read.

    `label`: the one class that a conditional network draws, its number or name; by default those
    of its training.
    """
    if not isinstance(path, str | Path):
        raise UserError(f"expected the path of a file or folder, or 'demo', not {path!r:.60}")
    painter = open_painter(GeneratorSource(ckpt=Path(path), device=device, number=label))
    file = located(Path(path))
    loaded = load_for_evaluation(file, painter.device)
    assert loaded is not None  # for it was opened
    return TrainedGenerator(painter, loaded)
