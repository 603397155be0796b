"""Networks that predict all attributes of an image at once.

Shapes: N batch, C channels, A attributes, R resolution.
"""

from abc import ABC, abstractmethod
from importlib.metadata import entry_points

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.errors import UserError

NETWORKS = "stylegan_eval.classifiers"
SMALL = "small"
SMALLEST, LARGEST = 8, 1024
_WIDTHS = (32, 64, 96, 128)


class ClassifierNetwork(nn.Module, ABC):
    """Images [N, 3, R, R] in [-1, 1] -> logits [N, A], positive where the attribute is present."""

    @abstractmethod
    def initialise(self, rng: torch.Generator) -> None:
        """Set every parameter and buffer of a new network, drawing from `rng`."""


class _Stage(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class SmallNetwork(ClassifierNetwork):
    """Convolutions of 32 to 128 channels, halving the size down to 4x4, then a linear layer.

    Fast enough for a CPU. Batch norm uses its running statistics in evaluation mode, so that
    images do not see each other.
    """

    def __init__(self, resolution: int, attributes: int) -> None:
        super().__init__()
        halvings = resolution.bit_length() - 3  # down to 4x4
        widths = [_WIDTHS[min(stage, 3)] for stage in range(halvings + 1)]
        self.stages = nn.ModuleList(
            _Stage(before, after) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.head = nn.Linear(16 * widths[-1], attributes)

    def initialise(self, rng: torch.Generator) -> None:
        """He's weights; batch norms neutral; a head that starts at 0."""
        for stage in self.stages:
            assert isinstance(stage, _Stage)
            nn.init.kaiming_normal_(stage.conv.weight, nonlinearity="relu", generator=rng)
            stage.norm.reset_parameters()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, R, R] -> [N, A]."""
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.stages) - 1:
                x = F.max_pool2d(x, 2)
        logits: Tensor = self.head(x.flatten(1))
        return logits


def architectures() -> list[str]:
    """Names that `build_network` knows."""
    return [SMALL, *sorted(entry.name for entry in entry_points(group=NETWORKS))]


def build_network(architecture: str, resolution: int, attributes: int) -> ClassifierNetwork:
    """Make a network without values, on the device ``meta``.

    A package declares its own in the entry-point group ``stylegan_eval.classifiers``: a function
    ``(resolution, attributes) -> ClassifierNetwork``.

    `resolution` is a power of two from 8 to 1024.
    """
    if resolution & (resolution - 1) or not SMALLEST <= resolution <= LARGEST:
        raise UserError(
            f"a classifier's resolution must be a power of two from {SMALLEST} to {LARGEST},"
            f" got {resolution}"
        )
    with torch.device("meta"):  # no initial values: they would come from the global generator
        if architecture == SMALL:
            return SmallNetwork(resolution, attributes)
        for entry in entry_points(group=NETWORKS, name=architecture):
            try:
                build = entry.load()
            except (ImportError, AttributeError) as error:
                raise UserError(
                    f"architecture {architecture} cannot be imported: {error}"
                ) from error
            network: ClassifierNetwork = build(resolution, attributes)
            return network
    raise UserError(
        f"unknown architecture {architecture!r}: expected one of {', '.join(architectures())}"
    )


def shrink(images: Tensor, resolution: int) -> Tensor:
    """Average equal squares of pixels: [N, 3, H, H] -> [N, 3, R, R]."""
    height, width = images.shape[2:]
    if height != width or height % resolution:
        raise UserError(
            f"images are {width}x{height}, the classifiers read {resolution}x{resolution}:"
            f" expected {resolution} pixels or a multiple; train classifiers on images of"
            f" {min(height, width)} or fewer pixels"
        )
    factor = height // resolution
    return F.avg_pool2d(images, factor) if factor > 1 else images
