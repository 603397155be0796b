"""ST-LPIPS: a shift-tolerant relative of LPIPS whose weights come whole in a pip package.

For where LPIPS's backbone cannot be had. Trained from scratch on small patches, it is of another
scale than LPIPS, and its path length is never called by LPIPS's name.

References
----------
Ghildyal and Liu, Shift-tolerant Perceptual Similarity Metric, 2022.
Zhang, Making Convolutional Networks Shift-Invariant Again, 2019 (blurred pooling).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.perceptual.distance import PerceptualDistance, head_roots, load_convs
from stylegan_eval.perceptual.packaged import packaged_file
from stylegan_eval.perceptual.vgg import CHANNELS, STAGES, VggTrunk
from stylegan_eval.weights import read_weights

VGG, ALEX = "st-lpips-vgg", "st-lpips-alex"
_SHA256 = {
    VGG: "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
    ALEX: "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
}


def blur_down(x: Tensor) -> Tensor:
    """Smooth by [1, 2, 1] x [1, 2, 1] / 16 over a mirrored border of 2 and keep every second pixel.

    [N, C, H, W] -> [N, C, H // 2 + 1 or + 2, ...].
    """
    taps = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 3, 3)  # [C, 1, 3, 3]
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _pool2(x: Tensor) -> Tensor:
    return blur_down(F.max_pool2d(x, 2, stride=1))


def _pool3(x: Tensor) -> Tensor:
    return blur_down(F.max_pool2d(x, 3, stride=1))


class AlexTrunk(nn.Module):
    """AlexNet's convolutions at stride 1, blurred where the original strides."""

    channels = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps [N, C, H', W'] after each of the five ReLUs."""
        conv1, conv2, conv3, conv4, conv5 = self.convs
        relu1 = F.relu(blur_down(conv1(x)))
        relu2 = F.relu(conv2(_pool3(relu1)))
        relu3 = F.relu(conv3(_pool3(relu2)))
        relu4 = F.relu(conv4(relu3))
        return [relu1, relu2, relu3, relu4, F.relu(conv5(relu4))]


def _vgg_names() -> list[str]:
    """Names of the convolutions: a stage begins with a pool and a blur, ReLUs lie between."""
    names, place = [], 0
    for number, stage in enumerate(STAGES, start=1):
        place += 2 if number > 1 else 0
        for _ in stage:
            names.append(f"net.slice{number}.{place}")
            place += 2
    return names


_ALEX_NAMES = [f"net.slice{n}.{place}" for n, place in enumerate((0, 5, 9, 11, 13), start=1)]


def load_stlpips(name: str, device: torch.device) -> PerceptualDistance:
    """Read the weights of the package ``stlpips-pytorch`` and build the distance.

    Parameters
    ----------
    name : {"st-lpips-vgg", "st-lpips-alex"}
        Which trunk.
    device : torch.device
        Where to run.

    Raises
    ------
    UserError
        The package is missing or of another version.
    """
    assert name in _SHA256, name
    net = name.removeprefix("st-lpips-")
    inner = f"weights/vST0.0/{net}_shift_tolerant.pth"
    path = packaged_file("stlpips_pytorch", inner, _SHA256[name], "demo")
    state = read_weights(path)
    trunk: VggTrunk | AlexTrunk
    with torch.device("meta"):  # no initial values: they would come from the global generator
        trunk = VggTrunk(_pool2) if name == VGG else AlexTrunk()
    load_convs(trunk.convs, state, _vgg_names() if name == VGG else _ALEX_NAMES, str(path))
    roots = head_roots(state, CHANNELS if name == VGG else AlexTrunk.channels, str(path))
    trunk.eval().requires_grad_(requires_grad=False)
    return PerceptualDistance(
        name=name,
        mark=name,
        weights_sha256=_SHA256[name],
        trunk=trunk.to(device).to(memory_format=torch.channels_last),
        roots=[root.to(device) for root in roots],
        device=device,
    )
