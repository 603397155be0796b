"""The training loop: steps of D and G."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stylegan.configs import Config, LossConfig
from stylegan.datasets.reals import RawBatch, process_reals
from stylegan.networks.compiled import Draw, Score, compiled_discriminator, compiled_synthesis
from stylegan.networks.generator import Generator, mix_styles
from stylegan.runtime import Runtime
from stylegan.training import losses
from stylegan.training.batches import RealImages, feed
from stylegan.training.optimizer import ema_beta, update_ema
from stylegan.training.partition import Execution, Share
from stylegan.training.randomness import StepRandom
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.state import TrainState

Terms = Mapping[str, Tensor]
Hook = Callable[[TrainState, TrainingPoint, Terms], None]


@dataclass(frozen=True)
class MicroBatch:
    """Real images that are worked on at once."""

    share: Share  # Their places in the minibatch; n of them
    reals: Tensor  # [n, C, H, W] in [-1, 1]
    labels: Tensor | None = None  # [n, label_size], of the reals; None for an unconditional network
    other_labels: Tensor | None = None  # [n, label_size], of random images, for G's step

    @classmethod
    def of(cls, raw: RawBatch, share: Share, lod: float, device: torch.device) -> "MicroBatch":
        """Move a batch to the device, then convert, mirror and fade it there."""
        images, mirror, labels, others = (part.to(device, non_blocking=True) for part in raw)
        reals = process_reals(images, lod=lod, mirror=mirror)
        conditional = labels.shape[1] > 0
        return cls(share, reals, labels if conditional else None, others if conditional else None)


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
    continues as if it had never stopped. All processes hold the same state. Hooks are called after
    the steps of each schedule update; when `should_stop` is true in any process after them, all
    stop.
    """
    execution = execution or Execution()
    total_nimg = config.schedule.total_kimg * 1000
    steps = Steps(state, config, runtime, execution)
    with closing(feed(reals, config, state.nimg, execution, runtime)) as batches:
        while state.nimg < total_nimg:
            point = training_point(state.nimg, config)
            state.enter(point)
            shares = execution.shares(point, config, runtime)
            terms: dict[str, Tensor] = {}
            for _ in range(config.schedule.minibatch_repeats):
                random = StepRandom(seed, state.nimg, runtime.device)
                with runtime.processes.doing(f"kimg {state.nimg / 1000:.1f}", step=True):
                    terms |= steps.both(point, random, shares, batches)
            for hook in hooks:
                hook(state, point, terms)
            if runtime.any(here=should_stop()):
                return


class Steps:
    """Steps of D and of G.

    `execution`: Type of the networks; whether that which is differentiated once is compiled.
    """

    def __init__(
        self, state: TrainState, config: Config, runtime: Runtime, execution: Execution
    ) -> None:
        self.state, self.config, self.runtime = state, config, runtime
        dtype = execution.dtype
        self.draw: Draw = partial(state.G.synthesis, dtype=dtype)
        self.score: Score = partial(state.D, dtype=dtype)
        self.score_twice = self.score
        if execution.compile:
            self.draw = compiled_synthesis(state.G, dtype)
            self.score = compiled_discriminator(state.D, dtype)

    def both(
        self,
        point: TrainingPoint,
        random: StepRandom,
        shares: Sequence[Share],
        raw: Iterator[RawBatch],
    ) -> dict[str, Tensor]:
        """One step of D, of the moving average, and of G; the terms of both losses."""
        state, device = self.state, self.runtime.device
        batches = [MicroBatch.of(next(raw), share, point.lod, device) for share in shares]
        terms = self.discriminator_step(point, random, batches)
        beta = ema_beta(point.minibatch, self.config.schedule.ema_kimg)
        update_ema(state.flat_ema, state.flat_G, beta)  # with D's step, so before G's
        state.G_ema.w_avg.copy_(state.G.w_avg)
        state.nimg += point.minibatch
        return terms | self.generator_step(point, random, batches)

    def discriminator_step(
        self, point: TrainingPoint, random: StepRandom, batches: Sequence[MicroBatch]
    ) -> dict[str, Tensor]:
        """One step of D; the terms of its loss, over the whole minibatch."""
        state, loss = self.state, self.config.loss
        cutoff = draw_cutoff(state.G, loss, point.lod, random)
        state.D.requires_grad_(requires_grad=True)
        state.flat_D.clear()
        for batch in batches:
            self._discriminator_pass(batch, cutoff, point.lod, random)
        w_mean, terms = state.flat_D.add_up(self.runtime)
        state.G.update_w_avg(w_mean[None])
        return terms | {"grad_norm_D": state.optimizer_D.update(point.lrate)}

    def _discriminator_pass(
        self, batch: MicroBatch, cutoff: int | None, lod: float, random: StepRandom
    ) -> None:
        """Add the gradients and loss terms of D for one micro-batch; its graph goes on return."""
        share, loss = batch.share, self.config.loss
        with torch.no_grad():
            fakes, w_mean = self.draw_fakes(share, batch.labels, cutoff, lod, random)
        t = random.uniform(share, 1, 1, 1) if loss.kind == "wgan-gp" else None
        terms = self.discriminator_terms(batch, fakes, t, lod)
        # Of R1's two gradients of the reals, this one would be thrown away.
        weights = list(self.state.D.parameters())
        torch.autograd.backward(terms["loss_D"] * share.weight, inputs=weights)
        self.state.flat_D.add(w_mean, terms, share.weight)

    def discriminator_terms(
        self, batch: MicroBatch, fakes: Tensor, t: Tensor | None, lod: float
    ) -> dict[str, Tensor]:
        """Loss of D ("loss_D") and what it is made of, each a scalar.

        `t` [n, 1, 1, 1] in [0, 1) is where WGAN-GP looks between reals and fakes [n, C, H, W].
        """
        reals, labels, loss = batch.reals, batch.labels, self.config.loss
        uses_r1 = loss.kind == "logistic-r1" and loss.r1_gamma > 0
        reals.requires_grad_(uses_r1)
        score_reals = self.score_twice if uses_r1 else self.score
        real_scores, fake_scores = score_reals(reals, labels, lod), self.score(fakes, labels, lod)
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
            scores = self.score_twice(mixed, labels, lod)
            norms2 = losses.squared_gradient_norm(scores, mixed, lod)
            terms["gp"] = losses.gradient_penalty(norms2, loss.gp_lambda, loss.gp_target).mean()
            value = value + terms["gp"]
        return terms | {"loss_D": value, "fake_spread": spread(fakes.detach())}

    def generator_step(
        self, point: TrainingPoint, random: StepRandom, batches: Sequence[MicroBatch]
    ) -> dict[str, Tensor]:
        """One step of G; its loss, over the whole minibatch."""
        state = self.state
        cutoff = draw_cutoff(state.G, self.config.loss, point.lod, random)
        state.D.requires_grad_(requires_grad=False)  # its weights' gradients would be thrown away
        state.flat_G.clear()
        for batch in batches:
            self._generator_pass(batch, cutoff, point.lod, random)
        w_mean, terms = state.flat_G.add_up(self.runtime)
        state.G.update_w_avg(w_mean[None])
        return terms | {"grad_norm_G": state.optimizer_G.update(point.lrate)}

    def _generator_pass(
        self, batch: MicroBatch, cutoff: int | None, lod: float, random: StepRandom
    ) -> None:
        """Add the gradients and the loss of G for one micro-batch."""
        labels, weight = batch.other_labels, batch.share.weight
        fakes, w_mean = self.draw_fakes(batch.share, labels, cutoff, lod, random)
        value = generator_loss(self.score(fakes, labels, lod), self.config.loss)
        torch.autograd.backward(value * weight)
        self.state.flat_G.add(w_mean, {"loss_G": value}, weight)

    def draw_fakes(
        self,
        share: Share,
        labels: Tensor | None,
        cutoff: int | None,
        lod: float,
        random: StepRandom,
    ) -> tuple[Tensor, Tensor]:
        """Fresh images as training sees them: mixed styles, fresh noise, no truncation.

        Returns `images`: [n, C, H, W]. `w_mean`: [w_dim], mean of w before mixing.
        """
        G = self.state.G
        ws, w_mean = draw_ws(G, share, labels, cutoff, random)
        noise = [random.normal(share, 1, *size) for size in G.g.noise_shapes(lod)]
        return self.draw(ws, noise, lod), w_mean


def draw_cutoff(G: Generator, loss: LossConfig, lod: float, random: StepRandom) -> int | None:
    """Layer, uniform over all active but the first, from which a minibatch mixes; None if not."""
    if loss.style_mixing_prob == 0:
        return None
    mixes = random.host.random() < loss.style_mixing_prob
    cutoff = int(random.host.integers(1, G.num_ws - 2 * int(lod)))
    return cutoff if mixes else None


def draw_ws(
    G: Generator, share: Share, labels: Tensor | None, cutoff: int | None, random: StepRandom
) -> tuple[Tensor, Tensor]:
    """Map fresh latents and mix styles: ws [n, num_ws, w_dim], mean of w before mixing [w_dim]."""
    ws = G.mapping(random.normal(share, G.z_dim), labels)
    w_mean = ws.detach()[:, 0].mean(dim=0)
    if cutoff is not None:
        ws = mix_styles(ws, G.mapping(random.normal(share, G.z_dim), labels), cutoff)
    return ws, w_mean


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
