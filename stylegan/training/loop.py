"""The training algorithm: alternate steps of D and G along the schedule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from stylegan.configs import Config, LossConfig
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator, mix_styles
from stylegan.runtime import Runtime, StepRandom
from stylegan.training import losses
from stylegan.training.optimizer import ema_beta, update_ema
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.state import TrainState

Terms = Mapping[str, Tensor]
Hook = Callable[[TrainState, TrainingPoint, Terms], None]


class RealImages(Protocol):
    """Source of real minibatches."""

    def batch(self, start: int, count: int, *, lod: float, device: torch.device) -> Tensor:
        """Images start .. start + count of the endless order, [N, C, H, W] in [-1, 1]."""


def train(
    state: TrainState,
    reals: RealImages,
    config: Config,
    *,
    seed: int,
    runtime: Runtime,
    hooks: Sequence[Hook] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until `total_kimg`, or until `should_stop` says so between two looks at the schedule.

    Every random number is a function of `seed` and the images shown, so a state saved by a hook
    continues as if it had never stopped.

    Parameters
    ----------
    state : TrainState
        Changed in place.
    reals : RealImages
        Minibatches of real images.
    config : Config
        What to train and how.
    seed : int
        Seed of all randomness.
    runtime : Runtime
        Device.
    hooks : sequence of Hook
        Called after each look's steps with the state, the schedule's point and the loss terms.
    should_stop : callable
        Asked after the hooks.
    """
    total_nimg = config.schedule.total_kimg * 1000
    while state.nimg < total_nimg:
        point = training_point(state.nimg, config)
        state.enter(point)
        beta = ema_beta(point.minibatch, config.schedule.ema_kimg)
        terms: dict[str, Tensor] = {}
        for _ in range(config.schedule.minibatch_repeats):
            random = StepRandom.at(seed, state.nimg, runtime.device)
            images = reals.batch(state.nimg, point.minibatch, lod=point.lod, device=runtime.device)
            terms |= discriminator_step(state, images, point, config.loss, random)
            update_ema(state.G_ema, state.G, beta)  # with D's step, so before G's
            state.nimg += point.minibatch
            terms |= generator_step(state, point, config.loss, random)
        for hook in hooks:
            hook(state, point, terms)
        if should_stop():
            return


def draw_ws(G: Generator, n: int, loss: LossConfig, lod: float, random: StepRandom) -> Tensor:
    """Map fresh latents, move w_avg, and mix styles with the configured probability.

    The cutoff is uniform over the layers active at `lod` but the first, one per minibatch.

    Returns
    -------
    Tensor
        [n, num_ws, w_dim].
    """

    def latents() -> Tensor:
        return torch.randn(n, G.z_dim, generator=random.device, device=random.device.device)

    ws = G.mapping(latents())
    G.update_w_avg(ws[:, 0])
    if loss.style_mixing_prob > 0:
        active = G.num_ws - 2 * int(lod)
        mixes = random.host.random() < loss.style_mixing_prob
        cutoff = int(random.host.integers(1, active))
        ws2 = G.mapping(latents())
        ws = mix_styles(ws, ws2, cutoff) if mixes else ws
    return ws


def draw_fakes(G: Generator, n: int, loss: LossConfig, lod: float, random: StepRandom) -> Tensor:
    """Fresh images [n, C, H, W] as training sees them: mixed styles, fresh noise, no truncation."""
    ws = draw_ws(G, n, loss, lod, random)
    return G.synthesis(ws, G.draw_noise(n, random.device, lod), lod)


def discriminator_terms(
    D: Discriminator, reals: Tensor, fakes: Tensor, t: Tensor, *, loss: LossConfig, lod: float
) -> dict[str, Tensor]:
    """Loss of D ("loss_D") and what it is made of, each a scalar.

    Parameters
    ----------
    D : Discriminator
        Its weights require gradients.
    reals, fakes : Tensor
        [N, C, H, W].
    t : Tensor
        [N, 1, 1, 1] in [0, 1): where WGAN-GP looks between them; unused by the logistic loss.
    loss : LossConfig
        Which loss.
    lod : float
        Level of detail.
    """
    uses_r1 = loss.kind == "logistic-r1" and loss.r1_gamma > 0
    reals.requires_grad_(uses_r1)
    real_scores, fake_scores = D(reals, lod=lod), D(fakes, lod=lod)
    terms = {"score_real": real_scores.mean(), "score_fake": fake_scores.mean()}
    if loss.kind == "logistic-r1":
        value = losses.d_logistic(real_scores, fake_scores).mean()
        if uses_r1:
            # One pass of the reals serves loss and penalty.
            terms["r1"] = losses.squared_gradient_norm(real_scores, reals, lod).mean()
            value = value + loss.r1_gamma / 2 * terms["r1"]
    else:
        value = losses.d_wgan(real_scores, fake_scores, loss.drift).mean()
        mixed = losses.mix_images(reals, fakes, t).requires_grad_()
        norms2 = losses.squared_gradient_norm(D(mixed, lod=lod), mixed, lod)
        terms["gp"] = losses.gradient_penalty(norms2, loss.gp_lambda, loss.gp_target).mean()
        value = value + terms["gp"]
    return terms | {"loss_D": value}


def generator_loss(scores: Tensor, loss: LossConfig) -> Tensor:
    """Loss of G, a scalar, from D's scores [N, 1] of its images."""
    objective = losses.g_wgan if loss.kind == "wgan-gp" else losses.g_logistic_nonsaturating
    return objective(scores).mean()


def discriminator_step(
    state: TrainState, reals: Tensor, point: TrainingPoint, loss: LossConfig, random: StepRandom
) -> dict[str, Tensor]:
    """One step of D; the terms of its loss."""
    with torch.no_grad():
        fakes = draw_fakes(state.G, len(reals), loss, point.lod, random)
    t = torch.rand(len(reals), 1, 1, 1, generator=random.device, device=reals.device)
    state.D.requires_grad_(requires_grad=True).zero_grad()
    terms = discriminator_terms(state.D, reals, fakes, t, loss=loss, lod=point.lod)
    terms["loss_D"].backward()  # type: ignore[no-untyped-call]
    state.skipped_D += not state.optimizer_D.update(point.lrate)
    return {key: term.detach() for key, term in terms.items()}


def generator_step(
    state: TrainState, point: TrainingPoint, loss: LossConfig, random: StepRandom
) -> dict[str, Tensor]:
    """One step of G; its loss."""
    state.D.requires_grad_(requires_grad=False)  # its weights' gradients would be thrown away
    state.G.zero_grad()
    fakes = draw_fakes(state.G, point.minibatch, loss, point.lod, random)
    value = generator_loss(state.D(fakes, lod=point.lod), loss)
    value.backward()  # type: ignore[no-untyped-call]
    state.skipped_G += not state.optimizer_G.update(point.lrate)
    return {"loss_G": value.detach()}
