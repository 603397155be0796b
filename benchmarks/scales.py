"""At which scale the tables are reproduced: networks, length, and how they are measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from benchmarks.tables import NETWORKS, Dataset
from stylegan.configs import Config
from stylegan.presets import apply_preset, with_options
from stylegan_eval.errors import UserError

# Common in the avatars and easy to read at 32x32: each is found with and without in any network.
AVATAR_ATTRIBUTES = "eyeglasses,long_hair,skin_dark,suit,bg_dark,clothes_dark"
_GPUS = (1, 2, 4)  # with published minibatches; other numbers of GPUs divide that of eight


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Measurement settings of a scale."""

    features: str = "inception"  # Feature network of distances; only ``inception`` gives FID
    num: int = 50_000  # Generated images of a distance
    pr_features: str = "vgg16"  # Feature network of precision and recall
    curve_num: int = 10_000  # Generated images of a distance measured while training
    curve_points: int = 20  # How many of those
    distance: str = "lpips-vgg"  # Perceptual distance of path length
    crop: str = "none"  # Its crop
    pairs: int = 100_000  # Its pairs
    ls_num: int = 200_000  # Images of separability
    ls_keep: int = 100_000  # ... and the most confident of them
    attributes: str = ""  # Its attributes; empty for all


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A scale."""

    name: str  # As the command line calls it
    description: str
    resolution: int  # Of the images, in pixels
    preset: str = ""  # What makes the networks small; empty at the paper's scale
    kimg: float | None = None  # Length of every training; None for the paper's
    protocol: Protocol = Protocol()  # How it is measured

    @property
    def is_papers(self) -> bool:
        """Whether networks have the paper's width."""
        return not self.preset


# Weights of both networks come in packages from pip: nothing else is downloaded.
_OFFLINE = Protocol(
    features="efficientnet-lite0",
    num=10_000,
    pr_features="efficientnet-lite0",
    curve_num=5_000,
    curve_points=4,
    distance="st-lpips-alex",
    pairs=4_000,
    ls_num=20_000,
    ls_keep=10_000,
    attributes=AVATAR_ATTRIBUTES,
)
SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        scale.name: scale
        for scale in (
            Scale(
                name="tiny-32",
                description="seconds for each row: shows that all works, its numbers mean nothing",
                resolution=32,
                preset="tiny-16",
                protocol=replace(
                    _OFFLINE, num=64, curve_num=64, curve_points=2, pairs=8, ls_num=128, ls_keep=64
                ),
            ),
            Scale(
                name="quick-32",
                description="minutes on a CPU core for each row: 32x32, width 64",
                resolution=32,
                preset="quick-32",
                protocol=replace(_OFFLINE, curve_num=2_000, num=5_000, pairs=2_000),
            ),
            Scale(
                name="demo-32",
                description="a quarter of an hour on a CPU core for each row: 32x32, width 64",
                resolution=32,
                preset="demo-32",
                kimg=100.0,
                protocol=_OFFLINE,
            ),
            Scale(
                name="table-32",
                description="an hour on a CPU core for each row: 32x32, rates of the trials",
                resolution=32,
                preset="table-32",
                kimg=120.0,
                protocol=_OFFLINE,
            ),
            Scale(
                name="demo-64",
                description="hours on a CPU core for each row: 64x64, width 64",
                resolution=64,
                preset="demo-64",
                kimg=400.0,
                protocol=_OFFLINE,
            ),
            Scale(name="paper-256", description="the paper's networks at 256x256", resolution=256),
            Scale(name="paper-512", description="the paper's networks at 512x512", resolution=512),
            Scale(
                name="paper-1024",
                description="as published",
                resolution=1024,
                protocol=Protocol(crop="face"),
            ),
        )
    }
)


def named_scale(name: str) -> Scale:
    """Scale by its name."""
    if name not in SCALES:
        raise UserError(f"no scale {name!r}; there are: {', '.join(SCALES)}")
    return SCALES[name]


def training_config(
    network: str, scale: Scale, dataset: Dataset, *, kimg: float | None = None, gpus: int = 1
) -> Config:
    """Configuration of a network of the tables, with the losses, rates and mirroring of `dataset`.

    At the paper's scale the published minibatches depend on the number of GPUs.
    """
    config = apply_preset(NETWORKS[network], f"paper-{dataset}")
    if scale.preset:
        config = apply_preset(config, scale.preset)
    elif gpus in _GPUS:
        config = apply_preset(config, f"paper-ffhq-{gpus}gpu")
    return with_options(config, resolution=scale.resolution, total_kimg=kimg or scale.kimg)
