"""Adam as in TensorFlow, the moving average, and sums of gradients over processes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.configs import ScheduleConfig
from stylegan.runtime import Runtime

_ALIGNMENT = 16  # elements; no weight begins in the middle of a cache line
# From 2^24 on, a float32 counter no longer increments and PyTorch's bias corrections are 1.
_FOREVER = 2.0**24
# Places for terms behind the mean w.
NUM_TERMS = 8


class Flat:
    """All weights of a network, and their gradients, each in one vector.

    The parameters of `network`, on its final device and in its final memory format, become views of
    `weights` and their ``.grad`` views of `gradients`, so one call steps the optimizer, moves the
    average, clears the gradients or adds them up over all processes. Behind the gradients, in the
    same vector, travel `tail` other numbers: the mean w, and terms of the loss.
    """

    weights: Tensor  # [P]; gaps between parameters hold zeros
    buffer: Tensor  # [P + tail]: gradients, then `tail`; empty for a network that is not trained

    def __init__(self, network: nn.Module, *, tail: int = 0) -> None:
        self._places: dict[str, tuple[int, nn.Parameter]] = {}
        self._terms: tuple[str, ...] = ()  # Names of the loss terms in the tail
        offset = 0
        for name, parameter in network.named_parameters():
            self._places[name] = (offset, parameter)
            offset += -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
        some = next(network.parameters())
        self.weights = torch.zeros(offset, device=some.device, dtype=some.dtype)
        trained = any(p.requires_grad for p in network.parameters())
        size = offset + tail if trained else 0
        self.buffer = torch.zeros(size, device=some.device, dtype=some.dtype)
        gradients = self.views(self.gradients) if trained else {}
        for name, view in self.views(self.weights).items():
            _, parameter = self._places[name]
            view.copy_(parameter.detach())
            parameter.data = view
            if parameter.requires_grad:
                parameter.grad = gradients[name]

    @property
    def gradients(self) -> Tensor:
        """[P]."""
        return self.buffer[: len(self.weights)]

    @property
    def tail(self) -> Tensor:
        """[tail]."""
        return self.buffer[len(self.weights) :]

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """`vector` [P] cut into the shapes and memory formats of the parameters, by name."""
        return {
            name: vector.as_strided(parameter.shape, parameter.stride(), offset)
            for name, (offset, parameter) in self._places.items()
        }

    def load(self, vector: Tensor, values: Mapping[str, Tensor]) -> None:
        """Write `values`, one for each parameter by its name, into `vector` [P]."""
        for name, view in self.views(vector).items():
            view.copy_(values[name])

    def clear(self) -> None:
        """Set gradients and tail to zero."""
        self.buffer.zero_()

    def add(self, w_mean: Tensor, terms: Mapping[str, Tensor], weight: float) -> None:
        """Add the means over a micro-batch to the tail; ``backward`` adds its gradients.

        The same `terms` come for every micro-batch. Over all micro-batches and processes the
        `weight` adds up to 1.
        """
        self._terms = tuple(terms)
        numbers = torch.cat([w_mean, torch.stack([term.detach() for term in terms.values()])])
        self.tail[: len(numbers)].add_(numbers, alpha=weight)

    def add_up(self, runtime: Runtime) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up over the processes: gradients of the whole minibatch; mean w [w_dim] and terms.

        A gradient that is not finite in one process is not finite in the sum, so all processes
        leave the step out together.
        """
        runtime.processes.add_up(self.buffer)
        numbers = self.tail.clone()
        w_dim = len(numbers) - NUM_TERMS
        values = numbers[w_dim : w_dim + len(self._terms)].unbind()
        return numbers[:w_dim], dict(zip(self._terms, values, strict=True))


class Adam(torch.optim.Adam):
    """Adam as TensorFlow computes it, with a learning rate per step and a reset.

    TensorFlow divides by sqrt(v) + epsilon and puts both bias corrections into the learning rate,
    lrate sqrt(1 - beta2^t) / (1 - beta1^t); PyTorch corrects v before it adds epsilon. So PyTorch
    is made to believe that it has taken steps forever and is given the corrected rate. The count t,
    the rate and whether a step is skipped stay on the device: nothing waits for it.

    `schedule`: beta1, beta2, eps.
    """

    skipped: Tensor
    """Steps left out so far because a gradient was infinite or not a number; a scalar on the
    device."""

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

    def update(self, lrate: float | Tensor) -> Tensor:
        """Step at a learning rate, unless a gradient is infinite or not a number.

        A step that is left out changes neither weights nor moments nor t. Returns the norm of all
        gradients, a scalar on the device.
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

    def load_tree(self, tree: Mapping[str, Any]) -> None:
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
