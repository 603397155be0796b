"""Path length against torchmetrics, which measures one end of the path with latents of its own.

What it leaves out (noise, crop, styles) is not used here; the distances of all pairs are compared.
"""

import pytest
import torch

from stylegan_eval.engine.sampling import latents
from stylegan_eval.metrics.path_length import measure_pairs
from stylegan_eval.settings.others import PplSettings
from tests.eval.fakes import LinearGenerator
from tests.eval.test_ppl import Normalising, Pixels

CPU = torch.device("cpu")
PAIRS = 48


class Peer(torch.nn.Module):
    """The same generator and the same latents for torchmetrics; images in [0, 255]."""

    def __init__(self, generator, *, unit):
        super().__init__()
        self.generator = generator
        self.unit = unit
        self.drawn = 0

    def sample(self, num_samples):
        indices = range(self.drawn, 2 * num_samples, 2)
        self.drawn += 1
        z = latents(0, indices, self.generator.z_dim)
        # Its spherical interpolation is one only for latents of equal length.
        return z / z.norm(dim=1, keepdim=True) if self.unit else z

    def forward(self, z):
        return (self.generator.synthesis(self.generator.mapping(z), []) + 1) * 127.5


class SquaredDifference(torch.nn.Module):
    """Distance of images."""

    def forward(self, a, b):
        return (a - b).square().sum(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("generator", "space", "interpolation"),
    [(LinearGenerator(), "w", "lerp"), (Normalising(), "z", "slerp_unit")],
)
def test_distances_at_the_end_are_those_of_torchmetrics(generator, space, interpolation):
    from torchmetrics.functional.image import perceptual_path_length

    _, _, expected = perceptual_path_length(
        Peer(generator, unit=space == "z"),
        num_samples=PAIRS,
        interpolation_method=interpolation,
        epsilon=1e-2,
        resize=None,
        lower_discard=None,
        upper_discard=None,
        sim_net=SquaredDifference(),
    )
    settings = PplSettings(num=PAIRS, crop="none", space=space, sampling="end", epsilon=1e-2)
    found = measure_pairs(generator, Pixels(), settings, range(PAIRS), CPU)[f"{space}end-finite"]
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=0)
