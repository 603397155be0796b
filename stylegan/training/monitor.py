"""Detect divergence and mode collapse before a checkpoint is written."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stylegan.checkpoint import checkpoints_in
from stylegan.configs import LossConfig, ScheduleConfig
from stylegan.training.loop import Terms
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import OnCollapse
from stylegan.training.state import TrainState
from stylegan_eval.errors import UserError

# Schedule updates that are kept: 64 steps of the published schedule.
_KEPT = 16
# One step of 8-bit images in [-1, 1]: images that differ by less are one image.
LEAST_SPREAD = 2 / 255
# An untrained G maps all z to nearly one image: low diversity is a sign of collapse only after it
# has been higher.
_ARMED = 4 * LEAST_SPREAD


class CollapseError(UserError):
    """A training that will not recover; the message says what was seen and what to do."""


def score_limit(loss: LossConfig) -> float:
    """Absolute mean score of D beyond which no training recovers.

    Logistic loss: in float32, softplus is flat from a score of about 17 on, so nothing in the loss
    drives scores further; healthy trainings stay below 100. WGAN-GP: the drift costs more than a
    score gains from 1 / drift on (1000 as published). A factor of 10 or more stands between either
    and the limit.
    """
    if loss.kind == "wgan-gp":
        return 10 / max(loss.drift, 1e-3)
    return 1000.0


class Look(NamedTuple):
    """Measurements at one schedule update."""

    broken: float  # 1 where a loss, score or penalty was infinite or not a number, otherwise 0
    score: float  # Larger mean score of D, of real or of generated images, without sign
    spread: float  # Mean over pixels of the standard deviation over a minibatch of generated images
    skipped_G: float
    skipped_D: float
    """skipped_G, skipped_D: Steps of either network that were left out because a gradient was not
    finite."""


def signs_of_collapse(
    looks: Sequence[Look], *, limit: float, best_spread: float, steps: int
) -> Iterator[str]:
    """Signs of collapse in the latest schedule updates, oldest first; none for a healthy training.

    `best_spread` is the largest spread so far, `steps` lie between two of `looks`.
    """
    if not looks:
        return
    if looks[-1].broken:
        yield "a loss, score or penalty is not a finite number"
    score = min(look.score for look in looks[-2:])  # one look alone may be a spike
    if score > limit:
        yield f"the scores of D reached {score:.1e} (limit {limit:.0e})"
    for name in ("G", "D"):
        skipped = sum(look.skipped_G if name == "G" else look.skipped_D for look in looks)
        if skipped > len(looks) * steps / 2:
            yield (
                f"{skipped:.0f} of the last {len(looks) * steps} steps of {name} had gradients that"
                " are not finite"
            )
    if len(looks) >= _KEPT and best_spread > _ARMED:
        spread = max(look.spread for look in looks)
        if spread < LEAST_SPREAD:
            yield f"G draws one image for every z (they differ by {spread:.1e}, range [-1, 1])"


class Monitor:
    """Hook that records signs of collapse without waiting for the device, and checks them at ticks.

    `on_collapse` is to raise `CollapseError`, which names the newest checkpoint of `folder` as the
    last good one, or to say it once and go on. `tell` takes the message, once, before the error is
    raised.
    """

    def __init__(
        self,
        state: TrainState,
        *,
        loss: LossConfig,
        schedule: ScheduleConfig,
        folder: Path,
        on_collapse: OnCollapse = "stop",
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        device = state.G.w_avg.device
        self.limit = score_limit(loss)
        self.steps = schedule.minibatch_repeats
        self.folder = folder
        self.on_collapse = on_collapse
        self.tell = tell
        self.reported = False
        self.looks = 0
        self.tick_nimg = state.nimg
        self.kept = torch.zeros(_KEPT, len(Look._fields), device=device)
        self.best_spread = torch.zeros((), device=device)
        self.skipped = _skipped(state, device)

    def __call__(self, state: TrainState, point: TrainingPoint, terms: Terms) -> None:
        """Record one schedule update; `check` at the end of a tick."""
        # Norms of gradients are left to the count of skipped steps, which is theirs.
        judged = [term for key, term in terms.items() if key.startswith(("loss", "score", "r1"))]
        judged += [terms[key] for key in ("gp",) if key in terms]
        broken = ~torch.stack(judged).isfinite().all()
        score = torch.maximum(terms["score_real"].abs(), terms["score_fake"].abs())
        spread = terms.get("fake_spread", self.best_spread)
        skipped = _skipped(state, score.device)
        noted = torch.stack([broken.float(), score.float(), spread.float()])
        self.kept[self.looks % _KEPT] = torch.cat([noted, skipped - self.skipped])
        self.best_spread = torch.fmax(self.best_spread, spread.float())
        self.skipped = skipped
        self.looks += 1
        if state.nimg - self.tick_nimg >= point.tick_kimg * 1000:
            self.tick_nimg = state.nimg
            self.check(state)

    def check(self, state: TrainState) -> None:
        """Raise CollapseError where training has collapsed; called before a save."""
        signs = [] if self.reported else self.signs(state)
        if not signs:
            return
        self.reported = True
        text = f"training collapsed at kimg {state.nimg / 1000:.1f}: {'; '.join(signs)}"
        saved = checkpoints_in(self.folder) if self.folder.is_dir() else []
        good = f"last good checkpoint: {saved[-1].name}" if saved else "no checkpoint before it"
        text = f"{text}; {good}"
        if self.on_collapse == "warn":
            self.tell(text)
            return
        text += (
            "; train with a lower learning rate or in full precision, or go on regardless with"
            " --on-collapse warn"
        )
        self.tell(text)
        raise CollapseError(text)

    def signs(self, state: TrainState) -> list[str]:
        """Signs of collapse so far, in words."""
        signs = list(
            signs_of_collapse(
                self._latest(),
                limit=self.limit,
                best_spread=self.best_spread.item(),
                steps=self.steps,
            )
        )
        signs += [
            f"weights of {name} are not finite"
            for name, network in state.networks.items()
            if not torch.stack([p.isfinite().all() for p in network.parameters()]).all()
        ]
        return signs

    def _latest(self) -> list[Look]:
        rows = [Look(*row) for row in self.kept.tolist()]
        if self.looks <= _KEPT:
            return rows[: self.looks]
        oldest = self.looks % _KEPT
        return rows[oldest:] + rows[:oldest]


def _skipped(state: TrainState, device: torch.device) -> Tensor:
    """Steps of G and of D left out so far, [2], a copy on the device."""
    counts = (state.skipped_G, state.skipped_D)
    return torch.stack([torch.as_tensor(n, dtype=torch.float32, device=device) for n in counts])
