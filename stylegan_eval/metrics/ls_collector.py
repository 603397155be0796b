"""Collect latents and classifier logits of generated images, for linear separability."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.classifiers.network import SMALLEST
from stylegan_eval.engine.blocks import Arrays
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.image_pass import Samples

Space = Literal["z", "w"]
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LsCollector:
    """Latents and classifier logits of generated images, for `image_pass.collect`.

    A block's arrays are ``logits`` [n, A], ``z`` [n, z_dim] and ``w`` [n, w_dim], float32, as far
    as `spaces` needs them.
    """

    classifier: AttributeClassifier
    """On the generator's device; reads the images as floats, not quantised."""
    num: int  # Images 0 .. num - 1 are shown to it
    spaces: Sequence[Space] = ("z", "w")  # Latents to keep
    _parts: dict[str, list[Array]] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """Of the collector."""
        return "ls"

    @property
    def identity(self) -> str:
        """The classifiers' file and what is kept."""
        return f"classifiers={self.classifier.sha256} spaces={''.join(self.spaces)}"

    def begin(self) -> "LsCollector":
        """Return an empty one for a block."""
        return replace(self)

    def add(self, samples: Samples) -> None:
        """Take in a batch."""
        if samples.raw is None or samples.z is None or samples.ws is None:
            raise UserError(
                "linear separability needs a generator's latents, not images of files: use --ckpt"
            )
        logits = self.classifier(samples.raw)  # [n, A]
        if not bool(torch.isfinite(logits).all()):
            raise UserError("the classifiers produced NaN or infinite logits: train them again")
        values = {"logits": logits, "z": samples.z, "w": samples.ws[:, -1]}
        for name in ("logits", *self.spaces):
            value = values[name]
            self._parts.setdefault(name, []).append(value.float().cpu().numpy())

    def arrays(self) -> Arrays:
        """What is kept of the block."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def check(classifier: AttributeClassifier, resolution: int) -> None:
    """Check before the work that the classifiers can read the generator's images."""
    if resolution % classifier.resolution:
        fitting = resolution & -resolution  # its largest divisor that is a power of two
        remedy = f"train them with --resolution {fitting}"
        if fitting < SMALLEST:
            remedy = f"classifiers need a generator of a multiple of {SMALLEST} pixels"
        raise UserError(
            f"the generator draws {resolution}x{resolution}, the classifiers read"
            f" {classifier.resolution}x{classifier.resolution}: {remedy}"
        )
