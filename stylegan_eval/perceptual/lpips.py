"""LPIPS v0.1 with VGG16: the distance of the paper's perceptual path length.

The backbone is torchvision's; the linear heads come with the package ``lpips``. The official
StyleGAN metric holds the same numbers in a container of its own.

References
----------
Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_eval.detectors.vgg16 import WEIGHTS_SHA256 as BACKBONE_SHA256
from stylegan_eval.detectors.vgg16 import WEIGHTS_URL as BACKBONE_URL
from stylegan_eval.files import sha256_of
from stylegan_eval.perceptual.distance import PerceptualDistance, head_roots, load_convs
from stylegan_eval.perceptual.packaged import packaged_file
from stylegan_eval.perceptual.vgg import CHANNELS, VggTrunk
from stylegan_eval.weights import checkpoints_folder, fetch, read_weights

NAME = "lpips-vgg"
HEADS_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
# Where torchvision's `features` has its convolutions; ReLUs and pools lie between.
_CONVS = tuple(f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def find_heads() -> Path:
    """Path of the linear heads.

    Raises
    ------
    UserError
        The package ``lpips`` is missing or of another version.
    """
    return packaged_file("lpips", "weights/v0.1/vgg.pth", HEADS_SHA256, "lpips")


def backbone_is_cached() -> bool:
    """Whether a file of the official VGG16's name lies where PyTorch keeps downloads."""
    return (checkpoints_folder() / BACKBONE_URL.rpartition("/")[2]).exists()


def find_backbone() -> Path:
    """Path of the official VGG16; downloaded when it is not in the cache.

    Raises
    ------
    UserError
        It cannot be had.
    """
    advice = "pass it with --weights FILE, or use --distance st-lpips-vgg"
    return fetch(BACKBONE_URL, BACKBONE_SHA256, advice=advice)


def load_lpips(weights: Path | None, device: torch.device) -> PerceptualDistance:
    """Read backbone and heads and build the distance.

    Parameters
    ----------
    weights : Path or None
        State dict of a VGG16 in torchvision's naming; None fetches the official one.
    device : torch.device
        Where to run.

    Raises
    ------
    UserError
        No weights, or not weights of this network.
    """
    heads = find_heads()
    path = weights or find_backbone()
    with torch.device("meta"):  # no initial values: they would come from the global generator
        trunk = VggTrunk(_max_pool)
    load_convs(trunk.convs, read_weights(path), _CONVS, f"{path}: not torchvision's VGG16")
    trunk.eval().requires_grad_(requires_grad=False)
    roots = head_roots(read_weights(heads), CHANNELS, str(heads))
    sha256 = sha256_of(path)
    return PerceptualDistance(
        name=NAME,
        mark="" if sha256 == BACKBONE_SHA256 else f"weights:{sha256[:8]}",
        weights_sha256=sha256,
        trunk=trunk.to(device).to(memory_format=torch.channels_last),
        roots=[root.to(device) for root in roots],
        device=device,
    )
