"""Properties that only imported networks have: recorded, and nothing where they are the official
code's."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from benchmarks.jobs import Training, ask
from benchmarks.plan.model import work_key
from benchmarks.scales import named_scale, training_config
from stylegan.configs import config_from_dict, config_to_dict
from stylegan.networks.generator import build_discriminator, build_generator
from stylegan_eval.errors import UserError
from tests.fresh import draw_noise
from tests.train import golden

PROPERTIES = {
    "instance_eps": 1e-5,
    "bias_before_blur": True,
    "shared_noise": True,
    "from_rgb_lrelu": False,
}


def changed(**properties):
    config = golden.small_config("F")
    return replace(config, network=replace(config.network, **properties))


def randomised(network, seed=0):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return network.double()


def demo_training():
    return training_config("F", named_scale("demo-32"), "ffhq", kimg=None, gpus=1)


def test_names_of_trainings_and_keys_of_counts_stay_what_they_were():
    config = demo_training()
    training = Training(network="F", seed=0, config=config, precision="fp32", data="digest")
    assert training.name == "F-seed0-301dbe3386"
    assert ask("table1", "demo-32", "ffhq").name == "table1-demo-32-ffhq-44f841d098"
    assert work_key(config, 32) == "679e60cc73654184"


@pytest.mark.parametrize(("name", "value"), PROPERTIES.items())
def test_a_property_is_written_only_where_it_is_not_the_official_one(name, value):
    official = config_to_dict(golden.small_config("F"))
    assert name not in official["network"]
    config = changed(**{name: value})
    tree = json.loads(json.dumps(config_to_dict(config)))
    assert tree["network"].keys() == {*official["network"], name}
    assert config_from_dict(tree) == config
    del tree["network"][name]
    assert config_from_dict(tree) == golden.small_config("F")
    assert work_key(config, 32) != work_key(golden.small_config("F"), 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [("instance_eps", 0.0), ("instance_eps", True), ("shared_noise", 1), ("from_rgb_lrelu", "no")],
)
def test_a_property_from_a_file_is_checked(name, value):
    tree = config_to_dict(golden.small_config("F"))
    tree["network"][name] = value
    with pytest.raises(UserError, match=name):
        config_from_dict(tree)


@torch.no_grad()
@pytest.mark.parametrize("lod", [0.0, 1.5])
def test_shared_noise_is_one_map_per_resolution_in_both_layers(lod):
    shared = build_generator(changed(shared_noise=True), seed=0)
    apart = build_generator(golden.small_config("F"), seed=0)
    randomised(apart).load_state_dict(randomised(shared).state_dict(), strict=False)
    shapes = shared.g.noise_shapes(lod)
    assert shapes == [(4 << i,) * 2 for i in range(4 - int(lod))]
    assert [tuple(m.shape[2:]) for m in shared.g.fixed_noise(lod)] == shapes
    rng = torch.Generator().manual_seed(1)
    noise = [m.double() for m in draw_noise(shared, 2, rng, lod)]
    ws = shared.mapping(torch.randn(2, shared.z_dim, generator=rng, dtype=torch.float64))
    twice = [m for m in noise for _ in range(2)]
    assert torch.equal(shared.synthesis(ws, noise, lod), apart.synthesis(ws, twice, lod))
    with pytest.raises(ValueError, match="resolutions"):
        shared.synthesis(ws, twice, lod)


@torch.no_grad()
def test_bias_before_blur_darkens_the_border_alone():
    """Blur of a constant is the constant, but for the zeros it takes in along the border."""
    layer = randomised(build_generator(changed(bias_before_blur=True), seed=0)).g.layers[1]
    plain = randomised(build_generator(golden.small_config("F"), seed=0)).g.layers[1]
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(2, layer.conv.weight.shape[1], 4, 4, generator=rng, dtype=torch.float64)
    w = torch.randn(2, 32, generator=rng, dtype=torch.float64)
    bias = layer.epilogue.bias[:, None, None]
    lost = bias * (1 - plain.blur(torch.ones(1, len(bias), 8, 8, dtype=torch.float64)))
    layer.epilogue.style = plain.epilogue.style = None
    layer.epilogue.normalization = plain.epilogue.normalization = None
    unact = [torch.where(y > 0, y, y / 0.2) for y in (layer(x, w, None), plain(x, w, None))]
    torch.testing.assert_close(unact[1] - unact[0], lost.expand_as(unact[0]), atol=1e-12, rtol=0)
    assert lost[..., 1:-1, 1:-1].abs().max() == 0 < lost.abs().max()


@torch.no_grad()
def test_instance_eps_is_added_to_the_variance():
    layer = randomised(build_generator(changed(instance_eps=1e-2), seed=0)).g.layers[0].epilogue
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(2, len(layer.bias), 4, 4, generator=rng, dtype=torch.float64) * 0.1
    w = torch.randn(2, 32, generator=rng, dtype=torch.float64)
    y = F.leaky_relu(x + layer.bias[:, None, None], 0.2)
    scale, shift = layer.style(w)[..., None, None].chunk(2, dim=1)
    expected = F.instance_norm(y, eps=1e-2) * (scale + 1) + shift
    torch.testing.assert_close(layer(x, w, None), expected, atol=1e-12, rtol=0)


@torch.no_grad()
def test_from_rgb_without_activation_is_linear():
    D = randomised(build_discriminator(changed(from_rgb_lrelu=False), seed=0))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    layer = D.from_rgb[0]
    expected = torch.einsum("oc,nchw->nohw", layer.weight[..., 0, 0] * layer.scale, images)
    torch.testing.assert_close(layer(images), expected + layer.bias[:, None, None])
    active = randomised(build_discriminator(golden.small_config("F"), seed=0))
    assert not torch.allclose(D(images), active(images))
