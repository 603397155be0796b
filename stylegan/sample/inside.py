"""Inside a network, for one image: activations, noise and w, layer by layer.

Shapes: N latents, L layers, D length of w, C channels, H W pixels.
"""

import csv
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stylegan.networks.epilogue import Epilogue
from stylegan.networks.generator import Generator
from stylegan.sample.drawing import OpenedGenerator, check_fits, draw_ws, ws_of
from stylegan.sample.recipe import Recipe
from stylegan_eval.engine.files import atomic_write

COLUMNS = ("layer", "size", "activation", "noise", "noise_share", "distance")


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """Measurements of one layer for an image."""

    layer: int  # Counted from 0
    size: int  # Height and width of its maps
    activation: float  # Standard deviation of its maps before noise is added
    noise: float | None  # Of the noise that is added, likewise; None where it has no input of it
    distance: float | None
    """Of its w from w_avg, over the mean distance of w; None where there is no W, or no labels."""

    @property
    def noise_share(self) -> float | None:
        """Strength of the noise: its deviation over that of the maps."""
        return None if self.noise is None or not self.activation else self.noise / self.activation

    def cells(self) -> list[str]:
        """Its row of a table, in the order of `COLUMNS`; empty where there is nothing."""
        numbers = (self.activation, self.noise, self.noise_share, self.distance)
        texts = ("" if number is None else f"{number:.4g}" for number in numbers)
        return [str(self.layer), f"{self.size}x{self.size}", *texts]


def map_deviation(x: Tensor) -> float:
    """Root mean square over channels of the standard deviations of maps [1, C, H, W].

    Means of maps do not count, for instance normalisation takes them away.
    """
    return float(x.double().var(dim=(2, 3), correction=0).mean().sqrt())


def noise_deviation(noise: Tensor, weight: Tensor) -> float:
    """`map_deviation` of noise [1, 1, H, W] times a weight [C] for each channel."""
    variance = noise.double().var(correction=0)
    return float((weight.double().square().mean() * variance).sqrt())


def relative_distances(
    ws: NDArray[np.floating], w_avg: NDArray[np.floating], w: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Distances of ws [L, D] from w_avg [D], over the mean distance of w [N, D] from it: [L]."""
    centre = w_avg.astype(np.float64)
    usual = np.linalg.norm(w.astype(np.float64) - centre, axis=1).mean()
    distances: NDArray[np.float64] = np.linalg.norm(ws.astype(np.float64) - centre, axis=1) / usual
    return distances


def look_inside(
    recipe: Recipe,
    subject: OpenedGenerator,
    w: NDArray[np.float32] | None,
    saved: Tensor | None = None,
) -> list[LayerFigures]:
    """Figures of all layers that draw the image of a recipe.

    Parameters
    ----------
    w : ndarray or None
        [N, D] of latents, by which distances are measured; None where they are not.
    saved : Tensor or None
        [1, L, D], from which the recipe starts in place of its seed.
    """
    check_fits(recipe, subject, saved=saved is not None)
    network = subject.painter.network
    ws = ws_of(recipe, subject, saved)[0].cpu().numpy()  # [L, D]
    seen: list[tuple[int, float, float | None]] = []
    with _watched(network, seen):
        next(draw_ws(recipe, subject, saved))
    distances: Sequence[float | None] = [None] * len(seen)
    if w is not None:
        rows = ws if len(ws) > 1 else ws.repeat(len(seen), axis=0)
        distances = relative_distances(rows, network.w_avg.cpu().numpy(), w).tolist()
    return [
        LayerFigures(layer=layer, size=size, activation=activation, noise=noise, distance=distance)
        for layer, ((size, activation, noise), distance) in enumerate(
            zip(seen, distances, strict=False)
        )
    ]


@contextmanager
def _watched(network: Generator, seen: list[tuple[int, float, float | None]]) -> Iterator[None]:
    """Append size and deviations of each layer that this thread draws with."""
    own = threading.get_ident()

    def look(layer: nn.Module, args: tuple[Tensor, Tensor, Tensor | None]) -> None:
        assert isinstance(layer, Epilogue)
        x, _, noise = args
        if threading.get_ident() != own:  # the network draws something else as well
            return
        added = None
        if layer.noise_weight is not None:
            added = 0.0 if noise is None else noise_deviation(noise, layer.noise_weight)
        seen.append((x.shape[-1], map_deviation(x), added))

    layers = [module for module in network.g.modules() if isinstance(module, Epilogue)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def table(figures: Sequence[LayerFigures]) -> str:
    """A line for each layer under a header, in columns."""
    rows = [["layer", "size", "activation", "noise", "share", "distance"]]
    rows += [[cell or "-" for cell in each.cells()] for each in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def write_table(path: Path, figures: Sequence[LayerFigures]) -> None:
    """Write a CSV file with a row for each layer, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(each.cells() for each in figures)
