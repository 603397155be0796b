"""The training loop: steps of D and G, and their random numbers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stylegan.configs import Config, LossConfig
from stylegan.datasets.reals import RawBatch, Reals, process_reals
from stylegan.networks.compiled import Draw, Score, compiled
from stylegan.networks.generator import Generator, mix_styles
from stylegan.networks.synthesis import split_lod
from stylegan.runtime import Runtime, stream_seed
from stylegan.training import losses
from stylegan.training.batches import feed
from stylegan.training.optimizer import ema_beta, update_ema
from stylegan.training.partition import Execution, Share
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.state import TrainState
from stylegan_eval.engine.sampling import keyed_normal, keyed_uniform

# Last element of each stream's key.
_FAKES, _HOST, _PENALTY = range(3)
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
    def of(
        cls, raw: RawBatch, share: Share, fade: Tensor | None, device: torch.device
    ) -> "MicroBatch":
        """Move a batch to the device, then convert, mirror and fade it there."""
        images, mirror, labels, others = (part.to(device, non_blocking=True) for part in raw)
        reals = process_reals(images, fade=fade, mirror=mirror)
        conditional = labels.shape[1] > 0
        return cls(share, reals, labels if conditional else None, others if conditional else None)


def train(
    state: TrainState,
    reals: Reals,
    config: Config,
    *,
    seed: int,
    runtime: Runtime,
    execution: Execution = Execution(),
    hooks: Sequence[Hook] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until `total_kimg`, or until `should_stop`, checked once per schedule update.

    Every random number is a function of `seed` and the images shown, so a state saved by a hook
    continues as if it had never stopped. All processes hold the same state. Hooks are called after
    the steps of each schedule update; when `should_stop` is true in any process after them, all
    stop.
    """
    total_nimg = config.schedule.total_kimg * 1000
    steps = Steps(state, config, runtime, execution, seed)
    with closing(feed(reals, config, state.nimg, execution, runtime)) as batches:
        while state.nimg < total_nimg:
            point = training_point(state.nimg, config)
            state.enter(point)
            shares = execution.shares(point, config, runtime)
            terms: dict[str, Tensor] = {}
            for _ in range(config.schedule.minibatch_repeats):
                with runtime.processes.doing(f"kimg {state.nimg / 1000:.1f}", step=True):
                    terms |= steps.both(point, shares, batches)
            for hook in hooks:
                hook(state, point, terms)
            if runtime.any(here=should_stop()):
                return


class Purpose(IntEnum):
    """Whose step the fakes of an image are for."""

    D = 0
    G = 1


class StepRandom:
    """Random numbers of one step after the other, on `device`.

    An image of the stream that training shows has numbers of its own, in whatever process and
    micro-batch it is drawn, on every device. Nothing is ever stored: a resumed run has them again.
    """

    host: np.random.Generator
    """Decisions for the whole minibatch of a step: whether and where to mix."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._fakes, self._penalty = (stream_seed(seed, stream) for stream in (_FAKES, _PENALTY))
        # On the device, so that a step is the same operations whichever images it shows.
        self._nimg = torch.zeros((), dtype=torch.int64, device=device)
        self._places: dict[Share, Tensor] = {}
        self._waiting: dict[Share, Tensor] = {}  # of at most one share, for G
        self.begin(0)

    def begin(self, nimg: int) -> None:
        """Begin the step after `nimg` images."""
        self.host = np.random.default_rng(stream_seed(self._seed, nimg, _HOST))
        self._nimg.fill_(nimg)
        self._waiting.clear()

    def fakes(self, share: Share, purpose: Purpose, count: int) -> Tensor:
        """N(0, 1) [share.size, count] for the share's fakes; the same ones in each call."""
        if purpose == Purpose.G and share in self._waiting:
            return self._waiting.pop(share)
        rows = self._rows(share) * len(Purpose)
        if purpose == Purpose.G or self._waiting:  # what waits takes memory
            return keyed_normal(self._fakes, rows + purpose, count)
        both = torch.cat([rows + each for each in Purpose])  # half the operations
        for_D, self._waiting[share] = keyed_normal(self._fakes, both, count).chunk(2)
        return for_D

    def penalty(self, share: Share) -> Tensor:
        """Numbers [share.size] in [0, 1): where WGAN-GP looks between real and fake."""
        return keyed_uniform(self._penalty, self._rows(share), 1)[:, 0]

    def _rows(self, share: Share) -> Tensor:
        """Numbers of the share's images among all that training shows, int64 [share.size]."""
        if share not in self._places:
            device, stride = self._nimg.device, share.minibatch // share.group_size
            groups = torch.arange(share.groups.start, share.groups.stop, device=device)
            members = torch.arange(share.group_size, device=device)[:, None] * stride
            self._places[share] = (members + groups).flatten()
        return self._places[share] + self._nimg


class Steps:
    """Steps of D and of G.

    What changes from one step of a phase to the next lies in tensors on the device: both are the
    same operations, and none waits for the device.
    """

    level: int  # Of detail, in the step that has begun
    fade: Tensor | None  # Weight of the next coarser level; None where there is none

    def __init__(
        self,
        state: TrainState,
        config: Config,
        runtime: Runtime,
        execution: Execution,
        seed: int = 0,
    ) -> None:
        self.state, self.config, self.runtime = state, config, runtime
        dtype, device = execution.dtype, runtime.device
        self.draw: Draw = partial(state.G.g.at_level, dtype=dtype)
        self.score: Score = partial(state.D.at_level, dtype=dtype)
        self.score_twice = self.score
        if execution.compile:
            self.draw = compiled(state.G.g.at_level, dtype)
            self.score = compiled(state.D.at_level, dtype)
        self.random = StepRandom(seed, device)
        self._fade = torch.zeros((), device=device)
        self._lrate = torch.zeros((), dtype=torch.float64, device=device)
        # The layer from which fakes mix styles, for D and for G; None where styles never mix.
        mixes = config.loss.style_mixing_prob > 0
        self._cutoffs = torch.zeros(2, dtype=torch.int64, device=device).unbind() if mixes else None

    def both(
        self, point: TrainingPoint, shares: Sequence[Share], raw: Iterator[RawBatch]
    ) -> dict[str, Tensor]:
        """One step of D, of the moving average, and of G; the terms of both losses."""
        state, device = self.state, self.runtime.device
        self.begin(point)
        batches = [MicroBatch.of(next(raw), share, self.fade, device) for share in shares]
        terms = self.discriminator_step(batches)
        beta = ema_beta(point.minibatch, self.config.schedule.ema_kimg)
        update_ema(state.flat_ema, state.flat_G, beta)  # with D's step, so before G's
        state.G_ema.w_avg.copy_(state.G.w_avg)
        state.nimg += point.minibatch
        return terms | self.generator_step(batches)

    def begin(self, point: TrainingPoint) -> None:
        """Tell the device all that a step at `point` takes from the host."""
        G = self.state.G
        self.random.begin(self.state.nimg)
        self.level, fade = split_lod(point.lod, G.resolution)
        self.fade = self._fade.fill_(fade) if fade > 0 else None
        self._lrate.fill_(point.lrate)
        for cutoff in self._cutoffs or ():
            cutoff.fill_(draw_cutoff(G, self.config.loss, self.level, self.random.host))

    def discriminator_step(self, batches: Sequence[MicroBatch]) -> dict[str, Tensor]:
        """One step of D; the terms of its loss, over the whole minibatch."""
        state = self.state
        state.D.requires_grad_(requires_grad=True)
        state.flat_D.clear()
        for batch in batches:
            self._discriminator_pass(batch)
        w_mean, terms = state.flat_D.add_up(self.runtime)
        state.G.update_w_avg(w_mean[None])
        return terms | {"grad_norm_D": state.optimizer_D.update(self._lrate)}

    def _discriminator_pass(self, batch: MicroBatch) -> None:
        """Add the gradients and loss terms of D for one micro-batch; its graph goes on return."""
        share, wgan = batch.share, self.config.loss.kind == "wgan-gp"
        with torch.no_grad():
            fakes, w_mean = self.draw_fakes(share, batch.labels, Purpose.D)
        t = self.random.penalty(share)[:, None, None, None] if wgan else None
        terms = self.discriminator_terms(batch, fakes, t)
        # Of R1's two gradients of the reals, this one would be thrown away.
        weights = list(self.state.D.parameters())
        torch.autograd.backward(terms["loss_D"] * share.weight, inputs=weights)
        self.state.flat_D.add(w_mean, terms, share.weight)

    def discriminator_terms(
        self, batch: MicroBatch, fakes: Tensor, t: Tensor | None
    ) -> dict[str, Tensor]:
        """Loss of D ("loss_D") and what it is made of, each a scalar.

        `t` [n, 1, 1, 1] in [0, 1) is where WGAN-GP looks between reals and fakes [n, C, H, W].
        """
        reals, labels, loss = batch.reals, batch.labels, self.config.loss
        uses_r1 = loss.kind == "logistic-r1" and loss.r1_gamma > 0
        reals.requires_grad_(uses_r1)
        real_scores = self._scores(reals, labels, twice=uses_r1)
        fake_scores = self._scores(fakes, labels)
        terms = {"score_real": real_scores.mean(), "score_fake": fake_scores.mean()}
        if loss.kind == "logistic-r1":
            value = losses.d_logistic(real_scores, fake_scores).mean()
            if uses_r1:
                # One pass of the reals serves loss and penalty.
                norms2 = losses.squared_gradient_norm(real_scores, reals, self.level)
                terms["r1"] = norms2.mean()
                value = value + loss.r1_gamma / 2 * terms["r1"]
        else:
            assert t is not None
            value = losses.d_wgan(real_scores, fake_scores, loss.drift).mean()
            mixed = losses.mix_images(reals, fakes, t).requires_grad_()
            scores = self._scores(mixed, labels, twice=True)
            norms2 = losses.squared_gradient_norm(scores, mixed, self.level)
            terms["gp"] = losses.gradient_penalty(norms2, loss.gp_lambda, loss.gp_target).mean()
            value = value + terms["gp"]
        return terms | {"loss_D": value, "fake_spread": spread(fakes.detach())}

    def _scores(self, images: Tensor, labels: Tensor | None, *, twice: bool = False) -> Tensor:
        """D's scores [n, 1]; `twice` where they are differentiated twice."""
        score = self.score_twice if twice else self.score
        return self.state.D.pick(score(images, self.level, self.fade), labels)

    def generator_step(self, batches: Sequence[MicroBatch]) -> dict[str, Tensor]:
        """One step of G; its loss, over the whole minibatch."""
        state = self.state
        state.D.requires_grad_(requires_grad=False)  # its weights' gradients would be thrown away
        state.flat_G.clear()
        for batch in batches:
            self._generator_pass(batch)
        w_mean, terms = state.flat_G.add_up(self.runtime)
        state.G.update_w_avg(w_mean[None])
        return terms | {"grad_norm_G": state.optimizer_G.update(self._lrate)}

    def _generator_pass(self, batch: MicroBatch) -> None:
        """Add the gradients and the loss of G for one micro-batch."""
        labels, weight = batch.other_labels, batch.share.weight
        fakes, w_mean = self.draw_fakes(batch.share, labels, Purpose.G)
        value = self.generator_loss(fakes, labels)
        torch.autograd.backward(value * weight)
        self.state.flat_G.add(w_mean, {"loss_G": value}, weight)

    def generator_loss(self, fakes: Tensor, labels: Tensor | None) -> Tensor:
        """Loss of G, a scalar, of its images [n, C, H, W]."""
        wgan = self.config.loss.kind == "wgan-gp"
        objective = losses.g_wgan if wgan else losses.g_logistic_nonsaturating
        return objective(self._scores(fakes, labels)).mean()

    def draw_fakes(
        self, share: Share, labels: Tensor | None, purpose: Purpose
    ) -> tuple[Tensor, Tensor]:
        """Fresh images as training sees them: mixed styles, fresh noise, no truncation.

        Returns `images`: [n, C, H, W]. `w_mean`: [w_dim], mean of w before mixing.
        """
        G, cutoff = self.state.G, None if self._cutoffs is None else self._cutoffs[purpose]
        shapes = G.g.noise_shapes(self.level)
        latents = [G.z_dim] * (1 if cutoff is None else 2)
        sizes = latents + [height * width for height, width in shapes]
        numbers = torch.split(self.random.fakes(share, purpose, sum(sizes)), sizes, dim=1)
        ws, w_mean = draw_ws(G, numbers[: len(latents)], labels, cutoff)
        drawn = zip(numbers[len(latents) :], shapes, strict=True)
        noise = [part.reshape(-1, 1, *shape) for part, shape in drawn]
        return self.draw(ws, G.g.noise_maps(noise, self.level), self.level, self.fade), w_mean


def draw_cutoff(G: Generator, loss: LossConfig, level: int, rng: np.random.Generator) -> int:
    """Layer, uniform over all active but the first, from which a minibatch mixes; else the end."""
    mixes = rng.random() < loss.style_mixing_prob
    cutoff = int(rng.integers(1, G.num_ws - 2 * level))
    return cutoff if mixes else G.num_ws


def draw_ws(
    G: Generator, z: Sequence[Tensor], labels: Tensor | None, cutoff: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Map latents and mix styles: ws [n, num_ws, w_dim], mean of w before mixing [w_dim].

    `z` are one or two [n, z_dim]; from layer `cutoff` on styles are of the second.
    """
    repeated = None if labels is None else labels.repeat(len(z), 1)
    ws, *others = G.mapping(torch.cat(list(z)), repeated).chunk(len(z))
    w_mean = ws.detach()[:, 0].mean(dim=0)
    if cutoff is not None:
        ws = mix_styles(ws, others[0], cutoff)
    return ws, w_mean


def spread(images: Tensor) -> Tensor:
    """Standard deviation over a minibatch [n, C, H, W], mean over pixels; a scalar.

    PyTorch's own takes thirty times as long over the first dimension.
    """
    squares = (images - images.mean(dim=0)).square().sum(dim=0)
    return (squares / max(len(images) - 1, 1)).sqrt().mean()
