"""A network's weights as one vector: one operation where there would be hundreds."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_ALIGNMENT = 16  # elements; no weight begins in the middle of a cache line


class Flat:
    """All weights of a network, and their gradients, each in one vector.

    The network's parameters become views of `weights` and their ``.grad`` views of `gradients`, so
    one call steps the optimizer, moves the average, clears the gradients or adds them up over all
    processes. Numbers that travel with the gradients follow them, in `tail`.

    Parameters
    ----------
    network : nn.Module
        On its final device, in its final memory format.
    tail : int
        Numbers to travel along.

    Attributes
    ----------
    weights : Tensor
        [P]; gaps between parameters hold zeros.
    buffer : Tensor
        [P + tail]: gradients, then `tail`; empty for a network that is not trained.
    """

    def __init__(self, network: nn.Module, *, tail: int = 0) -> None:
        self._places: dict[str, tuple[int, nn.Parameter]] = {}
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
        """Write `values`, by the names of the parameters, into `vector` [P].

        Raises
        ------
        KeyError
            A parameter has no value.
        """
        for name, view in self.views(vector).items():
            view.copy_(values[name])
