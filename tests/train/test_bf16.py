"""Bfloat16 inside the networks: float32 outside, and near the float32 numbers."""

import pytest
import torch

from tests.train import golden

ROWS = ("A", "B", "F")
COSINE = {"images": 0.998, "grad_G": 0.97, "grad_D": 0.996}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("lod", [0.0, 0.5])
def test_within_the_stated_bounds_of_float32(row, lod):
    exact, rough = (
        golden.step_outputs(row, lod, dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    assert not torch.equal(exact["images"], rough["images"])
    for key, value in exact.items():
        assert rough[key].dtype == torch.float32, key
        assert (rough[key] - value).norm() <= golden.BFLOAT16_BOUNDS[key] * value.norm(), key
    for key, least in COSINE.items():
        pair = exact[key].flatten(), rough[key].flatten()
        assert torch.cosine_similarity(*pair, dim=0) >= least, key


def test_float32_stands_for_the_weights_own_type():
    G = golden.generator("F", torch.float64)
    ws = G.mapping(golden.tensor("F", "latents", torch.float64))
    images = G.synthesis(ws, G.g.fixed_noise(), dtype=torch.float32)
    assert images.dtype == torch.float64
    D = golden.discriminator("F", torch.float64)
    assert D(images, dtype=torch.float32).dtype == torch.float64
