"""Layer ranges: the paper's at 1024x1024, and sensible ones at every other size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan.sample.layers import NAMES, noise_layers, parse_layers, style_layers
from stylegan.sample.settings import LAYOUTS, Mixing, NoiseComponents
from stylegan_eval.errors import UserError

SIZES = st.integers(2, 12).map(lambda b: 1 << b)  # 4 to 4096


def layers_at(resolution):
    return 2 * (resolution.bit_length() - 2)


def pixels(layers):
    """Resolutions that layers work at."""
    return sorted({4 << (layer // 2) for layer in layers})


def test_the_papers_ranges_at_1024():
    assert [style_layers(part, 18) for part in Mixing.layers] == [
        *[range(4)] * 3,
        *[range(4, 8)] * 2,
        range(8, 18),
    ]
    assert [noise_layers(part, 18) for part in NoiseComponents.layers] == [
        range(18),
        range(0),
        range(8, 18),
        range(8),
    ]


@pytest.mark.parametrize("resolution", [64, 128, 256, 512, 1024, 2048])
def test_parts_go_by_pixels_from_64_up(resolution):
    layers = layers_at(resolution)
    assert pixels(style_layers("coarse", layers)) == [4, 8]
    assert pixels(style_layers("middle", layers)) == [16, 32]
    assert min(pixels(style_layers("fine", layers))) == 64
    assert max(pixels(noise_layers("coarse", layers))) == 32


@pytest.mark.parametrize(
    ("resolution", "coarse", "middle", "fine"),
    [(32, [4], [8], [16, 32]), (16, [4], [8], [16])],
)
def test_smaller_networks_have_the_same_parts_of_fewer_pixels(resolution, coarse, middle, fine):
    layers = layers_at(resolution)
    found = [pixels(style_layers(part, layers)) for part in ("coarse", "middle", "fine")]
    assert found == [coarse, middle, fine]


@given(SIZES)
def test_parts_cover_all_layers_once_and_in_order(resolution):
    layers = layers_at(resolution)
    parts = [style_layers(part, layers) for part in ("coarse", "middle", "fine")]
    assert [layer for part in parts for layer in part] == list(range(layers))
    parts = [noise_layers(part, layers) for part in ("coarse", "fine")]
    assert [layer for part in parts for layer in part] == list(range(layers))
    assert style_layers("all", layers) == noise_layers("all", layers) == range(layers)
    assert len(style_layers("none", layers)) == 0


@given(SIZES.filter(lambda size: size >= 16))
def test_no_part_is_empty_and_none_cuts_a_resolution_in_two(resolution):
    layers = layers_at(resolution)
    for part in ("coarse", "middle", "fine"):
        found = style_layers(part, layers)
        assert found
        assert found.start % 2 == found.stop % 2 == 0


@given(st.integers(0, 30), st.integers(0, 30))
def test_numbers_are_taken_as_they_are(first, length):
    wanted = range(first, first + length + 1)
    assert parse_layers(f"{first}-{first + length}") == wanted
    assert parse_layers(str(first)) == range(first, first + 1)
    for resolve in (style_layers, noise_layers):
        if wanted.stop <= 18:
            assert resolve(wanted, 18) == wanted
        else:
            with pytest.raises(UserError, match="layers 0-17"):
                resolve(wanted, 18)


def test_names_are_taken_and_nothing_else():
    assert [parse_layers(name) for name in NAMES] == list(NAMES)
    for text in ("", "-", "4-", "-4", "7-4", "coarsest", "4:7", "1.5", "²"):
        with pytest.raises(ValueError, match="range of layers"):
            parse_layers(text)


def test_noise_has_no_middle():
    with pytest.raises(UserError, match="no middle"):
        noise_layers("middle", 18)


def test_rosinality_mixes_the_blocks_of_4_and_8_pixels():
    (layers,) = LAYOUTS["rosinality"].layers
    assert pixels(style_layers(layers, 18)) == [4, 8]
