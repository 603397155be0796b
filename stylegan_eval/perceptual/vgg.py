"""The convolutions of VGG16 in their five stages, with a choice of pool between them.

References
----------
Simonyan and Zisserman, Very Deep Convolutional Networks, 2015, Table 1, column D.
"""

from collections.abc import Callable
from itertools import islice, pairwise

import torch.nn.functional as F
from torch import Tensor, nn

# Widths of the 3x3 convolutions of each stage.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CHANNELS = tuple(stage[-1] for stage in STAGES)


class VggTrunk(nn.Module):
    """Images [N, 3, H, W] -> relu1_2, relu2_2, relu3_3, relu4_3, relu5_3.

    Parameters
    ----------
    pool : callable
        [N, C, H, W] -> about half the size; before every stage but the first.
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
