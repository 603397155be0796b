"""Effective rank of images, a feature network of their pixels, and MNIST's format."""

import struct
from dataclasses import dataclass

from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import Container
from stylegan_eval.metrics import GENERATED, MetricRow
from stylegan_eval.networks import NetworkRow
from stylegan_eval.settings.common import choice
from stylegan_eval.settings.image_metrics import GeneratedSettings

_MAGIC = b"\0\0\x08\x03"  # bytes, of three dimensions


@dataclass(frozen=True, kw_only=True)
class RankSettings(GeneratedSettings):
    """Protocol of the effective rank (Roy and Vetterli 2007)."""

    num: int = choice(5000, "Generated images.")


def effective_rank(settings, fake, real):
    """Exponential of the entropy of the shares of the singular values."""
    import torch

    from stylegan_eval.metrics.naming import Value, count_name, marks

    x = fake.tensor().double()
    values = torch.linalg.svdvals(x - x.mean(dim=0))  # of the features [N, D] around their mean
    entropy = torch.special.entr(values / values.sum()).sum()
    mark = marks(settings, fake.detector, usual="inception")
    name = f"rank{count_name(settings.num)}{mark}"
    return [Value(name=name, value=float(entropy.exp()))]


def load_thumbnail(device, precision="fp32"):
    """Pixels of the image averaged to 8x8."""
    from torch import nn

    from stylegan_eval.networks.network import FeatureNetwork, place

    def thumbnail(images):
        """uint8 [N, 3, H, W] -> float32 [N, 3, 8, 8] in [0, 1]."""
        return nn.functional.adaptive_avg_pool2d(images.float() / 255, 8)

    return FeatureNetwork(
        name="thumbnail",
        resize="mean-8",
        weights_sha256="",
        feature_dim=3 * 8 * 8,
        preprocess=thumbnail,
        network=place(nn.Flatten(), device, precision),
        device=device,
        precision=precision,
    )


def open_idx(path):
    """Images of a file of MNIST's format."""
    import numpy as np

    from stylegan_eval.images.source import PixelImages, stamps_of

    with path.open("rb") as file:
        _, count, height, width = struct.unpack(">4L", file.read(16).ljust(16, b"\0"))
    if path.stat().st_size != 16 + count * height * width:
        raise UserError(f"{path}: expected {count} images of {width}x{height}")
    pixels = np.memmap(path, np.uint8, "r", 16, (count, height, width))
    return PixelImages(
        kind="MNIST's images",
        path=path,
        names=[f"{number:05d}" for number in range(count)],
        stamps=stamps_of([path]),
        pixels=lambda index: pixels[index][None].repeat(3, axis=0),
    )


METRIC = MetricRow(
    place="effective_rank:effective_rank",
    settings=RankSettings,
    inputs=(*GENERATED, "weights"),
    help="Effective rank: in how many directions images differ.",
    fake=("vectors",),
    higher_is_better=True,
    in_all=False,
)
NETWORK = NetworkRow(place="effective_rank:load_thumbnail")
IMAGES = Container(
    files=("-idx3-ubyte",),
    place="effective_rank:open_idx",
    begins=lambda start: start.startswith(_MAGIC),
)
