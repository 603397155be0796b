"""The networks of a training as they are to be run: in which precision, compiled or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from stylegan.networks.compiled import CompiledDiscriminator, CompiledSynthesis
from stylegan.training.execution import Execution
from stylegan.training.state import TrainState

Images = Callable[[Tensor, Sequence[Tensor], float], Tensor]
Scores = Callable[[Tensor, Tensor | None, float], Tensor]


@dataclass(frozen=True)
class Forward:
    """Forward passes.

    Attributes
    ----------
    images : callable
        (ws, noise, lod) -> images; see `Synthesis.forward`.
    scores : callable
        (images, labels, lod) -> scores; see `Discriminator.forward`. Differentiable once.
    scores_twice : callable
        The same, differentiable twice.
    """

    images: Images
    scores: Scores
    scores_twice: Scores

    @classmethod
    def of(cls, state: TrainState, execution: Execution) -> "Forward":
        """Forward passes of G and D."""
        dtype = execution.dtype
        scores_twice: Scores = partial(state.D, dtype=dtype)
        if not execution.compile:
            return cls(partial(state.G.synthesis, dtype=dtype), scores_twice, scores_twice)
        images: Images = partial(CompiledSynthesis(state.G), dtype=dtype)
        return cls(images, partial(CompiledDiscriminator(state.D), dtype=dtype), scores_twice)
