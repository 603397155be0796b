"""The table of feature networks and perceptual distances, with their official weights.

Imports nothing heavy, so that command lines can name the networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan_eval import plugins


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """A row of the table."""

    place: str
    """``module:name`` of a function ``(weights, device, precision) -> FeatureNetwork``, or of a
    distance, ``(weights, device) -> PerceptualDistance``; without `weights` where there is no
    `url`."""
    url: str = ""  # Of the official weights file; empty where a pip package brings it
    sha256: str = ""  # Of that file
    otherwise: str = "pass it with --weights FILE"  # What to do where it cannot be downloaded
    is_distance: bool = False  # A perceptual distance
    smallest: int = 1
    """Smallest image that a distance takes, in pixels: below, a pool would have nothing to pool."""
    has_resizes: bool = False
    """Whether there is a choice of how images reach its input size: an argument after `weights`."""

    def official_weights(self) -> Path:
        """Local copy of the official weights file; downloaded when absent."""
        from stylegan_eval.networks.weights import fetch

        return fetch(self.url, self.sha256, advice=self.otherwise)


_VGG16 = NetworkRow(
    place="stylegan_eval.networks.vgg16:load_vgg16",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)


def _dinov2(letter: str, sha256: str) -> NetworkRow:
    name = f"dinov2_vit{letter}14"
    return NetworkRow(
        place=f"stylegan_eval.networks.vit:load_{name}",
        url=f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth",
        sha256=sha256,
    )


_INCEPTION = NetworkRow(
    place="stylegan_eval.networks.inception:load_inception",
    url=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth"
    ),
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    otherwise="pass it with --weights FILE, or use --features efficientnet-lite0",
    has_resizes=True,
)
_CLIP_SHA256 = "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"


def _check(_name: str, row: NetworkRow, _rows: Mapping[str, NetworkRow]) -> None:
    if row.is_distance:
        raise ValueError("a perceptual distance is no feature network")


NETWORKS = plugins.Table(
    {
        "inception": _INCEPTION,
        "inception-spatial": replace(
            _INCEPTION,
            place="stylegan_eval.networks.inception:load_spatial",
            otherwise="pass it with --weights FILE",
            has_resizes=False,
        ),
        "efficientnet-lite0": NetworkRow(
            place="stylegan_eval.networks.efficientnet:load_efficientnet"
        ),
        "vgg16": _VGG16,
        "dinov2-vits14": _dinov2(
            "s", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"
        ),
        "dinov2-vitb14": _dinov2(
            "b", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"
        ),
        "dinov2-vitl14": _dinov2(
            "l", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"
        ),
        "clip-vitl14-336": NetworkRow(
            place="stylegan_eval.networks.clip:load_clip",
            url=(
                f"https://openaipublic.azureedge.net/clip/models/{_CLIP_SHA256}/ViT-L-14-336px.pt"
            ),
            sha256=_CLIP_SHA256,
        ),
        "lpips-vgg": replace(
            _VGG16,
            place="stylegan_eval.networks.lpips:load_lpips",
            otherwise="pass it with --weights FILE, or use --distance st-lpips-vgg",
            is_distance=True,
            smallest=16,
        ),
        "st-lpips-vgg": NetworkRow(
            place="stylegan_eval.networks.lpips:load_st_lpips_vgg", is_distance=True, smallest=18
        ),
        "st-lpips-alex": NetworkRow(
            place="stylegan_eval.networks.lpips:load_st_lpips_alex", is_distance=True, smallest=21
        ),
    },
    plugins.FEATURES,
    NetworkRow,
    _check,
)
DISTANCES = tuple(name for name, row in NETWORKS.own.items() if row.is_distance)


def detectors() -> list[str]:
    """Names of the feature networks."""
    return [name for name, row in NETWORKS.items() if not row.is_distance]


def weighed() -> list[str]:
    """Names of the networks with a weights file."""
    return [name for name, row in NETWORKS.items() if row.url]
