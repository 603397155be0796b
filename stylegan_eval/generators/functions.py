"""Functions of a number of images and a seed, such as diffusion pipelines, as generators."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError
from stylegan_eval.generators.user_code import user_errors
from stylegan_eval.images.memory import Range, Seen, batches_of


@dataclass(frozen=True, eq=False)
class ImageFunction:
    """A function ``(n, seed) -> images`` that draws `n` images: what `batches_of` takes."""

    draw: Callable[[int, int], Any]
    value_range: Range | None = None  # of its floats
    seen: Seen = field(default_factory=Seen)  # of all that it has drawn in this process

    def __str__(self) -> str:
        module = getattr(self.draw, "__module__", None) or "?"
        return f"{module}.{getattr(self.draw, '__qualname__', type(self.draw).__name__)}"

    def images(self, n: int, seed: int) -> NDArray[np.uint8]:
        """Draw uint8 [n, 3, H, W]."""
        with user_errors(str(self)):
            images = batches_of(self.draw(n, seed), str(self), self.value_range, self.seen)
            drawn = list(images)
        count = sum(map(len, drawn))
        if count != n:
            raise UserError(f"{self}: asked for {n} images, drew {count}")
        if len({batch.shape[1:] for batch in drawn}) > 1:
            raise UserError(f"{self}: draws images of unlike sizes: draw all of one size")
        return np.concatenate(drawn)
