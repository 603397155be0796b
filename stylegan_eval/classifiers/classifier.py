"""A trained attribute classifier, and the table of what is known about it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_eval.classifiers.network import ClassifierNetwork, shrink
from stylegan_eval.engine.device import strict_float32


@dataclass(frozen=True, kw_only=True)
class AttributeRecord:
    """Accuracy of an attribute on held-out images."""

    name: str  # Of the attribute
    share: float  # Of all labelled images, those that have it, in [0, 1]
    accuracy: float  # Share of right answers, in [0, 1]
    balanced_accuracy: float
    """Mean of the accuracies among the images with and without it: 0.5 is chance."""


@dataclass(frozen=True, kw_only=True)
class ClassifierRecord:
    """Architecture and training of a classifier."""

    architecture: str  # Name for `network.build_network`
    resolution: int  # Height and width of its input, in pixels
    attributes: tuple[AttributeRecord, ...]  # In the order of the logits
    data_digest: str  # Key of the images and labels, see `images.content`
    images: int  # Labelled images
    held_out: int  # How many of them only tested it
    epochs: int
    batch: int
    seed: int
    lrate: float
    version: str  # Of this package, which trained it

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in the order of the logits."""
        return tuple(attribute.name for attribute in self.attributes)


@dataclass(frozen=True, kw_only=True)
class AttributeClassifier:
    """A classifier read from a file, run in strict float32."""

    record: ClassifierRecord
    network: ClassifierNetwork  # In evaluation mode, on `device`
    device: torch.device
    sha256: str  # Digest of the file
    group: int = 1  # Images in a row that are compared with each other; 1: each by itself

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in the order of the logits."""
        return self.record.names

    @property
    def resolution(self) -> int:
        """Height and width of the network's input, in pixels."""
        return self.record.resolution

    def __call__(self, images: Tensor) -> Tensor:
        """Logits float32 [N, A], positive where an attribute is present.

        Images are [N, 3, H, H] in about [-1, 1], H being R or a multiple, and are averaged down to
        R; where `group` is 1 each image's logits are its own.
        """
        with torch.inference_mode(), strict_float32(self.device.type):
            x = shrink(images.to(self.device).float(), self.resolution)
            logits: Tensor = self.network(x)
        return logits


def table(record: ClassifierRecord) -> str:
    """Training of the classifier; a line per attribute; the means."""
    attributes = record.attributes
    if record.images == 0:  # of others, who do not say
        size = f"{record.resolution}x{record.resolution}"
        return "\n".join([f"{record.architecture}, {size}, accuracies unknown", *record.names])
    width = max(len(name) for name in (*record.names, "attribute"))
    size = f"{record.resolution}x{record.resolution}"
    trained = f"{record.epochs} epochs of {record.images - record.held_out} images"
    lines = [
        f"{record.architecture}, {size}, {trained}, seed {record.seed}",
        f"tested on {record.held_out} other images",
        f"{'attribute':{width}}  share  accuracy  balanced",
    ]
    lines += [
        f"{a.name:{width}}  {a.share:5.3f}  {a.accuracy:8.3f}  {a.balanced_accuracy:8.3f}"
        for a in attributes
    ]
    accuracy = sum(a.accuracy for a in attributes) / len(attributes)
    balanced = sum(a.balanced_accuracy for a in attributes) / len(attributes)
    lines.append(f"{'mean':{width}}  {'':5}  {accuracy:8.3f}  {balanced:8.3f}")
    return "\n".join(lines)
