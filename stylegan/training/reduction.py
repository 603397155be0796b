"""What the passes of all processes give together: gradients, mean w, terms of the loss."""

from collections.abc import Mapping

import torch
from torch import Tensor

from stylegan.runtime import Runtime
from stylegan.training.flat import Flat

# Places for terms behind the mean w.
NUM_TERMS = 8


class Tally:
    """Sum over passes and processes, in one vector that travels once.

    A pass adds its gradients by itself, through ``backward``; its other numbers go behind them. A
    gradient that is not finite in one process is not finite in the sum, so all processes leave
    the step out together.

    Parameters
    ----------
    flat : Flat
        Its gradients are cleared.
    """

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._names: tuple[str, ...] = ()
        flat.buffer.zero_()

    def add(self, w_mean: Tensor, terms: Mapping[str, Tensor], weight: float) -> None:
        """Add means over a pass, which counts for `weight` of the minibatch.

        Parameters
        ----------
        w_mean : Tensor
            [w_dim].
        terms : mapping
            Scalars; the same names in every pass.
        weight : float
            All weights of all processes add up to 1.
        """
        self._names = tuple(terms)
        numbers = torch.cat([w_mean, torch.stack([term.detach() for term in terms.values()])])
        self._flat.tail[: len(numbers)].add_(numbers, alpha=weight)

    def total(self, runtime: Runtime) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up over the processes; the gradients are then those of the whole minibatch.

        Returns
        -------
        w_mean : Tensor
            [w_dim].
        terms : dict
            Scalars on the device.
        """
        runtime.add_up(self._flat.buffer)
        numbers = self._flat.tail.clone()
        count = len(self._names)
        w_dim = len(numbers) - NUM_TERMS
        values = numbers[w_dim : w_dim + count].unbind()
        return numbers[:w_dim], dict(zip(self._names, values, strict=True))
