"""The official attribute classifiers, read from their pickles: one discriminator for each.

Shapes: N batch, C channels, H W pixels, A attributes, R resolution.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, Section 4.2 and Appendix C.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.classifiers.classifier import (
    AttributeClassifier,
    AttributeRecord,
    ClassifierRecord,
)
from stylegan_eval.classifiers.network import LARGEST, SMALLEST, ClassifierNetwork
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.networks import PickledNetwork, read_networks

ARCHITECTURE = "official"
# Images that the minibatch deviation compares: the official measurement draws 4 at a time.
GROUP = 4
_NAME = re.compile(r"celebahq-classifier-(\d\d)-([a-z0-9-]+)")
# Options that leave the network what it is here, and the values that do.
_OPTIONS: Mapping[str, tuple[Any, ...]] = {
    "num_channels": (3,),
    "label_size": (0,),
    "fmap_decay": (1.0,),
    "nonlinearity": ("lrelu",),
    "use_wscale": (True,),
    "mbstd_group_size": (GROUP,),
    "mbstd_num_features": (1,),
    "dtype": ("float32",),
    "blur_filter": ([1, 2, 1], (1, 2, 1)),
}
_WITHOUT_EFFECT = {"resolution", "fmap_base", "fmap_max", "structure", "fused_scale"}


class _Layer(nn.Module):
    """A convolution or dense layer with equalized learning rate, its scale applied."""

    def __init__(self, weight: Tensor, bias: Tensor, gain: float) -> None:
        super().__init__()
        scale = gain / math.sqrt(weight[0].numel())
        self.weight = nn.Parameter(weight * scale, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.ndim == 2:
            return F.linear(x.flatten(1), self.weight, self.bias)
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class _Single(nn.Module):
    """One discriminator at full resolution: [N, 3, R, R] -> [N, 1]."""

    tent: Tensor

    def __init__(self, network: PickledNetwork, resolution: int) -> None:
        super().__init__()
        self.sizes = [resolution >> k for k in range(resolution.bit_length() - 3)]  # R, .., 8
        names = ["FromRGB_lod0"]
        names += [f"{s}x{s}/{part}" for s in self.sizes for part in ("Conv0", "Conv1_down")]
        names += ["4x4/Conv", "4x4/Dense0", "4x4/Dense1"]
        channels = 3
        layers = []
        for name in names:
            layer = _layer(network, name, channels)
            channels = len(layer.bias)
            channels += 1 if name == "8x8/Conv1_down" else 0  # the minibatch deviation
            channels *= 16 if name == "4x4/Conv" else 1
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        tent = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("tent", torch.outer(tent, tent)[None, None])
        if channels != 1:
            raise UserError(f"network {network.name} has {channels} outputs, expected one logit")

    def forward(self, x: Tensor) -> Tensor:
        layers = iter(self.layers)
        x = F.leaky_relu(next(layers)(x), 0.2)  # [N, C, R, R]
        for _ in self.sizes:
            x = F.leaky_relu(next(layers)(x), 0.2)
            kernel = self.tent.expand(x.shape[1], 1, 3, 3)
            x = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
            x = F.leaky_relu(F.avg_pool2d(next(layers)(x), 2), 0.2)  # half the size
        x = torch.cat([x, _deviation(x)], dim=1)  # [N, C + 1, 4, 4]
        x = F.leaky_relu(next(layers)(x), 0.2)
        x = F.leaky_relu(next(layers)(x), 0.2)
        logit: Tensor = next(layers)(x)
        return logit


def _deviation(x: Tensor) -> Tensor:
    """Mean standard deviation within each four images in a row, [N, 1, H, W]."""
    groups = torch.split(x, GROUP)
    means = [(group.var(dim=0, correction=0) + 1e-8).sqrt().mean() for group in groups]
    sizes = torch.tensor([len(group) for group in groups], device=x.device)
    each = torch.stack(means).repeat_interleave(sizes)
    return each[:, None, None, None].expand(-1, 1, *x.shape[2:])


def _layer(network: PickledNetwork, name: str, channels: int) -> _Layer:
    """Take a layer of `channels` inputs out of the file's variables."""
    variables = network.variables
    for part in ("weight", "bias"):
        if f"{name}/{part}" not in variables:
            raise UserError(f"network {network.name} lacks the variable {name}/{part}")
    weight = torch.from_numpy(np.array(variables[f"{name}/weight"], np.float32))
    bias = torch.from_numpy(np.array(variables[f"{name}/bias"], np.float32))
    kernel = 1 if name.startswith("FromRGB") else 3
    before = (channels,) if "Dense" in name else (kernel, kernel, channels)
    if tuple(weight.shape) != (*before, len(bias.flatten())) or bias.ndim != 1:
        raise UserError(
            f"variable {name}/weight of network {network.name} has shape {list(weight.shape)},"
            f" expected {list(before)} and a bias each"
        )
    order = (1, 0) if weight.ndim == 2 else (3, 2, 0, 1)
    gain = 1.0 if name == "4x4/Dense1" else math.sqrt(2)
    return _Layer(weight.permute(order).contiguous(), bias, gain)


class OfficialClassifiers(ClassifierNetwork):
    """Images [N, 3, R, R] in [-1, 1] -> logits [N, A], a discriminator for each attribute.

    Each four images in a row are compared with each other, as in the official measurement: logits
    do not depend on the batch where its size is a multiple of 4.
    """

    def __init__(self, networks: list[PickledNetwork], resolution: int) -> None:
        super().__init__()
        self.singles = nn.ModuleList(_Single(network, resolution) for network in networks)

    def initialise(self, rng: torch.Generator) -> None:
        """Not to be trained."""
        del rng
        raise UserError("the official classifiers come trained: choose another architecture")

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, R, R] -> [N, A]."""
        return torch.cat([single(x) for single in self.singles], dim=1)


def are_official(path: Path) -> bool:
    """Whether a path is a folder with pickles of classifiers, or called one."""
    return path.suffix == ".pkl" or (path.is_dir() and bool(_pickles(path)))


def _pickles(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.glob("*.pkl") if _NAME.fullmatch(each.stem))


def load_official(path: Path, device: torch.device) -> AttributeClassifier:
    """Read official classifiers, ``celebahq-classifier-NN-NAME.pkl`` or a folder of them, as data.

    They are in the order of their numbers; how they were trained and how good they are is not
    known.
    """
    files = _pickles(path)
    networks = [_read(file) for file in files]
    size = networks[0].options["resolution"]
    for file, network in zip(files, networks, strict=True):
        if network.options["resolution"] != size:
            resolution = network.options["resolution"]
            raise UserError(
                f"{file}: of resolution {resolution}, expected {size} as in {files[0].name}"
            )
    try:
        made = OfficialClassifiers(networks, size).eval()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    names = [match[2] if (match := _NAME.fullmatch(f.stem)) else f.stem for f in files]
    digest = hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()
    return AttributeClassifier(
        record=_record(size, names),
        network=made.to(device),
        device=device,
        sha256=digest,
        group=GROUP,
    )


def _read(file: Path) -> PickledNetwork:
    (network, *others) = read_networks(file)
    if others or network.function != "D_basic":
        raise UserError(f"{file}: built by {network.function}, expected one network D_basic")
    size = network.options.get("resolution")
    if type(size) is not int or not SMALLEST <= size <= LARGEST or size & (size - 1):
        raise UserError(f"{file}: of resolution {size!r:.40}, expected a power of two from 8")
    for key, value in network.options.items():
        if key not in _WITHOUT_EFFECT and value not in _OPTIONS.get(key, ()):
            raise UserError(f"{file}: has the option {key}={value!r:.60}, which is not known here")
    return network


def _record(resolution: int, names: list[str]) -> ClassifierRecord:
    """A record that tells nothing of the training."""
    unknown = math.nan
    return ClassifierRecord(
        architecture=ARCHITECTURE,
        resolution=resolution,
        attributes=tuple(
            AttributeRecord(name=name, share=unknown, accuracy=unknown, balanced_accuracy=unknown)
            for name in names
        ),
        data_digest="",
        images=0,
        held_out=0,
        epochs=0,
        batch=0,
        seed=0,
        lrate=0.0,
        version="",
    )
