"""The synthesis network g: W -> images (Figure 1b, right), at any level of detail.

Level of detail `lod`: 0 is the full resolution, each unit halves it, a fraction cross-fades two
resolutions. Images come at the native resolution of level floor(lod).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylegan.configs import NetworkConfig
from stylegan.networks.devices import memory_format_of
from stylegan.networks.epilogue import Epilogue
from stylegan.networks.layers import (
    SQRT2,
    Blur,
    EqualizedConv,
    EqualizedLinear,
    FourShifts,
    compute_type,
    cross_fade,
    upsample_conv,
    upsample_nearest,
)


def coarsest_lod(resolution: int) -> int:
    """The level of detail of 4x4."""
    return resolution.bit_length() - 3


def split_lod(lod: float, resolution: int) -> tuple[int, float]:
    """Floor and fraction of `lod`, held within 0 and the 4x4 level.

    Images are `resolution` >> floor pixels wide; the fraction is the weight of the next coarser
    level.
    """
    clipped = min(max(lod, 0.0), float(coarsest_lod(resolution)))
    return int(clipped), clipped - int(clipped)


class InputLayer(nn.Module):
    """The 4x4 start: a learned constant, or a dense layer fed with w; then an epilogue."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.fmaps = config.fmaps(4)
        self.const = (
            nn.Parameter(torch.ones(1, self.fmaps, 4, 4)) if config.constant_input else None
        )
        # The gain makes up for the 16 pixels that share one input (Progressive GAN).
        self.dense = (
            None
            if config.constant_input
            else EqualizedLinear(config.w_dim, 16 * self.fmaps, gain=SQRT2 / 4, bias=False)
        )
        self.epilogue = Epilogue(config, 4, "input")

    def forward(
        self,
        w: Tensor,
        noise: Tensor | None,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
    ) -> Tensor:
        """W [N, w_dim] -> [N, C, 4, 4] of type `dtype`."""
        if self.const is not None:
            x = self.const.expand(w.shape[0], -1, -1, -1)
        else:
            assert self.dense is not None
            x = self.dense(w).reshape(-1, self.fmaps, 4, 4)
        x = x.to(dtype).contiguous(memory_format=memory_format)
        return self.epilogue(x, w, noise)


class ConvLayer(nn.Module):
    """3x3 convolution, up-sampling before it and blur after it where asked; then an epilogue."""

    def __init__(
        self, config: NetworkConfig, in_channels: int, resolution: int, *, upsample: bool
    ) -> None:
        super().__init__()
        self.conv = EqualizedConv(in_channels, config.fmaps(resolution), 3, bias=False)
        self.epilogue = Epilogue(config, resolution, "upsampling" if upsample else "second")
        # Of the official code's two kinds of up-sampling the first turns the kernel.
        rotated = resolution < config.fused_from
        self.shifts = FourShifts(rotated=rotated) if upsample else None
        self.bias_before_blur = config.bias_before_blur
        self.blur = Blur(config.fmaps(resolution)) if upsample and config.blur else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, in, H, W] -> [N, C, H, W], or twice the size when up-sampling."""
        if self.shifts is not None:
            x = upsample_conv(x, self.conv.scaled_weight(), self.shifts)
            if self.bias_before_blur:
                x = x + self.epilogue.bias.to(x.dtype)[:, None, None]
            if self.blur is not None:
                x = self.blur(x)
        else:
            x = self.conv(x)
        return self.epilogue(x, w, noise)


class Synthesis(nn.Module):
    """Two layers per resolution from 4x4 up, and one ToRGB per resolution."""

    def __init__(self, config: NetworkConfig, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.uses_noise = config.noise
        self.layers_per_noise = 2 if config.shared_noise else 1
        self.uses_styles = config.styles
        sizes = [4 << b for b in range(resolution.bit_length() - 2)]  # 4, 8, .., resolution
        self.input = InputLayer(config)
        layers = [ConvLayer(config, config.fmaps(4), 4, upsample=False)]
        for size in sizes[1:]:
            layers.append(ConvLayer(config, config.fmaps(size // 2), size, upsample=True))
            layers.append(ConvLayer(config, config.fmaps(size), size, upsample=False))
        self.layers = nn.ModuleList(layers)
        self.to_rgb = nn.ModuleList(
            EqualizedConv(config.fmaps(size), config.num_channels, 1, gain=1.0) for size in sizes
        )

    @property
    def num_layers(self) -> int:
        """Layers of the full resolution, the input layer included: 18 at 1024x1024."""
        return 1 + len(self.layers)

    @property
    def num_ws(self) -> int:
        """Rows of ws: one per layer with styles; otherwise the input alone is fed."""
        return self.num_layers if self.uses_styles else 1

    def noise_shapes(self, lod: float = 0.0) -> list[tuple[int, int]]:
        """(H, W) of the noise of each layer that is active at `lod`, or of each resolution.

        Empty without noise.
        """
        if not self.uses_noise:
            return []
        level, _ = split_lod(lod, self.resolution)
        layers = range(0, self.num_layers - 2 * level, self.layers_per_noise)
        return [(4 << (i // 2),) * 2 for i in layers]

    def fixed_noise(self, lod: float = 0.0) -> list[Tensor]:
        """Noise maps stored in the network, [1, 1, H, W] per entry of `noise_shapes(lod)`."""
        maps = [m.fixed_noise for m in self.modules() if isinstance(m, Epilogue)]
        stored = [noise for noise in maps if noise is not None]  # in the order of the layers
        return stored[: len(self.noise_shapes(lod))]

    def forward(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        lod: float = 0.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Images [N, num_channels, R >> floor(lod), R >> floor(lod)] in about [-1, 1], not clamped.

        Parameters
        ----------
        ws : Tensor
            [N, num_ws, w_dim].
        noise : sequence of Tensor
            One map [N or 1, 1, H, W] per entry of `noise_shapes(lod)`, or none at all: then no
            noise is added.
        dtype : torch.dtype
            Type of the convolutions' weights and of activations: bfloat16, or float32 for the
            weights' own. Styles and the statistics of maps stay in the weights' own type.
        """
        level, fade = split_lod(lod, self.resolution)
        return self.at_level(ws, self.noise_maps(noise, lod), level, fade or None, dtype)

    def noise_maps(self, noise: Sequence[Tensor], lod: float) -> list[Tensor | None]:
        """One entry per layer active at `lod`: the map given, or None where none are."""
        layers = self.num_layers - 2 * split_lod(lod, self.resolution)[0]
        count = layers // self.layers_per_noise
        maps: list[Tensor | None] = list(noise) or [None] * count
        if len(maps) != count:
            kind = "layers" if self.layers_per_noise == 1 else "resolutions"
            raise ValueError(f"{len(maps)} noise maps for {count} {kind} at lod {lod:g}")
        return [map_ for map_ in maps for _ in range(self.layers_per_noise)]

    def at_level(
        self,
        ws: Tensor,
        noise: Sequence[Tensor | None],
        level: int,
        fade: float | Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """Images of a level, cross-faded with the next coarser one by `fade`; see `forward`.

        There is a map of noise [N or 1, 1, H, W] for each active layer, or None.
        """
        own = self.input.epilogue.bias.dtype
        top = len(self.to_rgb) - 1 - level  # block drawn last
        styles = ws.unbind(1) if self.uses_styles else ws.unbind(1) * self.num_layers
        first = self.layers[0]
        assert isinstance(first, ConvLayer)
        layout = memory_format_of(first.conv.weight)
        x = self.input(styles[0], noise[0], compute_type(self.input.epilogue.bias, dtype), layout)
        x = self.layers[0](x, styles[1], noise[1])  # [N, C, 4, 4]
        previous = x
        for i in range(1, 2 * top, 2):
            previous = x
            x = self.layers[i](x, styles[i + 1], noise[i + 1])
            x = self.layers[i + 1](x, styles[i + 2], noise[i + 2])
        image = self.to_rgb[top](x).to(own)
        if fade is not None:
            coarse = upsample_nearest(self.to_rgb[top - 1](previous).to(own))
            image = cross_fade(image, coarse, fade)
        return image
