"""The networks of a training as they are to be run: in which precision, compiled or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

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
        images: Images = state.G.synthesis
        scores: Scores = state.D
        if execution.precision == "bf16":
            images = partial(images, dtype=execution.dtype)  # type: ignore[call-arg]
            scores = partial(scores, dtype=execution.dtype)  # type: ignore[call-arg]
        return cls(images, scores, scores)
