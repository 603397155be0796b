"""Each figure against its formula written out, on the official network and in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylegan.networks.generator import build_generator
from stylegan.sample.canvas import scaled_box, table
from stylegan.sample.drawing import mix_layers
from stylegan.sample.figures import (
    Deviation,
    draw_noise_components,
    draw_noise_detail,
    draw_truncation,
    draw_uncurated,
    latents_of,
    official_batch,
    official_latents,
    places,
)
from stylegan.sample.painter import Painter
from stylegan.sample.settings import (
    LAYOUTS,
    OFFICIAL_DETAIL,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from stylegan_eval.engine.sampling import latents, noise_maps
from stylegan_eval.errors import UserError
from tests.figures.networks import (
    Colours,
    bytes_of,
    cell,
    colour,
    draw_mixing,
    nearly_equal,
    official,
    pillow,
    ws_of,
)
from tests.formats import peers_rosinality as peer
from tests.formats.imported import generator_of
from tests.train import golden

CPU = torch.device("cpu")


def test_latents_are_those_of_the_official_scripts():
    expected = np.random.RandomState(5).randn(7, 16)
    np.testing.assert_array_equal(official_batch(5, 7, 16), expected.astype(np.float32))
    each = [np.random.RandomState(seed).randn(16) for seed in (639, 701)]
    np.testing.assert_array_equal(official_latents([639, 701], 16), np.float32(each))
    np.testing.assert_array_equal(latents_of([3], 16, "official"), official_latents([3], 16))
    np.testing.assert_array_equal(latents_of([3], 16, "grid"), latents(0, [3], 16))
    with pytest.raises(UserError, match="4294967295"):
        official_latents([2**32], 16)


# Figure 2


def test_figure_2_is_the_official_formula():
    painter = official()
    network = painter.network
    settings = Uncurated(rows=2, lods=(0, 1, 3))
    z = torch.from_numpy(np.random.RandomState(5).randn(2 + 4 + 16, network.z_dim)).float()
    with torch.no_grad():
        ws = network.mapping(z)
        ws = network.w_avg + 0.7 * (ws - network.w_avg)  # 8 layers, all below the cutoff
    noise = noise_maps(0, range(22), network.noise_shapes, CPU)
    images = iter(bytes_of(network, ws, noise))
    expected = np.zeros((64, 32 + 16 + 4, 3), np.uint8)
    for left, size in ((0, 32), (32, 16), (48, 4)):
        for top in range(0, 64, size):
            small = pillow(next(images), size, Image.Resampling.LANCZOS)
            expected[top : top + size, left : left + size] = small
    assert nearly_equal(draw_uncurated(painter, settings), expected)


def test_figure_2_as_published_has_81_images_on_a_canvas_of_2304_by_3072():
    settings = Uncurated()
    found = places(settings, 1024, 1024)
    assert len(found) == settings.images == 81
    ends = [(left + (1024 >> lod), top + (1024 >> lod)) for left, top, lod in found]
    assert max(right for right, _ in ends) == 2304
    assert max(bottom for _, bottom in ends) == 3072


@given(st.integers(1, 4), st.lists(st.integers(0, 4), min_size=1, max_size=5))
def test_columns_of_figure_2_tile_the_canvas(rows, lods):
    settings = Uncurated(rows=rows, lods=tuple(lods))
    covered = np.zeros((rows * 48, sum(64 >> lod for lod in lods)), int)
    for left, top, lod in places(settings, 64, 48):
        covered[top : top + (48 >> lod), left : left + (64 >> lod)] += 1
    assert (covered == 1).all()


def test_figure_2_shows_a_part_of_each_image():
    painter = official()
    whole = draw_uncurated(painter, Uncurated(rows=1, lods=(0,)))
    part = draw_uncurated(painter, Uncurated(rows=1, lods=(0,), crop=(3, 5, 20, 10)))
    np.testing.assert_array_equal(part, whole[5:15, 3:23])


# Figure 3


def test_figure_3_is_the_official_formula():
    painter = official()
    network = painter.network
    src, dst = (ws_of(network, *seeds) for seeds in (Mixing.sources, Mixing.destinations))
    noise = network.g.fixed_noise()
    expected = np.full((7 * 32, 6 * 32, 3), 255, np.uint8)
    expected[:32, 32:] = np.concatenate(bytes_of(network, src, noise), axis=1)
    layers = [slice(0, 2)] * 3 + [slice(2, 4)] * 2 + [slice(4, 8)]  # at 32x32
    for row in range(6):
        mixed = dst[row : row + 1].repeat(5, 1, 1)
        mixed[:, layers[row]] = src[:, layers[row]]
        images = [*bytes_of(network, dst[row : row + 1], noise), *bytes_of(network, mixed, noise)]
        expected[32 * (row + 1) :][:32] = np.concatenate(images, axis=1)
    z = (official_latents(seeds, network.z_dim) for seeds in (Mixing.sources, Mixing.destinations))
    assert nearly_equal(draw_mixing(painter, *z, Mixing()), expected)


def test_cells_of_figure_3_have_their_parts_from_both():
    painter = Painter(Colours(), batch=7)
    sources, destinations = np.float32([[0.5], [0.75]]), np.float32([[-0.5], [-0.25], [0]])
    z = (np.pad(values, ((0, 0), (0, 3))) for values in (sources, destinations))
    picture = draw_mixing(painter, *z, Mixing(layers=("coarse", "middle", "fine")))
    assert picture.shape == (4 * 8, 3 * 8, 3)
    assert (cell(picture, 0, 0, 8) == 255).all()
    for s, source in enumerate(sources[:, 0]):
        assert (cell(picture, 0, s + 1, 8) == colour(source, source, source)).all()
    for d, destination in enumerate(destinations[:, 0]):
        assert (cell(picture, d + 1, 0, 8) == colour(*[destination] * 3)).all()
        for s, source in enumerate(sources[:, 0]):
            mixed = [source if part == d else destination for part in range(3)]
            assert (cell(picture, d + 1, s + 1, 8) == colour(*mixed)).all()


@pytest.mark.parametrize(("layers", "same"), [("all", (0, 1)), ("none", (1, 0))])
def test_mixing_everything_or_nothing_gives_the_source_or_the_destination(layers, same):
    painter = official()
    z = (official_latents([seed], painter.network.z_dim) for seed in (1, 2))
    picture = draw_mixing(painter, *z, Mixing(layers=(layers,)))
    np.testing.assert_array_equal(cell(picture, 1, 1), cell(picture, *same))


@given(st.integers(0, 6), st.integers(0, 6))
def test_mixing_takes_those_layers_and_no_others(first, length):
    layers = range(first, min(first + length, 6))
    mixed = mix_layers(torch.ones(2, 6, 3), torch.zeros(6, 3), layers)
    assert mixed.shape == (2, 6, 3)
    assert (mixed == torch.tensor([float(k in layers) for k in range(6)])[:, None]).all()


@torch.no_grad()
def test_rosinalitys_layout_is_its_sample_mixing():
    from torchvision.utils import make_grid

    state = peer.generator(dtype=torch.float64)
    network = generator_of(state).float()
    painter = Painter(network)
    settings = LAYOUTS["rosinality"]
    z = [official_latents(seeds, network.z_dim) for seeds in ((1, 2, 3), (4, 5))]
    mean = network.w_avg.double()
    src, dst = (
        mean + 0.7 * (peer.mapping(state, torch.from_numpy(part).double()) - mean) for part in z
    )
    # As there: blocks 0 and 1 (4x4 and 8x8) of the others are the source's.
    ws = [w[:, None].repeat(1, 6, 1) for w in (src, dst)]
    for w in dst:
        ws.append(w.repeat(3, 6, 1))
        ws[-1][:, :2] = src[:, None]
    noise = [map_.double() for map_ in painter.fresh_noise(0)(range(11))]
    images = peer.synthesis(state, torch.cat(ws), noise, step=5)
    sources, first, second = images[:3], images[[3, 5, 6, 7]], images[[4, 8, 9, 10]]
    rows = [torch.full((1, 3, 128, 128), -1.0), sources, first, second]
    cells = torch.cat(rows).clamp(-1, 1) / 2 + 0.5  # as save_image has them
    grid = make_grid(cells, nrow=4).mul(255).add(0.5).clamp(0, 255).to(torch.uint8)
    found = draw_mixing(painter, *z, settings)
    assert nearly_equal(found, grid.permute(1, 2, 0).numpy())


# Figure 4


@given(st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 1000))
def test_deviation_is_that_of_the_mean_of_the_channels(count, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 4, 5, channels), np.uint8)
    deviation = Deviation(4, 5, channels)
    for image in images:
        deviation.add(image)
    expected = np.std(np.mean(images, axis=3), axis=0)
    np.testing.assert_allclose(deviation.value(), expected, atol=1e-12)


@pytest.mark.parametrize(("apart", "grey"), [(0, 0), (2, 4), (3, 6), (120, 240), (200, 255)])
def test_deviation_picture_is_four_times_the_deviation(apart, grey):
    deviation = Deviation(2, 2, 3)
    for value in (7, 7 + apart):  # deviation apart / 2
        deviation.add(np.full((2, 2, 3), value, np.uint8))
    assert (deviation.picture() == grey).all()
    assert deviation.picture().shape == (2, 2, 3)


def test_figure_4_is_the_official_formula():
    painter = official()
    network = painter.network
    picture = draw_noise_detail(painter, NoiseDetail(count=9, noise_seed=3))
    assert picture.shape == (64, 96, 3)
    left, top, width, height = 20, 6, 8, 8  # 650, 180, 256, 256 of 1024, at 32
    ws = ws_of(network, 1157, 1012)
    for row in range(2):
        noise = noise_maps(3, range(9 * row, 9 * row + 9), network.noise_shapes, CPU)
        images = bytes_of(network, ws[row : row + 1].repeat(9, 1, 1), noise)
        np.testing.assert_array_equal(cell(picture, row, 0), images[0])
        details = [
            pillow(each[top : top + height, left : left + width], 16, Image.Resampling.NEAREST)
            for each in images[1:5]
        ]
        np.testing.assert_array_equal(cell(picture, row, 1), table([details[:2], details[2:]]))
        grey = np.clip(np.std(images.mean(3), axis=0) * 4 + 0.5, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(cell(picture, row, 2), grey[:, :, None].repeat(3, axis=2))
        assert grey.max() > 0


def test_the_detail_is_the_official_one_at_1024_and_inside_at_every_size():
    assert scaled_box(OFFICIAL_DETAIL, 1024, 1024) == (650, 180, 256, 256)
    for size in (4, 8, 16, 32, 64, 128, 256, 512, 2048):
        left, top, width, height = scaled_box(OFFICIAL_DETAIL, 1024, size)
        assert left + width <= size
        assert top + height <= size
        assert width == height == size // 4


# Figure 5


def test_figure_5_is_the_official_formula():
    painter = official()
    network = painter.network
    ws = ws_of(network, 1967, 1555)
    stored = network.g.fixed_noise()
    halves = []
    for kept in (range(8), range(0), range(4, 8), range(4)):  # at 32x32
        noise = [map_ * (k in kept) for k, map_ in enumerate(stored)]
        images = bytes_of(network, ws, noise)
        halves.append([images[0], images[1][:, ::-1]])
    expected = np.zeros((64, 64, 3), np.uint8)
    for column in range(2):
        left = 32 * column
        expected[:32, left : left + 16] = halves[0][column][:, :16]
        expected[:32, left + 16 : left + 32] = halves[1][column][:, 16:]
        expected[32:, left : left + 16] = halves[2][column][:, :16]
        expected[32:, left + 16 : left + 32] = halves[3][column][:, 16:]
    np.testing.assert_array_equal(draw_noise_components(painter, NoiseComponents()), expected)


def test_noise_of_the_left_out_layers_is_not_there():
    painter = Painter(Colours(grey=0.5))
    picture = draw_noise_components(painter, NoiseComponents(seeds=(2,), mirrored=()))
    w = float(official_latents([2], 4)[0, 0])
    full, none, fine, coarse = (colour(*[w + 0.5 * n / 18] * 3) for n in (18, 0, 10, 8))
    halves = [[full, none], [fine, coarse]]
    assert len({tuple(half) for pair in halves for half in pair}) == 4
    for row, pair in enumerate(halves):
        for column, half in enumerate(pair):
            part = picture[8 * row : 8 * row + 8, 4 * column : 4 * column + 4]
            assert (part == half).all()


# Figure 8


def test_figure_8_is_the_official_formula():
    painter = official()
    network = painter.network
    ws = ws_of(network, 91, 388)
    moved = [
        network.w_avg + psi * (w - network.w_avg) for w in ws for psi in (1, 0.7, 0.5, 0, -0.5, -1)
    ]
    images = list(bytes_of(network, torch.stack(moved), network.g.fixed_noise()))
    found = draw_truncation(painter, Truncation())
    assert nearly_equal(found, table([images[:6], images[6:]]))
    np.testing.assert_array_equal(cell(found, 0, 3), cell(found, 1, 3))  # psi 0
    assert (cell(found, 0, 0) != cell(found, 1, 0)).any()


@pytest.mark.parametrize("psi", [-1.0, 0.0, 0.5, 2.0])
def test_truncation_moves_evenly_through_the_average(psi):
    painter = Painter(Colours())
    picture = draw_truncation(painter, Truncation(seeds=(0,), psis=(psi,)))
    w = float(official_latents([0], 4)[0, 0])
    expected = colour(*[0.25 + psi * (w - 0.25)] * 3)
    assert np.abs(picture.astype(int) - expected).max() <= 1


# All


def test_a_growing_network_is_drawn_at_its_level_and_repeated():
    painter = official(lod=1.0)
    assert painter.num_layers == 6
    for picture in (
        draw_truncation(painter, Truncation(psis=(1.0, 0.5))),
        draw_noise_components(painter, NoiseComponents()),
        draw_uncurated(painter, Uncurated(rows=1, lods=(0,))),
    ):
        assert picture.shape[0] in (32, 64)
        np.testing.assert_array_equal(picture, picture[::2, ::2].repeat(2, 0).repeat(2, 1))


def test_grey_networks_have_grey_figures():
    config = golden.small_config("F")
    config = replace(config, network=replace(config.network, num_channels=1))
    painter = Painter(build_generator(config, seed=0))
    z = official_latents([1, 2], painter.network.z_dim)
    for picture in (
        draw_uncurated(painter, Uncurated(rows=1)),
        draw_mixing(painter, z, z, Mixing(layers=("fine",))),
        draw_noise_detail(painter, NoiseDetail(count=5)),
        draw_noise_components(painter, NoiseComponents()),
        draw_truncation(painter, Truncation()),
    ):
        assert picture.shape[2] == 1
        assert len(np.unique(picture)) > 10


def test_pictures_do_not_depend_on_the_batch():
    few, many = (official() for _ in range(2))
    few.batch = 3
    for draw, settings in (
        (draw_uncurated, Uncurated(rows=1, lods=(0, 1))),
        (draw_noise_detail, NoiseDetail(count=5)),
    ):
        difference = draw(few, settings).astype(int) - draw(many, settings)
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("row", ["A", "B"])
def test_networks_without_styles_are_refused_where_w_is_shown(row):
    painter = official(row)
    z = official_latents([1], painter.network.z_dim)
    with pytest.raises(UserError, match="no styles"):
        draw_mixing(painter, z, z, Mixing(layers=("coarse",)))
    with pytest.raises(UserError, match="mapping network"):
        draw_truncation(painter, Truncation())
    with pytest.raises(UserError, match="psi 1"):
        draw_uncurated(painter, Uncurated())
    assert draw_uncurated(painter, Uncurated(rows=1, lods=(1,), psi=1)).shape == (32, 16, 3)


@pytest.mark.parametrize("row", ["A", "B", "C", "D"])
def test_networks_without_noise_are_refused_where_noise_is_shown(row):
    for draw, settings in (
        (draw_noise_detail, NoiseDetail()),
        (draw_noise_components, NoiseComponents()),
    ):
        with pytest.raises(UserError, match="noise inputs"):
            draw(official(row), settings)
