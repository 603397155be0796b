"""A projection stays on the network's device: on one that refuses CPU tensors, without a GPU."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from stylegan.networks.generator import Generator
from stylegan.sample.painter import Painter
from stylegan.sample.projection import Centre, Objective, as_tensor, project
from stylegan.sample.settings import ProjectionSettings
from tests.train import fake_device, golden


@dataclass(frozen=True)
class PixelEmbedding:
    """Distance: squared difference of pixels."""

    name: str = "pixels"
    mark: str = "pixels"
    identity: str = "pixels"

    def embed(self, images):
        return [images]


def devices(space, lod):
    """Where the latents of a projection lie, whose target came from the host."""
    config = golden.small_config("F")
    with fake_device.setting_up():
        with torch.device(fake_device.device()):
            network = Generator(config.network, config.resolution)
        painter = Painter(network, lod=lod)
        size = config.resolution >> int(lod)
        target = as_tensor(np.zeros((3, size, size), np.uint8), painter.device)
        aim = Objective(painter, PixelEmbedding(), target, 0.5)
        origin = Centre(mean=network.w_avg.clone(), radius=1.0)
        settings = ProjectionSettings(space=space, steps=2)
        return [str(place.ws.device) for place in project(aim, origin, settings)]


@pytest.mark.parametrize(("space", "lod"), [("w", 0.0), ("w+", 0.0), ("w+", 1.0)])
def test_nothing_is_left_on_the_host(space, lod, apart):
    assert set(apart(devices, space, lod)) == {f"{fake_device.NAME}:0"}
