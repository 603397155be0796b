"""Look of the avatars: shares, palettes, poses, and random drawing of one face.

Style ``avataaars`` by Pablo Stanley, as defined by the package ``dicebear-styles``. Every number
below is part of the data set: change one and raise `RECIPE_VERSION`.
"""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

RECIPE_VERSION = 1

ATTRIBUTES = (
    "eyeglasses", "sunglasses", "hat", "bald", "long_hair", "curly_hair", "bangs",
    "hair_black", "hair_brown", "hair_blond", "hair_red", "hair_gray",
    "beard", "moustache", "no_beard", "smiling", "mouth_open",
    "eyes_closed", "brows_raised", "brows_lowered",
    "skin_light", "skin_medium", "skin_dark", "suit", "bg_dark", "bg_warm", "clothes_dark",
)  # fmt: skip
"""The 27 binary labels of an avatar, in the order of the archive."""

# Probabilities; each group is drawn independently of the others.
P_EYEGLASSES = 0.40
P_SUNGLASSES = 0.40  # of those with glasses
P_SMILING = 0.50
P_EYES_CLOSED = 0.20
P_SUIT = 0.30
P_BACKGROUND_DARK = 0.35
P_BACKGROUND_WARM = 0.50
P_CLOTHES_DARK = 0.40
HEADS = {"hat": 0.20, "bald": 0.12, "long": 0.36, "short": 0.32}
FACIAL_HAIR = {"none": 0.60, "beard": 0.25, "moustache": 0.15}
BROWS = {"raised": 0.30, "lowered": 0.25, "flat": 0.45}
HAIR_COLOURS = {"black": 0.28, "brown": 0.24, "blond": 0.18, "red": 0.15, "gray": 0.15}
SKIN_COLOURS = {"light": 0.45, "medium": 0.30, "dark": 0.25}
MOUTHS_SMILING = {"smile": 0.35, "default": 0.30, "twinkle": 0.20, "tongue": 0.15}
MOUTHS_OTHER = {
    "serious": 0.30, "sad": 0.15, "concerned": 0.15, "disbelief": 0.15, "grimace": 0.15,
    "screamOpen": 0.10,
}  # fmt: skip
EYES_OPEN = {"default": 0.45, "side": 0.20, "squint": 0.15, "surprised": 0.15, "eyeRoll": 0.05}
EYES_CLOSED = {"closed": 0.50, "happy": 0.50}

# Variants of each part, equally likely; an empty top is a shaved head.
SHAVED = ""
TOPS = {
    "hat": ("hat", "winterHat1", "winterHat02", "winterHat03", "winterHat04", "turban", "hijab"),
    "bald": ("sides", SHAVED),
    "long": (
        "bigHair", "bob", "curly", "curvy", "dreads", "fro", "froBand", "longButNotTooLong",
        "miaWallace", "shavedSides", "straight01", "straight02", "straightAndStrand",
    ),
    "short": (
        "bun", "dreads01", "dreads02", "frida", "frizzle", "shaggy", "shaggyMullet",
        "shortCurly", "shortFlat", "shortRound", "shortWaved", "theCaesar",
        "theCaesarAndSidePart",
    ),
}  # fmt: skip
CURLY_TOPS = {
    "bigHair", "curly", "curvy", "dreads", "fro", "froBand", "frida", "dreads01", "dreads02",
    "shortCurly",
}  # fmt: skip
BANGS_TOPS = {
    "bigHair", "bob", "curvy", "longButNotTooLong", "miaWallace", "straightAndStrand", "shaggy",
    "shaggyMullet", "straight01",
}  # fmt: skip
OPEN_MOUTHS = {"smile", "tongue", "default", "screamOpen", "disbelief", "concerned", "grimace"}
CLEAR_GLASSES = ("prescription01", "prescription02", "round")
DARK_GLASSES = ("kurt", "sunglasses", "wayfarers")
FACIAL_HAIR_VARIANTS = {
    "beard": ("beardLight", "beardMajestic", "beardMedium"),
    "moustache": ("moustacheFancy", "moustacheMagnum"),
}
BROW_VARIANTS = {
    "raised": ("raisedExcited", "raisedExcitedNatural", "upDown", "upDownNatural"),
    "lowered": ("angry", "angryNatural", "frownNatural"),
    "flat": ("default", "defaultNatural", "flatNatural", "sadConcerned", "sadConcernedNatural"),
}
SUITS = ("blazerAndShirt", "blazerAndSweater")
CASUAL_CLOTHES = (
    "collarAndSweater", "hoodie", "overall", "shirtCrewNeck", "shirtScoopNeck", "shirtVNeck",
)  # fmt: skip

HAIR_PALETTE = {
    "black": ("#2c1b18", "#1e1a1d"),
    "brown": ("#724133", "#4a312c", "#5c3a26"),
    "blond": ("#d6b370", "#b58143", "#e3c98a"),
    "red": ("#c93305", "#a55728"),
    "gray": ("#e8e1e1", "#b8b4b8"),
}
SKIN_PALETTE = {
    "light": ("#ffdbb4", "#edb98a", "#f6c9a3"),
    "medium": ("#d08b5b", "#c68642", "#e0a070"),
    "dark": ("#ae5d29", "#614335", "#8d5524"),
}
FRAME_PALETTE = ("#262e33", "#3c4f5c", "#7a4b2a", "#1b1b1b", "#b03a2e")


class Spread(NamedTuple):
    """Largest change of a colour: hue in turns, saturation and value relative."""

    hue: float
    saturation: float
    value: float


HAIR_SPREAD = Spread(0.02, 0.16, 0.12)
BEARD_SPREAD = Spread(0.01, 0.05, 0.10)  # around the colour of the hair
SKIN_SPREAD = Spread(0.01, 0.12, 0.07)

# Ranges [low, high] of hue (turns), saturation and value.
WARM_HUES, COOL_HUES, ALL_HUES = (-0.06, 0.17), (0.42, 0.72), (0.0, 1.0)
BACKGROUND_SATURATION = (0.15, 0.60)
BACKGROUND_DARK_VALUE, BACKGROUND_LIGHT_VALUE = (0.25, 0.50), (0.75, 1.0)
# The gradient's second end, relative to the first: hue added, the others multiplied.
SECOND_HUE, SECOND_SATURATION, SECOND_VALUE = (-0.04, 0.04), (0.5, 1.3), (0.75, 1.05)
CLOTHES_SATURATION = (0.10, 0.80)
CLOTHES_DARK_VALUE, CLOTHES_LIGHT_VALUE = (0.15, 0.45), (0.65, 1.0)
HAT_SATURATION, HAT_VALUE = (0.20, 0.90), (0.30, 1.0)

# Pose of the whole drawing. Enlarged and moved down, so that the cut edge of the body stays out.
SCALE = (1.12, 1.30)
ROTATION_DEGREES = (-7.0, 7.0)
SHIFT_X_PERCENT = (-3.0, 3.0)
SHIFT_Y_PERCENT = (3.0, 7.0)


class Jitter(NamedTuple):
    """Largest change of a part: shifts in percent of its own box, degrees, and relative size."""

    x: float = 0
    y: float = 0
    rotation: float = 0
    scale: float = 0


PART_JITTER = {
    "eyes": Jitter(x=1.5, y=6, scale=0.12),
    "mouth": Jitter(x=2, y=8, rotation=4, scale=0.12),
    "nose": Jitter(x=6, y=20, scale=0.25),
    "eyebrows": Jitter(y=10, rotation=3, scale=0.08),
    "accessories": Jitter(y=2, scale=0.03),
}

Choice = TypeVar("Choice")


def draw_face(seed: int, index: int) -> tuple[dict[str, Any], set[str]]:
    """Face number `index` of the data set `seed`, both in [0, 2^64); depends on nothing else.

    Returns options of DiceBear's ``Avatar``, and those of `ATTRIBUTES` that hold.
    """
    key = np.array([seed, index], dtype=np.uint64)
    draw = _Draw(np.random.Generator(np.random.Philox(key=key)))
    head, has_hair_on_head, head_present = _draw_head(draw)
    features, has_beard, feature_present = _draw_features(draw)
    colours, colour_present = _draw_colours(draw, hair_shows=has_hair_on_head or has_beard)
    # DiceBear draws the jitter of the parts from its own seed.
    options = {"seed": f"{seed}-{index}"} | head | features | colours | _draw_pose(draw)
    return options, head_present | feature_present | colour_present


class _Draw:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def between(self, bounds: tuple[float, float]) -> float:
        return float(self._rng.uniform(*bounds))

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._rng.integers(len(choices)))]

    def weighted(self, shares: Mapping[str, float]) -> str:
        names, weights = list(shares), np.array(list(shares.values()))
        return names[int(self._rng.choice(len(names), p=weights / weights.sum()))]

    def near(self, colour: str, spread: Spread) -> str:
        """A colour near `colour`."""
        rgb = (byte / 255 for byte in bytes.fromhex(colour.removeprefix("#")))
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
        return _colour(
            hue + self.between((-spread.hue, spread.hue)),
            saturation * (1 + self.between((-spread.saturation, spread.saturation))),
            value * (1 + self.between((-spread.value, spread.value))),
        )


def _draw_head(draw: _Draw) -> tuple[dict[str, Any], bool, set[str]]:
    """Hat, hair or neither: options, whether hair shows, attributes."""
    kind = draw.weighted(HEADS)
    top = draw.one_of(TOPS[kind])
    present = {"hat": {"hat"}, "bald": {"bald"}, "long": {"long_hair"}, "short": set()}[kind]
    if top in CURLY_TOPS:
        present = present | {"curly_hair"}
    if top in BANGS_TOPS:
        present = present | {"bangs"}
    options = {"topProbability": 0} if top == SHAVED else {"topProbability": 100, "topVariant": top}
    return options, kind != "hat" and top != SHAVED, present


def _draw_features(draw: _Draw) -> tuple[dict[str, Any], bool, set[str]]:
    """Glasses, facial hair, mouth, eyes, brows, clothes: options, whether bearded, attributes."""
    glasses = draw.chance(P_EYEGLASSES)
    dark = glasses and draw.chance(P_SUNGLASSES)
    smiling = draw.chance(P_SMILING)
    mouth = draw.weighted(MOUTHS_SMILING if smiling else MOUTHS_OTHER)
    closed = draw.chance(P_EYES_CLOSED)
    brows = draw.weighted(BROWS)
    suit = draw.chance(P_SUIT)
    facial_hair = draw.weighted(FACIAL_HAIR)
    bearded = facial_hair != "none"
    options = {
        "mouthVariant": mouth,
        "eyesVariant": draw.weighted(EYES_CLOSED if closed else EYES_OPEN),
        "eyebrowsVariant": draw.one_of(BROW_VARIANTS[brows]),
        "clothesVariant": draw.one_of(SUITS if suit else CASUAL_CLOTHES),
        "accessoriesProbability": 100 if glasses else 0,
        "facialHairProbability": 100 if bearded else 0,
    }
    if glasses:
        options["accessoriesVariant"] = draw.one_of(DARK_GLASSES if dark else CLEAR_GLASSES)
    if bearded:
        options["facialHairVariant"] = draw.one_of(FACIAL_HAIR_VARIANTS[facial_hair])
    holds = {
        "eyeglasses": glasses,
        "sunglasses": dark,
        "smiling": smiling,
        "mouth_open": mouth in OPEN_MOUTHS,
        "eyes_closed": closed,
        "brows_raised": brows == "raised",
        "brows_lowered": brows == "lowered",
        "suit": suit,
        "beard": facial_hair == "beard",
        "moustache": facial_hair == "moustache",
        "no_beard": not bearded,
    }
    return options, bearded, {name for name, value in holds.items() if value}


def _draw_colours(draw: _Draw, *, hair_shows: bool) -> tuple[dict[str, Any], set[str]]:
    """Hair, skin, clothes and background: options, attributes."""
    hair_name, skin_name = draw.weighted(HAIR_COLOURS), draw.weighted(SKIN_COLOURS)
    hair = draw.near(draw.one_of(HAIR_PALETTE[hair_name]), HAIR_SPREAD)
    clothes_dark = draw.chance(P_CLOTHES_DARK)
    dark, warm = draw.chance(P_BACKGROUND_DARK), draw.chance(P_BACKGROUND_WARM)
    hue = draw.between(WARM_HUES if warm else COOL_HUES)
    saturation = draw.between(BACKGROUND_SATURATION)
    value = draw.between(BACKGROUND_DARK_VALUE if dark else BACKGROUND_LIGHT_VALUE)
    second = _colour(
        hue + draw.between(SECOND_HUE),
        saturation * draw.between(SECOND_SATURATION),
        value * draw.between(SECOND_VALUE),
    )
    options = {
        "hairColor": hair,
        "facialHairColor": draw.near(hair, BEARD_SPREAD),
        "skinColor": draw.near(draw.one_of(SKIN_PALETTE[skin_name]), SKIN_SPREAD),
        "clothesColor": _colour(
            draw.between(ALL_HUES),
            draw.between(CLOTHES_SATURATION),
            draw.between(CLOTHES_DARK_VALUE if clothes_dark else CLOTHES_LIGHT_VALUE),
        ),
        "hatColor": _colour(
            draw.between(ALL_HUES), draw.between(HAT_SATURATION), draw.between(HAT_VALUE)
        ),
        "accessoriesColor": draw.one_of(FRAME_PALETTE),
        "backgroundColor": [_colour(hue, saturation, value), second],
        "backgroundColorFill": "linear",
        "backgroundColorOrder": "fixed",
        "backgroundColorAngle": draw.between((0.0, 360.0)),
    }
    present = {f"skin_{skin_name}"}
    present |= {f"hair_{hair_name}"} if hair_shows else set()
    present |= {"bg_dark"} if dark else set()
    present |= {"bg_warm"} if warm else set()
    present |= {"clothes_dark"} if clothes_dark else set()
    return options, present


def _draw_pose(draw: _Draw) -> dict[str, Any]:
    return {
        "scale": draw.between(SCALE),
        "rotate": draw.between(ROTATION_DEGREES),
        "translateX": draw.between(SHIFT_X_PERCENT),
        "translateY": draw.between(SHIFT_Y_PERCENT),
        "flip": draw.one_of(("none", "horizontal")),
    }


def _colour(hue: float, saturation: float, value: float) -> str:
    """HSV in [0, 1] (hue any number of turns, the others limited) as ``#rrggbb``."""
    rgb = colorsys.hsv_to_rgb(hue % 1, min(1, max(0, saturation)), min(1, max(0, value)))
    return "#" + bytes(round(255 * channel) for channel in rgb).hex()
