"""The discriminator of Progressive GAN (with blurred down-sampling in B to F), at any lod."""

import torch
from torch import Tensor, nn

from stylegan.configs import NetworkConfig
from stylegan.networks.devices import memory_format_of
from stylegan.networks.layers import (
    Blur,
    ConvLReLU,
    EqualizedConv,
    EqualizedLinear,
    compute_type,
    cross_fade,
    leaky_relu,
    mean_pool,
    minibatch_stddev,
)
from stylegan.networks.synthesis import split_lod


class DownBlock(nn.Module):
    """Convolution, then blurred down-sampling convolution: halves the resolution."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        C, C_next = config.fmaps(resolution), config.fmaps(resolution // 2)
        self.conv0 = ConvLReLU(C, C, 3)
        self.conv1_down = ConvLReLU(C, C_next, 3, downsample=True)
        self.blur = Blur(C) if config.blur else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C_next, H/2, W/2]."""
        x = self.conv0(x)
        if self.blur is not None:
            x = self.blur(x)
        down: Tensor = self.conv1_down(x)
        return down


class Discriminator(nn.Module):
    """Images -> scores."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.mbstd_group_size = config.mbstd_group_size
        self.label_size = config.label_size
        sizes = [resolution >> lod for lod in range(resolution.bit_length() - 2)]  # R, .., 4
        # Index = level of detail.
        from_rgb = ConvLReLU if config.from_rgb_lrelu else EqualizedConv
        self.from_rgb = nn.ModuleList(
            from_rgb(config.num_channels, config.fmaps(size), 1) for size in sizes
        )
        self.blocks = nn.ModuleList(DownBlock(config, size) for size in sizes[:-1])
        C, C_dense = config.fmaps(4), config.fmaps(2)
        self.conv = ConvLReLU(C + 1, C, 3)
        self.dense0 = EqualizedLinear(16 * C, C_dense)
        self.dense1 = EqualizedLinear(C_dense, max(config.label_size, 1), gain=1.0)

    def forward(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        lod: float = 0.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Score images.

        Parameters
        ----------
        images : Tensor
            [N, num_channels, R >> floor(lod), R >> floor(lod)], in [-1, 1].
        labels : Tensor, optional
            One-hot [N, label_size]; required by a conditional network.
        dtype : torch.dtype
            Type of the weights and activations above 4x4: bfloat16, or float32 for the weights'
            own. The minibatch deviation and what follows stay in the weights' own type.

        Returns
        -------
        Tensor
            [N, 1], larger for images that look real, in the weights' own type.

        Raises
        ------
        ValueError
            Image size and `lod` disagree, labels are missing, or N is no multiple of 4 above 4.
        """
        level, fade = self.check(images, labels, lod)
        return self.pick(self.at_level(images, level, fade or None, dtype), labels)

    def check(self, images: Tensor, labels: Tensor | None, lod: float) -> tuple[int, float]:
        """Level and fade of `lod`, which the images' size must fit; see `forward`."""
        level, fade = split_lod(lod, self.resolution)
        size = self.resolution >> level
        if images.shape[2:] != (size, size):
            got = "x".join(map(str, images.shape[2:]))
            raise ValueError(f"images at lod {lod:g} must be {size}x{size}, not {got}")
        if (labels is None) != (self.label_size == 0):
            raise ValueError("labels are needed by a conditional network and by no other")
        return level, fade

    @staticmethod
    def pick(scores: Tensor, labels: Tensor | None) -> Tensor:
        """The score of each image's class, [N, 1]."""
        return scores if labels is None else (scores * labels).sum(dim=1, keepdim=True)

    def at_level(
        self, images: Tensor, level: int, fade: float | Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Scores [N, max(label_size, 1)] of images at a level, cross-faded with the next coarser.

        `fade` is the weight of the coarser level; None where there is none.
        """
        own = self.dense1.weight.dtype
        inner = compute_type(self.dense1.weight, dtype)
        images = images.contiguous(memory_format=memory_format_of(self.conv.weight))
        x = self.from_rgb[level](images.to(inner))  # [N, C, size, size]
        for lower, block in enumerate(self.blocks[level:], start=level + 1):
            x = block(x)
            if lower == level + 1 and fade is not None:
                coarse = self.from_rgb[lower](mean_pool(images).to(inner))
                x = cross_fade(x, coarse, fade)
        x = minibatch_stddev(x.to(own), self.mbstd_group_size)  # [N, C + 1, 4, 4]
        x = self.conv(x)
        x = leaky_relu(self.dense0(x.flatten(1)))
        scores: Tensor = self.dense1(x)
        return scores
