"""Adam and the moving average of weights, with the official arithmetic."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stylegan.configs import ScheduleConfig


class Adam(torch.optim.Adam):
    """Adam as TensorFlow computes it, with a learning rate per step and a reset.

    TensorFlow adds epsilon to sqrt(v), PyTorch to sqrt(v / (1 - beta2^t)). The two agree when
    PyTorch's epsilon is eps / sqrt(1 - beta2^t), which is set before every step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], schedule: ScheduleConfig) -> None:
        super().__init__(
            parameters,
            lr=schedule.lrate_base,
            betas=(schedule.beta1, schedule.beta2),
            eps=schedule.eps,
            fused=True,
        )
        self.tf_eps = schedule.eps
        # In the parameter group, so that it travels with the state dictionary.
        self.param_groups[0]["steps"] = 0

    def reset(self) -> None:
        """Forget all moments and start counting again, as when a layer comes or goes."""
        self.state.clear()
        self.param_groups[0]["steps"] = 0

    def update(self, lrate: float) -> bool:
        """Step at learning rate `lrate`, unless a gradient is infinite or not a number.

        Returns
        -------
        bool
            False when the step was skipped; weights and moments are then untouched.
        """
        group = self.param_groups[0]
        gradients = [p.grad for p in group["params"] if p.grad is not None]
        if not torch.stack(torch._foreach_norm(gradients)).isfinite().all():
            return False
        group["steps"] += 1
        group["lr"] = lrate
        group["eps"] = self.tf_eps / math.sqrt(1 - group["betas"][1] ** group["steps"])
        self.step()
        return True


def ema_beta(minibatch: int, half_life_kimg: float) -> float:
    """Weight of the old average after a minibatch, so that it halves every `half_life_kimg`."""
    return 0.5 ** (minibatch / (half_life_kimg * 1000))


def update_ema(average: nn.Module, network: nn.Module, beta: float) -> None:
    """Move the weights of `average` towards those of `network`; copy its buffers.

    average <- network + beta * (average - network), as the official code has it.
    """
    averages: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(network.parameters())
    with torch.no_grad():
        torch._foreach_lerp_(averages, weights, 1 - beta)
        buffers: list[tuple[Tensor, Tensor]] = list(
            zip(average.buffers(), network.buffers(), strict=True)
        )
        for old, new in buffers:
            old.copy_(new)
