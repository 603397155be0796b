"""VGG16: fc2 features, and the trunk of LPIPS."""

from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import VGG_SIZE, vgg_input
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.settings.common import Precision

NAME = "vgg16"
FEATURE_DIM = 4096
CLASSES = 1000
# Channels of the 3x3 convolutions of each stage; between two there is a pooling.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CHANNELS = tuple(stage[-1] for stage in STAGES)
GRID = VGG_SIZE // 2 ** len(STAGES)


def _convolutions() -> nn.Sequential:
    """[N, 3, 224, 224] -> [N, 512, 7, 7]; numbered as in the weights file."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in STAGES:
        for width in stage:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Vgg16(nn.Module):
    """float32 [N, 3, 224, 224] -> fc2 after its ReLU [N, 4096]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = _convolutions()
        # Dropout does nothing here but to keep the numbers of the weights file.
        self.classifier = nn.Sequential(
            nn.Linear(STAGES[-1][-1] * GRID**2, FEATURE_DIM), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(FEATURE_DIM, FEATURE_DIM), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(FEATURE_DIM, CLASSES),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, 4096] of a preprocessed input."""
        x = self.features(x).flatten(1)  # [N, 25088]
        for layer in self.classifier[:-1]:
            x = layer(x)
        return x


def load_vgg16(
    weights: Path, device: torch.device, precision: Precision = "fp32"
) -> FeatureNetwork:
    """Build the detector from a state dictionary of torchvision's VGG16."""
    state = read_weights(weights)
    with torch.device("meta"):  # no initial values: they would come from the global generator
        network = Vgg16()
    with parsing(weights, "not VGG16 weights in torchvision's layout"):
        network.load_state_dict(state, assign=True)
    head, head_bias = (
        network.get_parameter(f"classifier.6.{kind}").detach().to(device, torch.float32)
        for kind in ("weight", "bias")
    )
    return FeatureNetwork(
        name=NAME,
        resize=f"tf1-{VGG_SIZE}",
        weights_sha256=sha256_of(weights),
        feature_dim=FEATURE_DIM,
        preprocess=vgg_input,
        network=place(network, device, precision),
        device=device,
        precision=precision,
        head=head,
        head_bias=head_bias,
    )


class VggTrunk(nn.Module):
    """Images [N, 3, H, W] -> relu1_2, relu2_2, relu3_3, relu4_3, relu5_3.

    `pool`: [N, C, H, W] -> about half the size; before every stage but the first.
    """

    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        widths = [3, *(width for stage in STAGES for width in stage)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)
        )
        self.pool = pool

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps [N, C, H', W'] after the last ReLU of each stage."""
        maps: list[Tensor] = []
        convs = iter(self.convs)
        for stage in STAGES:
            if maps:
                x = self.pool(x)
            for conv in islice(convs, len(stage)):
                x = F.relu(conv(x))
            maps.append(x)
        return maps
