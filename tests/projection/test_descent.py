"""Projection of images: what a network drew is found again, by gradients that are right."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from stylegan.sample.painter import Painter
from stylegan.sample.projection import Centre, Objective, centre, project, seen
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.engine.sampling import Stream, latents
from stylegan_eval.errors import UserError
from stylegan_eval.networks.lpips import load_distance
from tests.train import golden

CPU = torch.device("cpu")


@dataclass(frozen=True)
class PixelEmbedding:
    """Distance: mean squared difference of pixels."""

    name: str = "pixels"
    mark: str = "pixels"
    identity: str = "pixels"

    def embed(self, images):
        return [images / images[0].numel() ** 0.5]


@pytest.fixture(scope="module")
def painter():
    """Configuration F at 32x32."""
    return Painter(golden.generator("F"))


@pytest.fixture(scope="module")
def origin(painter):
    return centre(painter)


@pytest.fixture(scope="module")
def perceptual():
    return load_distance("st-lpips-alex", None, CPU)


def drawn(painter, seed=0):
    """Some w of the network, and its image."""
    ws = painter.ws(latents(seed, [0], painter.network.z_dim).numpy()).clone()
    (image,) = painter.native(ws, painter.stored_noise())
    return ws, image.clone()


def quick(**values):
    return ProjectionSettings(**{"steps": 60, **values})


# What is found.


def test_the_centre_is_that_of_w(painter, origin):
    z = latents(0, range(10_000), painter.network.z_dim, Stream.CENTRE)
    with torch.no_grad():
        w = painter.network.f(z).double()
    assert torch.allclose(origin.mean.double(), w.mean(dim=0), atol=1e-5)
    assert origin.radius == pytest.approx(float(w.var(dim=0, correction=0).sum().sqrt()), rel=1e-5)
    assert origin.deviation == pytest.approx(origin.radius / w.shape[1] ** 0.5)


def test_an_image_of_the_network_is_found_in_w(painter, origin, perceptual):
    ws, image = drawn(painter)
    aim = Objective(painter, perceptual, image, 0.1)
    start, best = project(aim, origin, quick())
    assert best.perceived < 0.02 * start.perceived
    assert best.pixels < 0.02 * start.pixels
    w, mean = ws[0, 0], origin.mean
    assert torch.linalg.norm(best.ws[0, 0] - w) < 0.3 * torch.linalg.norm(mean - w)
    assert (best.ws == best.ws[:, :1]).all()  # one w for all layers


def test_more_freedom_comes_nearer_to_what_the_network_never_drew(painter, origin):
    stranger = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    aim = Objective(painter, PixelEmbedding(), stranger, 0.0)
    in_w, in_w_plus = (
        project(aim, origin, quick(space=space, steps=30))[1] for space in ("w", "w+")
    )
    assert in_w_plus.perceived < in_w.perceived
    assert not (in_w_plus.ws == in_w_plus.ws[:, :1]).all()


def test_the_start_is_the_mean_of_w_whatever_follows(painter, origin):
    _, image = drawn(painter)
    aim = Objective(painter, PixelEmbedding(), image, 0.0)
    start, _ = project(aim, origin, quick(steps=3))
    assert torch.equal(start.ws, origin.mean.expand(1, painter.network.num_ws, -1))
    with torch.no_grad():
        (image_of_mean,) = painter.native(start.ws, painter.stored_noise())
    assert start.pixels == pytest.approx(float((image_of_mean - image).square().mean()))


def test_what_is_told_of_a_place_is_true_of_it(painter, origin, perceptual):
    _, image = drawn(painter)
    aim = Objective(painter, perceptual, image, 0.5)
    _, best = project(aim, origin, quick(steps=10, space="w+"))
    (again,) = painter.native(best.ws, painter.stored_noise())
    assert float(perceptual(again, image)) == pytest.approx(best.perceived, rel=1e-4)
    assert float((again - image).square().mean()) == pytest.approx(best.pixels, rel=1e-4)


def test_the_best_is_kept_though_the_descent_goes_astray(painter, origin):
    _, image = drawn(painter)
    aim = Objective(painter, PixelEmbedding(), image, 0.0)
    told = []
    wild = quick(steps=20, lrate=30.0)
    start, best = project(aim, origin, wild, lambda steps, least: told.append((steps, least)))
    assert [steps for steps, _ in told] == [1] * 20
    least = [distance for _, distance in told]
    assert least == sorted(least, reverse=True)
    assert best.perceived <= least[-1] <= start.perceived


def test_layers_that_the_level_of_detail_leaves_out_stay_at_the_mean(painter, origin):
    coarse = Painter(painter.network, lod=1.0)
    _, image = drawn(coarse)
    assert image.shape[-1] == 16
    aim = Objective(coarse, PixelEmbedding(), image, 0.0)
    ws = project(aim, origin, quick(steps=5, space="w+", perturbation=0.5))[1].ws
    assert coarse.num_layers == ws.shape[1] - 2
    assert torch.equal(ws[0, -2:], origin.mean.expand(2, -1))
    assert not torch.equal(ws[0, -3], origin.mean)


def test_a_seed_gives_the_same_bits_and_another_seed_other_ones(painter, origin):
    _, image = drawn(painter)
    aim = Objective(painter, PixelEmbedding(), image, 0.0)

    def ws(**values):
        return project(aim, origin, quick(steps=4, **values))[1].ws

    assert torch.equal(ws(seed=1), ws(seed=1))
    assert not torch.equal(ws(seed=1), ws(seed=2))
    assert torch.equal(ws(seed=1, perturbation=0.0), ws(seed=2, perturbation=0.0))


# Gradients.


def test_gradients_are_those_of_finite_differences_in_float64(perceptual):
    network = golden.generator("F", torch.float64)
    rng = torch.Generator().manual_seed(0)
    target = torch.rand(1, 3, 32, 32, generator=rng, dtype=torch.float64) * 2 - 1
    aim = Objective(Painter(network), perceptual.double(), target, 0.3)
    shape = (1, network.num_ws, network.config.w_dim)
    ws = torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(aim.loss(*aim.parts(ws)).sum(), ws)
    for _ in range(3):
        towards = torch.randn(shape, generator=rng, dtype=torch.float64)
        step = 1e-6
        with torch.no_grad():
            ahead, behind = (
                float(aim.loss(*aim.parts(ws + sign * step * towards))) for sign in (1, -1)
            )
        assert float((gradient * towards).sum()) == pytest.approx(
            (ahead - behind) / (2 * step), rel=1e-5
        )


def test_each_latent_of_a_batch_has_its_own_distance(painter, perceptual):
    _, image = drawn(painter)
    aim = Objective(painter, perceptual, image, 0.0)
    both = painter.ws(latents(0, [0, 1], painter.network.z_dim).numpy())
    with torch.no_grad():
        (own, other), _ = aim.parts(both)
    assert own == pytest.approx(0, abs=1e-6)
    assert other > 1e-3


def test_large_images_are_seen_as_means_of_blocks():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 512, 512, generator=rng)
    expected = x.reshape(1, 3, 256, 2, 256, 2).mean(dim=(3, 5))
    assert torch.allclose(seen(x), expected, atol=1e-6)
    assert seen(x[..., :256, :256]).shape[-1] == 256
    assert seen(x[..., :64, :64]).shape[-1] == 64


# What cannot be done.


def test_a_loss_that_is_no_number_is_told(painter, origin):
    _, image = drawn(painter)
    aim = Objective(painter, PixelEmbedding(), image * np.inf, 0.0)
    with pytest.raises(UserError, match=r"diverged .* smaller --lrate"):
        project(aim, origin, quick())


def test_without_a_mapping_network_there_is_no_w():
    with pytest.raises(UserError, match="no W to project into"):
        centre(Painter(golden.generator("B")))


def test_a_network_of_one_w_is_told():
    network = golden.generator("F")
    with torch.no_grad():
        for value in network.f.parameters():
            value.zero_()
    with pytest.raises(UserError, match="all w of this network are the same"):
        centre(Painter(network))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1"),
        ({"pixels": -1.0}, "--pixels must be a number from 0 on"),
        ({"lrate": float("nan")}, "--lrate must be a number from 0 on"),
        ({"lrate": 0.0}, "--lrate must be above 0"),
        ({"perturbation": float("inf")}, "--perturbation must be a number"),
        ({"seed": -1}, "--seed must be 0 to"),
    ],
)
def test_unfit_settings_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        replace(ProjectionSettings(), **values)


def test_a_centre_has_the_deviation_of_its_entries():
    assert Centre(mean=torch.zeros(25), radius=10.0).deviation == 2.0
