"""Generators to draw figures with: the official one at 32x32, and one of closed form."""

from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from stylegan.sample.figures import mixing_cells, mixing_table
from stylegan.sample.painter import Painter
from stylegan_eval.engine.sampling import to_uint8
from tests.train import golden


class Colours:
    """Images of one colour: red, green, blue are the first number of w in three groups of layers.

    18 layers as at 1024x1024, whatever the size, grouped as the paper's coarse, middle and fine; w
    is z. Each layer's noise adds a grey, the mean of its map times `grey`; stored maps are 1 / 18.
    """

    def __init__(self, resolution=8, grey=0.0):
        self.resolution, self.z_dim, self.grey = resolution, 4, grey
        self.config = SimpleNamespace(mapping_layers=8, num_channels=3)
        self.w_avg = torch.full((4,), 0.25)
        shapes = [(2, 2)] * 18
        self.g = SimpleNamespace(
            num_layers=18,
            uses_styles=True,
            layers_per_noise=1,
            noise_shapes=lambda lod: shapes,
            fixed_noise=lambda lod: [torch.full((1, 1, 2, 2), 1 / 18)] * 18,
        )
        self.noise_shapes = shapes

    def mapping(self, z, labels):
        return z[:, None].expand(-1, 18, -1)

    def synthesis(self, ws, noise, lod):
        parts = (range(4), range(4, 8), range(8, 18))
        colour = torch.stack([ws[:, list(part), 0].mean(1) for part in parts], dim=1)  # [N, 3]
        for layer in noise:
            colour = colour + self.grey * layer.mean(dim=(1, 2, 3))[:, None]
        return colour[:, :, None, None].expand(-1, -1, self.resolution, self.resolution)


def colour(*values):
    """Bytes of a colour in [-1, 1]."""
    return np.floor(np.clip(np.array(values) * 127.5 + 128, 0, 255)).astype(np.uint8)


def official(row="F", **how):
    """Painter of the official network at 32x32; one batch, as the references below draw."""
    return Painter(golden.generator(row), batch=1000, **how)


def draw_mixing(painter, sources, destinations, settings):
    """A table of latents [S, z_dim] and [D, z_dim]."""
    cells = [*mixing_cells(painter, sources, destinations, settings)]
    return mixing_table(cells, len(sources), settings)


@torch.no_grad()
def bytes_of(network, ws, noise):
    """Images [N, R, R, C] straight from the network."""
    return to_uint8(network.synthesis(ws, noise)).permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def ws_of(network, *seeds):
    """Ws of official latents."""
    z = np.stack([np.random.RandomState(seed).randn(network.z_dim) for seed in seeds])
    return network.mapping(torch.from_numpy(z.astype(np.float32)))


def cell(picture, row, column, size=32):
    """Cell of a table."""
    return picture[row * size : (row + 1) * size, column * size : (column + 1) * size]


def pillow(image, size, how):
    return np.asarray(Image.fromarray(image).resize((size, size), how))


def nearly_equal(found, expected, share=0.999):
    """Whether bytes are equal but for a level here and there: batches and layouts round."""
    apart = np.abs(found.astype(int) - expected)
    return found.shape == expected.shape and apart.max() <= 1 and (apart == 0).mean() >= share
