"""What moves w stays on the network's device: on one that refuses CPU tensors, without a GPU."""

import numpy as np
import pytest
import torch

from stylegan.networks.generator import Generator
from stylegan.sample.drawing import mix_layers
from stylegan.sample.film import path_of, positions
from stylegan.sample.painter import Painter
from stylegan.sample.settings import Film
from tests.train import fake_device, golden


def devices(lod):
    """Where ws and images lie that came from latents on the host."""
    config = golden.small_config("F")
    with fake_device.setting_up():
        with torch.device(fake_device.device()):
            network = Generator(config.network, config.resolution)
        painter = Painter(network, lod=lod, batch=2)
        z = np.zeros((3, network.z_dim), np.float32)
        ws = painter.truncated(painter.ws(z), 0.5, 8)
        mixed = mix_layers(ws, ws[0], range(2, 4))
        halves = painter.stored_noise(range(2))
        found = [painter.device, *painter.native(mixed, halves)]
        places = positions(3, 2, loop=True)
        found += [
            path_of(painter, range(3), Film(space=space, seeding="official")).at(places)
            for space in ("w", "z")
        ]
        return [str(getattr(each, "device", each)) for each in found]


@pytest.mark.parametrize("lod", [0.0, 1.5])
def test_nothing_is_left_on_the_host(lod, apart):
    assert set(apart(devices, lod)) == {f"{fake_device.NAME}:0"}
