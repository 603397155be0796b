"""Adam and the moving average of weights, with the official arithmetic, on flat vectors."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.configs import ScheduleConfig
from stylegan.training.flat import Flat

# From here on float32 cannot count, and 1 - beta^step is 1: PyTorch's corrections vanish.
_FOREVER = 2.0**24


class Adam(torch.optim.Adam):
    """Adam as TensorFlow computes it, with a learning rate per step and a reset.

    TensorFlow divides by sqrt(v) + epsilon and puts both bias corrections into the learning rate,
    lrate sqrt(1 - beta2^t) / (1 - beta1^t); PyTorch corrects v before it adds epsilon. So PyTorch
    is told that it has taken steps forever and is given the corrected rate. The count t, the rate
    and whether a step is skipped stay on the device: nothing waits for it.

    Parameters
    ----------
    flat : Flat
        Weights and gradients.
    schedule : ScheduleConfig
        beta1, beta2, eps.

    Attributes
    ----------
    skipped : Tensor
        Steps left out so far because a gradient was infinite or not a number; a scalar on the
        device.
    """

    def __init__(self, flat: Flat, schedule: ScheduleConfig) -> None:
        weights = nn.Parameter(flat.weights)
        weights.grad = flat.gradients
        super().__init__(
            [weights],
            lr=weights.new_zeros(()).detach(),
            betas=(schedule.beta1, schedule.beta2),
            eps=schedule.eps,
            fused=True,
        )
        self._flat = flat
        device = weights.device
        self._t = torch.zeros((), dtype=torch.float64, device=device)
        self.skipped = torch.zeros((), dtype=torch.float64, device=device)
        self._moments = {
            "exp_avg": torch.zeros_like(flat.weights),
            "exp_avg_sq": torch.zeros_like(flat.weights),
        }
        step = torch.full((), _FOREVER, dtype=torch.float32, device=device)
        self.state[weights] = {"step": step, **self._moments}

    def reset(self) -> None:
        """Forget all moments and start counting again, as when a layer comes or goes."""
        for moment in (self._t, *self._moments.values()):
            moment.zero_()

    def update(self, lrate: float) -> Tensor:
        """Step at learning rate `lrate`, unless a gradient is infinite or not a number.

        A step that is left out changes neither weights nor moments nor t.

        Returns
        -------
        Tensor
            Norm of all gradients, a scalar on the device.
        """
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        norm = torch.linalg.vector_norm(self._flat.gradients)
        finite = norm.isfinite()
        t = self._t + 1
        correction1 = 1 - beta1**t
        correction2 = -torch.expm1(t * math.log(beta2))  # 1 - beta2^t
        group["lr"].copy_(lrate * correction2.sqrt() / correction1)
        self.found_inf = 1 - finite.to(torch.float32)  # read by PyTorch's fused step
        self.step()
        self._t.add_(finite)
        self.skipped.add_(self.found_inf)
        return norm

    def tree(self) -> dict[str, Any]:
        """All that a checkpoint must hold, moments by the names of the weights.

        With beta1 = 0 the first moment is the last gradient, which no later step looks at.
        """
        kept = ("exp_avg_sq",) if self.param_groups[0]["betas"][0] == 0 else tuple(self._moments)
        moments = {key: self._flat.views(self._moments[key]) for key in kept}
        return {"t": self._t, "skipped": self.skipped, **moments}

    def load_tree(self, tree: dict[str, Any]) -> None:
        """Take over what `tree` gave."""
        self._t.copy_(tree["t"])
        self.skipped.copy_(tree["skipped"])
        for key, moment in self._moments.items():
            if key in tree:
                self._flat.load(moment, tree[key])


def ema_beta(minibatch: int, half_life_kimg: float) -> float:
    """Weight of the old average after a minibatch, so that it halves every `half_life_kimg`."""
    return 0.5 ** (minibatch / (half_life_kimg * 1000))


def update_ema(average: Flat, network: Flat, beta: float) -> None:
    """Move the weights of `average` towards those of `network`.

    average <- network + beta * (average - network), as the official code has it.
    """
    average.weights.lerp_(network.weights, 1 - beta)
