"""The discriminator's architecture as a classifier of attributes (Section 4.2 of the paper)."""

import torch
from torch import Tensor

from stylegan.configs import NetworkConfig
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.layers import initialise
from stylegan_eval.classifiers.network import ClassifierNetwork


class DiscriminatorClassifier(ClassifierNetwork):
    """The discriminator of configurations B to F with one output per attribute.

    The official classifiers are networks of one attribute each; here all share their layers. The
    minibatch standard deviation is taken over groups of one, which makes its feature map constant:
    a prediction does not depend on the other images of its batch.
    """

    def __init__(self, resolution: int, attributes: int) -> None:
        super().__init__()
        config = NetworkConfig(blur=True, mbstd_group_size=1, label_size=attributes)
        self.network = Discriminator(config, resolution)
        # It would otherwise ask for one-hot labels, to pick one of its outputs.
        self.network.label_size = 0

    def initialise(self, rng: torch.Generator) -> None:
        """Draw every weight."""
        initialise(self.network, rng)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1] -> logits [N, attributes]."""
        logits: Tensor = self.network(images)
        return logits


def build(resolution: int, attributes: int) -> DiscriminatorClassifier:
    """Make the classifier, without initial values, for a power of two from 8 to 1024."""
    return DiscriminatorClassifier(resolution, attributes)
