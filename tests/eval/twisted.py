"""A generator of flat images, and classifiers that read their colours, with closed-form answers."""

import dataclasses
from collections.abc import Sequence

import torch

from stylegan_eval.classifiers.classifier import (
    AttributeClassifier,
    AttributeRecord,
    ClassifierRecord,
)
from stylegan_eval.classifiers.network import ClassifierNetwork

CPU = torch.device("cpu")
NAMES = ("linear", "twisted", "even")


@dataclasses.dataclass(frozen=True)
class TwistedGenerator:
    """Flat images whose colour is w's first three entries; w = z but for w0 = z0 sign(z1)."""

    resolution: int = 16
    z_dim: int = 4
    noise_shapes: Sequence[tuple[int, int]] = ()

    def mapping(self, z):
        w = z.clone()
        w[:, 0] = z[:, 0] * z[:, 1].sign()
        return torch.stack([torch.zeros_like(w), w], dim=1)  # [N, 2, 4]: the last layer counts

    def synthesis(self, ws, noise):
        return ws[:, -1, :3, None, None].expand(-1, 3, 16, 16)


class ColourNetwork(ClassifierNetwork):
    """Logits: w2, linear in z and w; w0, linear in w alone; |w2| less its median, in neither."""

    def initialise(self, rng):
        pass

    def forward(self, x):
        red, _, blue = x.mean(dim=(2, 3)).unbind(dim=1)
        return torch.stack([blue, red, blue.abs() - 0.6745], dim=1)


class EveryBrokenNetwork(ColourNetwork):
    def forward(self, x):
        return super().forward(x) * float("nan")


def classifier(network=None, sha256="00", resolution=8):
    record = ClassifierRecord(
        architecture="colour",
        resolution=resolution,
        attributes=tuple(
            AttributeRecord(name=name, share=0.5, accuracy=1.0, balanced_accuracy=1.0)
            for name in NAMES
        ),
        data_digest="",
        images=0,
        held_out=0,
        epochs=1,
        batch=1,
        seed=0,
        lrate=0.1,
        version="0",
    )
    return AttributeClassifier(
        record=record, network=network or ColourNetwork(), device=CPU, sha256=sha256
    )
