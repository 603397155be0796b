"""The paper's figures 2, 3, 4, 5 and 8 and the mixing matrix, one function each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan.sample.canvas import (
    Pixels,
    check_box,
    crop,
    empty,
    paste,
    resize,
    scaled_box,
    table,
)
from stylegan.sample.drawing import mix_layers
from stylegan.sample.layers import Layers, noise_layers, style_layers
from stylegan.sample.options import Seeding
from stylegan.sample.painter import Painter
from stylegan.sample.settings import (
    OFFICIAL_DETAIL,
    OFFICIAL_RESOLUTION,
    Box,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError

_LARGEST = 2**32 - 1
DETAILS = 4
_GAIN = 4  # grey levels of the picture for one of deviation
PANELS = 4


def official_batch(seed: int, count: int, z_dim: int) -> NDArray[np.float32]:
    """Latents [count, z_dim] of one draw of NumPy's RandomState, as the official scripts have."""
    if seed > _LARGEST:
        raise UserError(f"seed {seed}: NumPy's RandomState takes 0 to {_LARGEST}")
    return np.random.RandomState(seed).standard_normal((count, z_dim)).astype(np.float32)


def official_latents(seeds: Sequence[int], z_dim: int) -> NDArray[np.float32]:
    """Latents [N, z_dim]: of each seed, the first of its own RandomState."""
    return np.concatenate([official_batch(seed, 1, z_dim) for seed in seeds])


def latents_of(seeds: Sequence[int], z_dim: int, seeding: Seeding) -> NDArray[np.float32]:
    """Latents [N, z_dim] by 'official' seeds, or 'grid' seeds (`stylegan-eval --seed 0`)."""
    if seeding == "official":
        return official_latents(seeds, z_dim)
    return latents(0, seeds, z_dim).numpy()


def official_ws(painter: Painter, seeds: Sequence[int], psi: float = 1.0) -> Tensor:
    """Ws [N, L, w_dim] of official seeds, truncated in all layers."""
    return painter.truncated(painter.ws(official_latents(seeds, painter.network.z_dim)), psi)


def row_ranges(ranges: Sequence[Layers], rows: int, num_layers: int) -> list[range]:
    """Layers that take the source's style in each row of a table."""
    if len(ranges) not in (1, rows):
        raise UserError(
            f"{len(ranges)} layer ranges for {rows} destinations: give --layers one for each, or"
            " one for all"
        )
    each = list(ranges) * (rows if len(ranges) == 1 else 1)
    return [style_layers(layers, num_layers) for layers in each]


def mixing_cells(
    painter: Painter,
    sources: NDArray[np.float32],
    destinations: NDArray[np.float32],
    settings: Mixing,
) -> Iterator[Pixels]:
    """Draw the cells of a table: sources, then destinations, then mixtures row by row.

    Of latents [S, z_dim] and [D, z_dim]: S + D + D * S images, uint8 [R, R, C].
    """
    if not painter.network.g.uses_styles:
        raise UserError(
            "mixing needs a w for every layer, and this network has no styles: use one of"
            " configuration C to F"
        )
    ranges = row_ranges(settings.layers, len(destinations), painter.num_layers)
    src, dst = (
        painter.truncated(painter.ws(z), settings.psi, settings.cutoff)  # [S or D, L, w_dim]
        for z in (sources, destinations)
    )
    mixtures = [mix_layers(src, dst[row], layers) for row, layers in enumerate(ranges)]
    noise = painter.noise(settings.noise, settings.noise_seed)
    yield from painter.images(torch.cat([src, dst, *mixtures]), noise)


def mixing_table(cells: Sequence[Pixels], sources: int, settings: Mixing) -> Pixels:
    """Lay `mixing_cells` out: sources along the top, destinations down the left side."""
    S = sources
    D = (len(cells) - S) // (1 + S)
    top: list[Pixels | None] = [None, *cells[:S]]
    rows = [[cells[S + d], *cells[S + D + d * S :][:S]] for d in range(D)]
    return table([top, *rows], gap=settings.gap, ground=settings.ground)


def draw_table(painter: Painter, settings: Mixing, seeding: Seeding = "official") -> Pixels:
    """Draw Figure 3, or the same of latents by other seeds."""
    z_dim = painter.network.z_dim
    sources, destinations = (
        latents_of(seeds, z_dim, seeding) for seeds in (settings.sources, settings.destinations)
    )
    cells = [*mixing_cells(painter, sources, destinations, settings)]
    return mixing_table(cells, len(sources), settings)


class Deviation:
    """Standard deviation of each pixel's brightness over images, from running sums.

    Brightness is the mean of the channels, alpha included. The sums are whole numbers, so no digit
    is lost, and no more than one image is held.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.count = 0
        self.channels = channels
        self.total = np.zeros((height, width), np.int64)
        self.squares = np.zeros((height, width), np.int64)

    def add(self, image: Pixels) -> None:
        """Count an image [H, W, C]."""
        brightness = image.sum(axis=2, dtype=np.int64)
        self.count += 1
        self.total += brightness
        self.squares += brightness**2

    def value(self) -> NDArray[np.float64]:
        """Deviation [H, W] in grey levels, of these images themselves (no n - 1)."""
        spread = self.count * self.squares - self.total**2
        return np.sqrt(spread) / (self.count * self.channels)

    def picture(self) -> Pixels:
        """Four times the deviation, rounded and saturating: [H, W, C]."""
        grey = np.clip(_GAIN * self.value() + 0.5, 0, 255).astype(np.uint8)
        picture = np.repeat(grey[:, :, None], self.channels, axis=2)
        picture[:, :, 3:] = 255  # opaque
        return picture


def check_noise(painter: Painter) -> None:
    """Refuse a network without noise inputs."""
    if not painter.network.noise_shapes:
        raise UserError(
            "this figure shows noise inputs, which this network lacks: use one of configuration"
            " E or F"
        )


def draw_noise_detail(painter: Painter, settings: NoiseDetail) -> Pixels:
    """Draw Figure 4: a row [R, 3 R, C] for each seed, of image, four details, deviation."""
    check_noise(painter)
    size, channels = painter.network.resolution, painter.network.config.num_channels
    box = settings.crop or scaled_box(OFFICIAL_DETAIL, OFFICIAL_RESOLUTION, size)
    check_box(box, size)
    ws = official_ws(painter, settings.seeds, settings.psi)
    noise = painter.fresh_noise(settings.noise_seed)
    rows = []
    half = size // 2
    for row, w in enumerate(ws):  # [L, w_dim]
        deviation = Deviation(size, size, channels)
        shown: list[Pixels] = []
        repeated = w.expand(settings.count, -1, -1)
        for i, image in enumerate(painter.images(repeated, noise, row * settings.count)):
            deviation.add(image)
            if i == 0:
                shown.append(image)
            elif i <= DETAILS:
                shown.append(resize(crop(image, box), half, half, Image.Resampling.NEAREST))
        details = table([shown[1:3], shown[3:]])
        rows.append(np.concatenate([shown[0], details, deviation.picture()], axis=1))
    return np.concatenate(rows)


def draw_noise_components(painter: Painter, settings: NoiseComponents) -> Pixels:
    """Draw Figure 5, uint8 [2 R, columns R, C].

    A column is one seed: above, the left half of the image with noise in the first range beside the
    right half with noise in the second; below, the third and the fourth.
    """
    check_noise(painter)
    if len(settings.layers) != PANELS:
        raise UserError(
            f"figure 5 has 4 halves, not {len(settings.layers)}: give --layers 4 ranges"
        )
    foreign = [seed for seed in settings.mirrored if seed not in settings.seeds]
    if foreign and list(settings.mirrored) != list(NoiseComponents().mirrored):
        raise UserError(
            f"--mirrored {foreign[0]} is none of --seeds"
            f" {','.join(map(str, settings.seeds))}: name columns that are drawn"
        )
    size = painter.network.resolution
    ranges = [noise_layers(layers, painter.num_layers) for layers in settings.layers]
    ws = official_ws(painter, settings.seeds, settings.psi)
    cells: list[list[Pixels | None]] = [[None] * (2 * len(settings.seeds)) for _ in range(2)]
    half = size // 2
    for panel, layers in enumerate(ranges):
        down, right = divmod(panel, 2)
        images = painter.images(ws, painter.stored_noise(layers))
        for column, (seed, image) in enumerate(zip(settings.seeds, images, strict=True)):
            seen = image[:, ::-1] if seed in settings.mirrored else image
            cells[down][2 * column + right] = seen[:, right * half : (right + 1) * half]
    return table(cells)


def draw_truncation(painter: Painter, settings: Truncation) -> Pixels:
    """Draw Figure 8 with the stored noise, uint8 [seeds R, psis R, C]."""
    if not painter.maps:
        raise UserError(
            "this figure moves w towards its average, which needs a mapping network: this network"
            " has none"
        )
    ws = official_ws(painter, settings.seeds)
    columns = [painter.truncated(ws, psi) for psi in settings.psis]  # [seeds, L, w_dim] each
    moved = torch.stack(columns, dim=1).flatten(0, 1)  # row by row
    images = list(painter.images(moved, painter.stored_noise()))
    across = len(columns)
    return table([images[at : at + across] for at in range(0, len(images), across)])


def places(settings: Uncurated, width: int, height: int) -> list[tuple[int, int, int]]:
    """Left, top and lod of each image, column by column; images at lod 0 are `width` x `height`."""
    targets: list[tuple[int, int, int]] = []
    left = 0
    for lod in settings.lods:
        if min(width, height) >> lod == 0:
            raise UserError(f"lod {lod} leaves nothing of images of {width}x{height}: lower --lods")
        rows = range(settings.rows << lod)
        targets += [(left, row * height >> lod, lod) for row in rows]
        left += width >> lod
    return targets


def draw_uncurated(painter: Painter, settings: Uncurated) -> Pixels:
    """Draw Figure 2, uint8 [rows H, sum of the columns' widths, C]."""
    size = painter.network.resolution
    box: Box = settings.crop or (0, 0, size, size)
    check_box(box, size)
    width, height = box[2:]
    targets = places(settings, width, height)
    z = official_batch(settings.seed, len(targets), painter.network.z_dim)
    ws = painter.truncated(painter.ws(z), settings.psi, settings.cutoff)
    across = sum(width >> lod for lod in settings.lods)
    canvas = empty(settings.rows * height, across, painter.network.config.num_channels)
    images = painter.images(ws, painter.fresh_noise(settings.noise_seed))
    for image, (left, top, lod) in zip(images, targets, strict=True):
        part = crop(image, box)
        small = resize(part, width >> lod, height >> lod, Image.Resampling.LANCZOS)
        paste(canvas, small, top, left)
    return canvas


# How to draw what each class of settings is of.
DRAW: dict[type[Any], Callable[[Painter, Any], Pixels]] = {
    Uncurated: draw_uncurated,
    Mixing: draw_table,
    NoiseDetail: draw_noise_detail,
    NoiseComponents: draw_noise_components,
    Truncation: draw_truncation,
}
