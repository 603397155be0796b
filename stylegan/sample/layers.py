"""Coarse, middle and fine layers at any resolution.

At 1024x1024 the paper calls styles coarse at 4 to 8 px (layers 0 to 3), middle at 16 to 32 px (4 to
7) and fine above (8 to 17), two layers per resolution. By pixels that holds from 64x64 up, where
something is left for the fine part. Smaller networks have as many parts, of one resolution each and
the rest, so that the parts keep their meaning relative to the image; below 16x16 of one layer each.
"""

import re

from stylegan_eval.errors import UserError

# A name, or the layers themselves.
Layers = str | range
NAMES = ("coarse", "middle", "fine", "all", "none")


def part_size(num_layers: int) -> int:
    """Layers of the coarse part, and of the middle part, of a network with so many layers."""
    if num_layers >= 10:  # 64x64
        return 4
    return 2 if num_layers >= 6 else 1


def style_layers(layers: Layers, num_layers: int) -> range:
    """Layers whose style is meant: by a name as in Figure 3, or by numbers.

    >>> [style_layers(part, 18) for part in ("coarse", "middle", "fine")]
    [range(0, 4), range(4, 8), range(8, 18)]
    >>> [style_layers(part, 8) for part in ("coarse", "middle", "fine")]
    [range(0, 2), range(2, 4), range(4, 8)]
    """
    size = part_size(num_layers)
    parts = {"coarse": range(size), "middle": range(size, 2 * size)}
    return _resolved(layers, num_layers, parts | {"fine": range(2 * size, num_layers)})


def noise_layers(layers: Layers, num_layers: int) -> range:
    """Layers whose noise is meant, as in Figure 5, where coarse ends where fine begins.

    >>> [noise_layers(part, 18) for part in ("all", "none", "fine", "coarse")]
    [range(0, 18), range(0, 0), range(8, 18), range(0, 8)]
    """
    if layers == "middle":
        raise UserError("noise has no middle layers: expected all, none, fine, coarse or 4-7")
    fine = 2 * part_size(num_layers)
    return _resolved(layers, num_layers, {"coarse": range(fine), "fine": range(fine, num_layers)})


def _resolved(layers: Layers, num_layers: int, parts: dict[str, range]) -> range:
    if isinstance(layers, str):
        return (parts | {"all": range(num_layers), "none": range(0)})[layers]
    if layers.stop > num_layers:
        raise UserError(
            f"layers {layers.start}-{layers.stop - 1} are asked for, and this network draws with"
            f" layers 0-{num_layers - 1}: name others, or coarse, middle, fine"
        )
    return layers


def parse_layers(text: str) -> Layers:
    """Read 'coarse', '4-7' (both ends included) or '5'; ValueError where it is none of these.

    >>> parse_layers("4-7"), parse_layers("5"), parse_layers("fine")
    (range(4, 8), range(5, 6), 'fine')
    """
    return text if text in NAMES else parse_range(text, f"{', '.join(NAMES)} or 4-7")


def parse_range(text: str, expected: str = "4-7, or 5") -> range:
    """Read '4-7' (both ends included) or '5'; ValueError, which says what was expected.

    >>> parse_range("4-7"), parse_range("5")
    (range(4, 8), range(5, 6))
    """
    match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", text)
    if match is None:
        raise ValueError(f"{text!r:.60} is no range of layers: expected {expected}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ValueError(f"{text!r:.60} is no range of layers: the last comes before the first")
    return range(first, last + 1)


def range_word(layers: range) -> str:
    """Layers as options take them.

    >>> range_word(range(4, 8)), range_word(range(5, 6))
    ('4-7', '5')
    """
    first, last = layers[0], layers[-1]
    return f"{first}-{last}" if first < last else str(first)
