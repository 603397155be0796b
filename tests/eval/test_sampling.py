import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.sampling import (
    Stream,
    draw,
    latents,
    mirror_flags,
    noise_maps,
    random_stream,
    to_uint8,
)
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import in_channels
from stylegan_eval.metrics.image_pass import GeneratedImages
from tests.eval.fakes import LinearGenerator

CPU = torch.device("cpu")
GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "fid.npz")


def test_uint8_equals_the_official_conversion():
    images = torch.from_numpy(GOLDEN["to_uint8_in"])
    assert images.min() < -1
    assert images.max() > 1
    np.testing.assert_array_equal(to_uint8(images).numpy(), GOLDEN["to_uint8_out"])


def test_uint8_rounds_half_up_and_saturates():
    x = torch.tensor([-9.0, -1.0, -1 / 255, 0.0, 0.5 / 127.5, 1.0, 9.0]).view(1, 1, 1, -1)
    assert to_uint8(x).flatten().tolist() == [0, 0, 127, 128, 128, 255, 255]


def test_bytes_survive_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_uint8_refuses_pixels_that_are_not_finite(bad):
    images = torch.zeros(2, 3, 4, 4)
    images[1, 2, 3, 3] = bad
    with pytest.raises(UserError, match="NaN or infinite"):
        to_uint8(images)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9), st.integers(0, 2**63 - 1))
def test_an_image_does_not_know_its_batch(indices, seed):
    shapes = [(4, 4), (3, 5)]
    z = latents(seed, indices, 5)
    noise = noise_maps(seed, indices, shapes, CPU)
    assert [layer.shape for layer in noise] == [(len(indices), 1, *shape) for shape in shapes]
    for row, index in enumerate(indices):
        assert torch.equal(latents(seed, [index], 5)[0], z[row])
        for alone, together in zip(noise_maps(seed, [index], shapes, CPU), noise, strict=True):
            assert torch.equal(alone[0], together[row])


def test_latents_are_these_numbers():
    # Philox 4x64 keyed by (seed, index), then NumPy's ziggurat: a change moves every result.
    golden = json.loads((Path(__file__).parents[1] / "golden" / "fid.json").read_text())
    np.testing.assert_array_equal(latents(5, [0, 7], 3).numpy(), np.float32(golden["latents"]))
    assert mirror_flags(5, range(16)).astype(int).tolist() == golden["mirror_flags"]


def test_latents_and_noise_are_normal_and_unrelated():
    z = latents(0, range(4000), 16)
    (noise,) = noise_maps(0, range(4000), [(4, 4)], CPU)
    joint = torch.cat([z, noise.flatten(1), latents(1, range(4000), 16)], dim=1)  # [N, 48]
    bound = 5 / 4000**0.5
    assert joint.mean(dim=0).abs().max() < bound
    assert (torch.cov(joint.T) - torch.eye(48)).abs().max() < 1.5 * bound


def test_streams_differ():
    draws = {random_stream(3, 4, stream).random() for stream in Stream}
    assert len(draws) == len(Stream)


def test_half_of_the_images_are_mirrored():
    assert abs(mirror_flags(0, range(4000)).mean() - 0.5) < 0.04
    assert mirror_flags(1, range(64)).tolist() != mirror_flags(0, range(64)).tolist()


def batches(generator, seed, num, batch):
    source = GeneratedImages(generator=generator, seed=seed, batch=batch, device=CPU)
    return [samples.images for samples in source.batches(range(num))]


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_generated_images_are_the_same_for_every_batch_size(batch):
    (whole,) = batches(LinearGenerator(), 3, 20, 20)
    parts = batches(LinearGenerator(), 3, 20, batch)
    assert max(map(len, parts)) == min(batch, 20)
    # A matrix product may round differently for another number of rows: one level at most.
    assert (torch.cat(parts).int() - whole.int()).abs().max() <= 1


def test_generated_images_depend_on_seed_and_noise():
    one, other = (batches(LinearGenerator(), seed, 4, 4)[0].float() for seed in (0, 1))
    assert (one - other).abs().mean() > 1
    quiet = batches(LinearGenerator(noise_shapes=()), 0, 4, 4)[0].float()
    assert 0 < (one - quiet).abs().max() < 30


def test_inference_mode_ends_with_each_batch():
    for _ in batches(LinearGenerator(), 0, 4, 2):
        assert not torch.is_inference_mode_enabled()


class InChannels(LinearGenerator):
    """The same images with another number of channels; alpha goes from 0 to 1 across."""

    channels = 3

    def synthesis(self, ws, noise):
        images = super().synthesis(ws, noise)
        alpha = torch.linspace(-1.5, 1.5, images.shape[-1]).expand_as(images[:, :1])
        return torch.cat([images, alpha], dim=1)[:, : self.channels]


def test_a_generator_of_two_channels_is_refused():
    generator = InChannels()
    generator.channels = 2
    with pytest.raises(UserError, match="grey, RGB and RGBA generators can be"):
        draw(generator, 0, range(2), CPU)


def test_grey_is_three_equal_channels():
    generator = InChannels()
    generator.channels = 1
    _, _, images = draw(generator, 0, range(2), CPU)
    _, _, colours = draw(LinearGenerator(), 0, range(2), CPU)
    assert torch.equal(images, colours[:, :1].expand(-1, 3, -1, -1))


def test_alpha_is_put_over_white_as_of_png_files():
    generator = InChannels()
    generator.channels = 4
    _, _, shown = draw(generator, 0, range(2), CPU)
    with torch.inference_mode():
        ws = generator.mapping(latents(0, range(2), generator.z_dim))
        noise = noise_maps(0, range(2), generator.noise_shapes, CPU)
        rgba = to_uint8(generator.synthesis(ws, noise))
    for image, drawn in zip(to_uint8(shown), rgba, strict=True):
        expected = in_channels(drawn.numpy(), 3)
        assert np.abs(image.numpy().astype(int) - expected).max() <= 1  # rounded once, not twice
        assert (image[:, :, 0] == 255).all()
