"""Inception v3 as FID knows it: the TensorFlow graph of 2015-12-05 with its pool3 features.

It differs from torchvision's Inception v3: average pools leave the padding out of the count, the
last block pools by maximum, 1008 classes, no auxiliary head. Batch norm is folded into the
convolutions when the weights are read.

References
----------
Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016.
Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017 (FID).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import INCEPTION_INPUT
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.settings.common import Precision

FEATURE_DIM = 2048
SPATIAL_CHANNELS = 7
CLASSES = 1008
BATCH_NORM_EPS = 1e-3


class Conv(NamedTuple):
    """A convolution with ReLU; padded to keep the size when the stride is 1, else not padded."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


class Fork(NamedTuple):
    """Two convolutions of one input, concatenated."""

    left: Conv
    right: Conv


class AverageThen(NamedTuple):
    """A 3x3 average pool that keeps the size, then a 1x1 convolution with ReLU."""

    conv: Conv


class MaxPool(NamedTuple):
    """A 3x3 maximum; stride 1 keeps the size, stride 2 is not padded."""

    stride: int = 1


Branch = Sequence[Conv | Fork | AverageThen | MaxPool]


def _block_a(pooled: int) -> list[Branch]:
    """35x35 grid."""
    return [
        [Conv("branch1x1", 64)],
        [Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))],
        [
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ],
        [AverageThen(Conv("branch_pool", pooled))],
    ]


def _block_b() -> list[Branch]:
    """35x35 to 17x17."""
    return [
        [Conv("branch3x3", 384, (3, 3), stride=2)],
        [
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3), stride=2),
        ],
        [MaxPool(stride=2)],
    ]


def _block_c(inner: int) -> list[Branch]:
    """17x17 grid, 7x7 convolutions factored into 1x7 and 7x1."""
    return [
        [Conv("branch1x1", 192)],
        [
            Conv("branch7x7_1", inner),
            Conv("branch7x7_2", inner, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ],
        [
            Conv("branch7x7dbl_1", inner),
            Conv("branch7x7dbl_2", inner, (7, 1)),
            Conv("branch7x7dbl_3", inner, (1, 7)),
            Conv("branch7x7dbl_4", inner, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ],
        [AverageThen(Conv("branch_pool", 192))],
    ]


def _block_d() -> list[Branch]:
    """17x17 to 8x8."""
    return [
        [Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), stride=2)],
        [
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), stride=2),
        ],
        [MaxPool(stride=2)],
    ]


def _block_e(pooled: Branch) -> list[Branch]:
    """8x8 grid."""
    return [
        [Conv("branch1x1", 320)],
        [
            Conv("branch3x3_1", 384),
            Fork(Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1))),
        ],
        [
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, (3, 3)),
            Fork(Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
        ],
        pooled,
    ]


class Convolution(nn.Conv2d):
    """A convolution that a CPU computes from packed weights, with the ReLU in the same pass."""

    packs = False  # Whether the first call packs the weights; `weight` is empty then
    packed: Tensor | None = None  # Weights as oneDNN's kernels want them, laid out once

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out_channels, H', W']."""
        return self._from_packed(x, "none") if self.packs else super().forward(x)

    def relu(self, x: Tensor) -> Tensor:
        """ReLU of the convolution."""
        if self.packs:
            return self._from_packed(x, "relu")
        return F.relu(super().forward(x), inplace=True)

    def _from_packed(self, x: Tensor, then: str) -> Tensor:
        how = (self.padding, self.stride, self.dilation, self.groups)
        if self.packed is None:
            # The best layout depends on the size of the maps, which is the same at every call.
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.packed = pack(self.weight, *how, x.shape)
            self.weight = nn.Parameter(self.weight.new_empty(0), requires_grad=False)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, *how, then, [], ""
        )
        return result


def can_pack(device: torch.device, precision: Precision) -> bool:
    """Whether this PyTorch has the kernels: they are not of its public interface."""
    names = ("_reorder_convolution_weight", "_convolution_pointwise")
    on_cpu = device.type == "cpu" and precision == "fp32"
    return on_cpu and all(hasattr(torch.ops.mkldnn, name) for name in names)


def halving_max_pool(x: Tensor) -> Tensor:
    """Maxima of 3x3 pixels, two apart, of [N, C, H, W]; not padded."""
    if x.device.type != "cpu":
        return F.max_pool2d(x, 3, 2)
    # Rows, then columns: half the time of PyTorch's own, where channels come last.
    x = torch.maximum(torch.maximum(x[:, :, :-2:2], x[:, :, 1:-1:2]), x[:, :, 2::2])
    return torch.maximum(torch.maximum(x[..., :-2:2], x[..., 1:-1:2]), x[..., 2::2])


class MixedBlock(nn.ModuleDict):
    """Branches over one input, concatenated; holds the convolutions under the weights' names."""

    def __init__(self, channels: int, branches: Sequence[Branch]) -> None:
        super().__init__()
        self.branches = branches
        self.out_channels = sum(self._add_branch(channels, branch) for branch in branches)

    def _add_branch(self, channels: int, branch: Branch) -> int:
        for step in branch:
            if isinstance(step, Conv):
                channels = self._add(channels, step)
            elif isinstance(step, AverageThen):
                channels = self._add(channels, step.conv)
            elif isinstance(step, Fork):
                channels = self._add(channels, step.left) + self._add(channels, step.right)
        return channels

    def _add(self, channels: int, conv: Conv) -> int:
        height, width = conv.kernel
        padding = (height // 2, width // 2) if conv.stride == 1 else (0, 0)
        self[conv.name] = Convolution(channels, conv.channels, conv.kernel, conv.stride, padding)
        return conv.channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, out_channels, H', W']."""
        return torch.cat([self._run(branch, x) for branch in self.branches], dim=1)

    def _conv(self, conv: Conv) -> Convolution:
        module = self[conv.name]
        assert isinstance(module, Convolution)
        return module

    def _run(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, Conv):
                x = self._conv(step).relu(x)
            elif isinstance(step, Fork):
                x = torch.cat([self._conv(conv).relu(x) for conv in step], dim=1)
            elif isinstance(step, AverageThen):
                # Averaging and a 1x1 convolution commute; afterwards there are fewer channels.
                x = self._conv(step.conv)(x)
                x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
                x = F.relu(x, inplace=True)
            elif step.stride == 2:
                x = halving_max_pool(x)
            else:
                x = F.max_pool2d(x, 3, step.stride, padding=1)
        return x


class InceptionV3(nn.Module):
    """float32 [N, 3, 299, 299] in [-1, 1] -> pool3 features [N, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        channels = 192
        for name, branches in {
            "Mixed_5b": _block_a(32),
            "Mixed_5c": _block_a(64),
            "Mixed_5d": _block_a(64),
            "Mixed_6a": _block_b(),
            "Mixed_6b": _block_c(128),
            "Mixed_6c": _block_c(160),
            "Mixed_6d": _block_c(160),
            "Mixed_6e": _block_c(192),
            "Mixed_7a": _block_d(),
            "Mixed_7b": _block_e([AverageThen(Conv("branch_pool", 192))]),
            "Mixed_7c": _block_e([MaxPool(), Conv("branch_pool", 192)]),
        }.items():
            block = MixedBlock(channels, branches)
            self.add_module(name, block)
            channels = block.out_channels
        # Not needed for features; the weights file is read strictly, and holds the classes.
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features float32 [N, 2048] of a preprocessed input [N, 3, 299, 299]."""
        return self.maps(x, "Mixed_7c").float().mean(dim=(2, 3))

    def maps(self, x: Tensor, last: str) -> Tensor:
        """Feature maps [N, C, H, W] after the block named `last`."""
        x = self.Conv2d_1a_3x3.relu(x)  # [N, 32, 149, 149]
        x = self.Conv2d_2a_3x3.relu(x)  # [N, 32, 147, 147]
        # ReLU and max pool commute; after the pool there is a quarter of the values.
        x = F.relu(halving_max_pool(self.Conv2d_2b_3x3(x)), inplace=True)  # [N, 64, 73, 73]
        x = self.Conv2d_3b_1x1.relu(x)  # [N, 80, 73, 73]
        x = F.relu(halving_max_pool(self.Conv2d_4a_3x3(x)), inplace=True)  # [N, 192, 35, 35]
        for name, block in self.named_children():
            if isinstance(block, MixedBlock):
                x = block(x)
            if name == last:
                break
        return x


class SpatialInception(InceptionV3):
    """float32 [N, 3, 299, 299] in [-1, 1] -> features of sFID [N, 2023].

    The first 7 channels of the 1x1 convolution of the block that TensorFlow's graph calls mixed_6,
    row by row, the channels of a pixel side by side as there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features float32 [N, 17 x 17 x 7]."""
        convolution = self.get_submodule("Mixed_6d.branch1x1")
        x = convolution(self.maps(x, "Mixed_6c"))[:, :SPATIAL_CHANNELS]
        return F.relu(x.float()).permute(0, 2, 3, 1).flatten(1)


def fold_batch_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network with batch norm -> weights of `InceptionV3`.

    `state`: ``X.conv.weight``, ``X.bn.{weight,bias,running_mean,running_var}`` for each convolution
    X, ``fc.weight``, ``fc.bias``; batch counters are ignored. Returns ``X.weight``, ``X.bias``,
    folded in float64; other entries as they are.

    Raises
    ------
    KeyError
        A convolution without its batch norm.
    """
    rest = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    folded = {}
    for key in [key for key in rest if key.endswith(".conv.weight")]:
        name = key.removesuffix(".conv.weight")
        weight = rest.pop(key).double()
        gain, shift, mean, variance = (
            rest.pop(f"{name}.bn.{entry}").double()
            for entry in ("weight", "bias", "running_mean", "running_var")
        )
        gain = gain / (variance + BATCH_NORM_EPS).sqrt()
        folded[f"{name}.weight"] = (weight * gain[:, None, None, None]).float()
        folded[f"{name}.bias"] = (shift - mean * gain).float()
    return folded | rest


def load_inception(
    weights: Path, resize: str, device: torch.device, precision: Precision = "fp32"
) -> FeatureNetwork:
    """Build the detector with one of the resizes of `INCEPTION_INPUT`.

    The weights file has the naming of pytorch-fid, torch-fidelity and torchvision.
    """
    network = _read(InceptionV3, weights)
    head = network.fc.weight.detach().to(device, torch.float32)
    return FeatureNetwork(
        name="inception",
        resize=resize,
        weights_sha256=sha256_of(weights),
        feature_dim=FEATURE_DIM,
        preprocess=INCEPTION_INPUT[resize],
        network=_placed(network, device, precision),
        device=device,
        precision=precision,
        head=head,  # without its bias: that is how the Inception Score is defined
    )


def load_spatial(
    weights: Path, device: torch.device, precision: Precision = "fp32"
) -> FeatureNetwork:
    """Build the detector of sFID, with TensorFlow 1's resize and the weights of Inception."""
    return FeatureNetwork(
        name="inception-spatial",
        resize="tf1",
        weights_sha256=sha256_of(weights),
        feature_dim=17 * 17 * SPATIAL_CHANNELS,
        preprocess=INCEPTION_INPUT["tf1"],
        network=_placed(_read(SpatialInception, weights), device, precision),
        device=device,
        precision=precision,
    )


def _placed(network: InceptionV3, device: torch.device, precision: Precision) -> nn.Module:
    placed = place(network, device, precision)
    if can_pack(device, precision):
        for module in placed.modules():
            if isinstance(module, Convolution):
                module.packs = True
    return placed


def _read(kind: type[InceptionV3], weights: Path) -> InceptionV3:
    state = read_weights(weights)
    with torch.device("meta"):  # no initial values: they would come from the global generator
        network = kind()
    with parsing(weights, "not Inception weights in pytorch-fid's layout"):
        network.load_state_dict(fold_batch_norm(state), assign=True)
    return network
