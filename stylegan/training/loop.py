"""The training loop: steps of D and G."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stylegan.configs import Config, LossConfig
from stylegan.datasets.reals import RawBatch, process_reals
from stylegan.networks.compiled import CompiledDiscriminator, CompiledSynthesis
from stylegan.networks.generator import Generator, mix_styles
from stylegan.runtime import Runtime
from stylegan.training import losses
from stylegan.training.batches import RealImages, feed
from stylegan.training.optimizer import Tally, ema_beta, update_ema
from stylegan.training.partition import Execution, Share
from stylegan.training.randomness import StepRandom
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.state import TrainState

Images = Callable[[Tensor, Sequence[Tensor], float], Tensor]
Scores = Callable[[Tensor, Tensor | None, float], Tensor]


@dataclass(frozen=True)
class Forward:
    """Forward passes."""

    images: Images  # (ws, noise, lod) -> images; see `Synthesis.forward`
    scores: Scores
    """(images, labels, lod) -> scores; see `Discriminator.forward`. Differentiable once."""
    scores_twice: Scores  # The same, differentiable twice

    @classmethod
    def of(cls, state: TrainState, execution: Execution) -> "Forward":
        """Forward passes of G and D."""
        dtype = execution.dtype
        scores_twice: Scores = partial(state.D, dtype=dtype)
        if not execution.compile:
            return cls(partial(state.G.synthesis, dtype=dtype), scores_twice, scores_twice)
        images: Images = partial(CompiledSynthesis(state.G), dtype=dtype)
        return cls(images, partial(CompiledDiscriminator(state.D), dtype=dtype), scores_twice)


Terms = Mapping[str, Tensor]
Hook = Callable[[TrainState, TrainingPoint, Terms], None]


@dataclass(frozen=True)
class Pass:
    """What one pass of a step works on."""

    share: Share  # Which images of the minibatch; n of them
    reals: Tensor  # [n, C, H, W] in [-1, 1]
    labels: Tensor | None = None
    other_labels: Tensor | None = None
    """labels, other_labels: [n, label_size]: those of the reals, and of images drawn at random for
    G's step. None for an unconditional network."""

    @classmethod
    def of(cls, raw: RawBatch, share: Share, lod: float, device: torch.device) -> "Pass":
        """Move a batch to the device, then convert, mirror and fade it there."""
        images, mirror, labels, others = (part.to(device, non_blocking=True) for part in raw)
        reals = process_reals(images, lod=lod, mirror=mirror)
        conditional = labels.shape[1] > 0
        return cls(share, reals, labels if conditional else None, others if conditional else None)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the steps of D and of G at one place of the training have in common."""

    point: TrainingPoint  # Minibatch, learning rate, lod
    loss: LossConfig  # Which loss
    random: StepRandom  # All randomness
    runtime: Runtime  # Device and processes
    forward: Forward  # The networks, as they are to be run


def train(
    state: TrainState,
    reals: RealImages,
    config: Config,
    *,
    seed: int,
    runtime: Runtime,
    execution: Execution | None = None,
    hooks: Sequence[Hook] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until `total_kimg`, or until `should_stop`, checked once per schedule update.

    Every random number is a function of `seed` and the images shown, so a state saved by a hook
    continues as if it had never stopped. All processes hold the same state.

    Parameters
    ----------
    hooks : sequence of Hook
        Called after the steps of each schedule update with state, schedule values and loss terms.
    should_stop : callable
        Asked after the hooks; when any process says yes, all stop.
    """
    execution = execution or Execution()
    total_nimg = config.schedule.total_kimg * 1000
    forward = Forward.of(state, execution)
    with closing(feed(reals, config, state.nimg, execution, runtime)) as batches:
        while state.nimg < total_nimg:
            point = training_point(state.nimg, config)
            state.enter(point)
            shares = execution.shares(point, config, runtime)
            terms: dict[str, Tensor] = {}
            for _ in range(config.schedule.minibatch_repeats):
                step = Step(
                    point=point,
                    loss=config.loss,
                    random=StepRandom(seed, state.nimg, runtime.device),
                    runtime=runtime,
                    forward=forward,
                )
                terms |= both_steps(state, step, shares, batches, config.schedule.ema_kimg)
            for hook in hooks:
                hook(state, point, terms)
            if runtime.any(said=should_stop()):
                return


def both_steps(
    state: TrainState,
    step: Step,
    shares: Sequence[Share],
    batches: Iterator[RawBatch],
    ema_kimg: float,
) -> dict[str, Tensor]:
    """One step of D, of the moving average, and of G; the terms of both losses."""
    passes = [
        Pass.of(next(batches), share, step.point.lod, step.runtime.device) for share in shares
    ]
    terms = discriminator_step(state, step, passes)
    beta = ema_beta(step.point.minibatch, ema_kimg)
    update_ema(state.flat_ema, state.flat_G, beta)  # with D's step, so before G's
    state.G_ema.w_avg.copy_(state.G.w_avg)
    state.nimg += step.point.minibatch
    return terms | generator_step(state, step, passes)


def draw_cutoff(G: Generator, loss: LossConfig, lod: float, random: StepRandom) -> int | None:
    """Layer from which a minibatch takes a second latent; None when it is not mixed.

    Uniform over the layers active at `lod` but the first.
    """
    if loss.style_mixing_prob == 0:
        return None
    mixes = random.host.random() < loss.style_mixing_prob
    cutoff = int(random.host.integers(1, G.num_ws - 2 * int(lod)))
    return cutoff if mixes else None


def draw_ws(
    G: Generator, share: Share, labels: Tensor | None, cutoff: int | None, random: StepRandom
) -> tuple[Tensor, Tensor]:
    """Map fresh latents and mix styles.

    Returns
    -------
    ws : Tensor
        [n, num_ws, w_dim].
    w_mean : Tensor
        [w_dim], mean of w before mixing.
    """
    ws = G.mapping(random.normal(share, G.z_dim), labels)
    w_mean = ws.detach()[:, 0].mean(dim=0)
    if cutoff is not None:
        ws = mix_styles(ws, G.mapping(random.normal(share, G.z_dim), labels), cutoff)
    return ws, w_mean


def draw_fakes(
    state: TrainState, step: Step, share: Share, labels: Tensor | None, cutoff: int | None
) -> tuple[Tensor, Tensor]:
    """Fresh images as training sees them: mixed styles, fresh noise, no truncation.

    Returns
    -------
    images : Tensor
        [n, C, H, W].
    w_mean : Tensor
        [w_dim], mean of w before mixing.
    """
    ws, w_mean = draw_ws(state.G, share, labels, cutoff, step.random)
    sizes = state.G.g.noise_shapes(step.point.lod)
    noise = [step.random.normal(share, 1, *size) for size in sizes]
    return step.forward.images(ws, noise, step.point.lod), w_mean


def discriminator_terms(
    forward: Forward, batch: Pass, fakes: Tensor, t: Tensor | None, *, loss: LossConfig, lod: float
) -> dict[str, Tensor]:
    """Loss of D ("loss_D") and what it is made of, each a scalar.

    Parameters
    ----------
    forward : Forward
        D, whose weights require gradients.
    batch : Pass
        Reals, and the labels of reals and fakes.
    fakes : Tensor
        [n, C, H, W].
    t : Tensor or None
        [n, 1, 1, 1] in [0, 1): where WGAN-GP looks between them.
    """
    reals, labels = batch.reals, batch.labels
    uses_r1 = loss.kind == "logistic-r1" and loss.r1_gamma > 0
    reals.requires_grad_(uses_r1)
    real_score = forward.scores_twice if uses_r1 else forward.scores
    real_scores, fake_scores = real_score(reals, labels, lod), forward.scores(fakes, labels, lod)
    terms = {"score_real": real_scores.mean(), "score_fake": fake_scores.mean()}
    if loss.kind == "logistic-r1":
        value = losses.d_logistic(real_scores, fake_scores).mean()
        if uses_r1:
            # One pass of the reals serves loss and penalty.
            terms["r1"] = losses.squared_gradient_norm(real_scores, reals, lod).mean()
            value = value + loss.r1_gamma / 2 * terms["r1"]
    else:
        assert t is not None
        value = losses.d_wgan(real_scores, fake_scores, loss.drift).mean()
        mixed = losses.mix_images(reals, fakes, t).requires_grad_()
        norms2 = losses.squared_gradient_norm(forward.scores_twice(mixed, labels, lod), mixed, lod)
        terms["gp"] = losses.gradient_penalty(norms2, loss.gp_lambda, loss.gp_target).mean()
        value = value + terms["gp"]
    return terms | {"loss_D": value, "fake_spread": spread(fakes.detach())}


def spread(images: Tensor) -> Tensor:
    """Standard deviation over a minibatch [n, C, H, W], mean over pixels; a scalar.

    PyTorch's own takes thirty times as long over the first dimension.
    """
    squares = (images - images.mean(dim=0)).square().sum(dim=0)
    return (squares / max(len(images) - 1, 1)).sqrt().mean()


def generator_loss(scores: Tensor, loss: LossConfig) -> Tensor:
    """Loss of G, a scalar, from D's scores [N, 1] of its images."""
    objective = losses.g_wgan if loss.kind == "wgan-gp" else losses.g_logistic_nonsaturating
    return objective(scores).mean()


def discriminator_step(state: TrainState, step: Step, passes: Sequence[Pass]) -> dict[str, Tensor]:
    """One step of D; the terms of its loss, over the whole minibatch."""
    cutoff = draw_cutoff(state.G, step.loss, step.point.lod, step.random)
    state.D.requires_grad_(requires_grad=True)
    tally = Tally(state.flat_D)
    for batch in passes:
        _discriminator_pass(state, step, batch, cutoff, tally)
    w_mean, terms = tally.total(step.runtime)
    state.G.update_w_avg(w_mean[None])
    return terms | {"grad_norm_D": state.optimizer_D.update(step.point.lrate)}


def _discriminator_pass(
    state: TrainState, step: Step, batch: Pass, cutoff: int | None, tally: Tally
) -> None:
    """Add the gradients and loss terms of D for one micro-batch; its graph is freed on return."""
    with torch.no_grad():
        fakes, w_mean = draw_fakes(state, step, batch.share, batch.labels, cutoff)
    gp = step.loss.kind == "wgan-gp"
    t = step.random.uniform(batch.share, 1, 1, 1) if gp else None
    lod, weight = step.point.lod, batch.share.weight
    terms = discriminator_terms(step.forward, batch, fakes, t, loss=step.loss, lod=lod)
    # Of R1's two gradients of the reals, this one would be thrown away.
    weights = list(state.D.parameters())
    torch.autograd.backward(terms["loss_D"] * weight, inputs=weights)
    tally.add(w_mean, terms, weight)


def generator_step(state: TrainState, step: Step, passes: Sequence[Pass]) -> dict[str, Tensor]:
    """One step of G; its loss, over the whole minibatch."""
    cutoff = draw_cutoff(state.G, step.loss, step.point.lod, step.random)
    state.D.requires_grad_(requires_grad=False)  # its weights' gradients would be thrown away
    tally = Tally(state.flat_G)
    for batch in passes:
        _generator_pass(state, step, batch, cutoff, tally)
    w_mean, terms = tally.total(step.runtime)
    state.G.update_w_avg(w_mean[None])
    return terms | {"grad_norm_G": state.optimizer_G.update(step.point.lrate)}


def _generator_pass(
    state: TrainState, step: Step, batch: Pass, cutoff: int | None, tally: Tally
) -> None:
    """Add the gradients and the loss of G for one micro-batch."""
    labels, weight = batch.other_labels, batch.share.weight
    fakes, w_mean = draw_fakes(state, step, batch.share, labels, cutoff)
    value = generator_loss(step.forward.scores(fakes, labels, step.point.lod), step.loss)
    torch.autograd.backward(value * weight)
    tally.add(w_mean, {"loss_G": value}, weight)
