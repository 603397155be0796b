"""Imported networks in double precision, and what to feed them with."""

from pathlib import Path

import torch

from stylegan.formats.torch_files import import_peer
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from tests.fresh import draw_noise


def generator_of(state):
    imported = import_peer(state, Path("some.pth"))
    network = Generator(imported.config.network, imported.config.resolution).double()
    network.load_state_dict(imported.networks["G_ema"])
    return network.requires_grad_(requires_grad=False)


def discriminator_of(state):
    imported = import_peer(state, Path("some.pth"))
    network = Discriminator(imported.config.network, imported.config.resolution).double()
    network.load_state_dict(imported.networks["D"])
    return network.requires_grad_(requires_grad=False)


def inputs(network, lod=0.0, dtype=torch.float64):
    """Latents and fresh noise of two images."""
    rng = torch.Generator().manual_seed(3)
    z = torch.randn(2, network.z_dim, generator=rng).to(dtype)
    return z, [noise.to(dtype) for noise in draw_noise(network, 2, rng, lod)]
