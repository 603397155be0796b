"""Image bytes to pixels: every mode becomes 8-bit RGB, grey or RGBA by one set of rules."""

import contextlib
import io
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.image_kinds import FORMATS, START_BYTES, plugin_of

MAX_PIXELS = 2**28
"""Larger images are refused before decoding. Pillow's own limit, 178,956,970, is the lower."""

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
"""Channels of the images that are read, by Pillow's name of such images."""

_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N")
# Modes whose transparency is stored apart.
_ALPHA = {"1": "LA", "L": "LA", "I;16": "IA", "P": "PA", "RGB": "RGBA"}
_CLEAR = 255  # colour of pixels that are wholly transparent, whose own is arbitrary
_PNG = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH = 24  # Offset of its bits per channel
_PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_METADATA_BYTES = 2**20  # of a text or profile that Pillow reads, unpacked
_TURNS = (b"Raw profile type exif", b"XML:com.adobe.xmp")  # texts that may hold an orientation
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class Header(NamedTuple):
    """Known before decoding; sizes in pixels as stored (EXIF orientation not applied)."""

    width: int
    height: int
    mode: str  # Pillow's; "LA", "IA", "PA" or "RGBA" of all that have transparency

    @property
    def channels(self) -> int:
        """1 of grey images, 4 of those with alpha, 3 of others."""
        return 1 if self.mode in _GREY else 4 if self.mode.upper().endswith("A") else 3


def read_header(stream: BinaryIO, where: str) -> Header:
    """Size and mode of the image in `stream`; reads its first bytes only."""
    try:
        image = _open(stream, where)
    except UserError:
        stream.seek(0)
        light = _without_metadata(stream.read())
        if light is None:
            raise
        image = _open(io.BytesIO(light), where)
    return Header(image.width, image.height, _mode(image))


def channels_of(image: Image.Image) -> int:
    """Channels of an opened image: 1 (grey), 3 or 4 (RGBA)."""
    return Header(image.width, image.height, _mode(image)).channels


def _mode(image: Image.Image) -> str:
    return _ALPHA.get(image.mode, image.mode) if image.has_transparency_data else image.mode


def decode(data: bytes, where: str, channels: int = 3) -> np.ndarray:
    """Pixels of an image file as 8-bit grey (1 channel), RGB (3) or RGBA (4).

    8-bit RGB comes out as stored. Greyscale becomes three equal channels, 16-bit grey is scaled
    by 255/65535 and rounded (16-bit colour keeps its high bytes), alpha is composited over white,
    palettes, CMYK and other colour spaces are converted, EXIF orientation is applied, and of
    several frames the first is taken. Colour profiles and texts are ignored, of any size; metadata
    that cannot be read turn nothing.

    Grey is the luma of that RGB (ITU-R 601). RGBA keeps alpha, 255 where there is none; what is
    wholly transparent becomes white, as its colour is arbitrary.

    Returns uint8 [channels, H, W], contiguous.
    """
    try:
        return _pixels(data, where, channels)
    except UserError:
        light = _without_metadata(data)
        if light is None:
            raise
        return _pixels(light, where, channels)


def is_channels_first(shape: Sequence[int]) -> bool:
    """Whether images of a shape are [N, C, H, W] rather than [N, H, W, C]."""
    return shape[1] in (1, 3) or (shape[1] == 4 and shape[3] not in (1, 3))


def pixels_of(image: Image.Image, where: str, channels: int = 3) -> np.ndarray:
    """Pixels of a decoded image, uint8 [channels, H, W], by the rules of `decode`."""
    if channels == 4:
        pixels = np.array(_to_rgba(image, where))  # [H, W, 4]
        pixels[pixels[:, :, 3] == 0, :3] = _CLEAR
    else:
        rgb = _to_rgb(image, where)
        pixels = np.asarray(rgb) if channels == 3 else np.array(rgb.convert("L"))  # to write to
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))  # [channels, H, W]


def held_pixels(image: Image.Image, where: str) -> np.ndarray:
    """RGB pixels of an image in memory, uint8 [3, H, W], as those of its file.

    Only one that is not loaded tells the bits of a transparent colour (tRNS); in doubt it is
    refused. EXIF orientation is not applied: it may be already.
    """
    bits = _bits_of(image)  # loading forgets them
    image.load()
    if "transparency" not in image.info:
        return pixels_of(image, where)
    own = image.copy()
    own.format = image.format
    if bits is not None:
        _scale_color_key(own, bits, where)
    elif _is_key_unclear(image):
        raise UserError(
            f"{where}: of its colours one is transparent (tRNS), in bits that a loaded image does"
            ' not tell: hand in the file, or .convert("RGBA") of what it shows'
        )
    return pixels_of(own, where)


def is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the pixels are to be turned."""
    return _orientation(image) is not None


def _bits_of(image: Image.Image) -> int | None:
    """Bits per channel of an opened PNG; None where they are not known."""
    tiles = getattr(image, "tile", None)
    if image.format != "PNG" or not tiles:
        return None
    _, _, bits = str(tiles[0][3]).partition(";")  # "L;4"
    return int(bits.rstrip("B") or 8)


def _is_key_unclear(image: Image.Image) -> bool:
    """Whether a transparent colour may be in the few bits of the file, or is in 16."""
    key = image.info.get("transparency")
    if isinstance(key, tuple):
        return max(key) > 255
    if image.mode != "L" or not isinstance(key, int) or not 0 < key < 16:
        return False
    return not (np.asarray(image) % 17).any()  # of 4 bits or 2


def in_channels(pixels: np.ndarray, channels: int, where: str = "image") -> np.ndarray:
    """Convert uint8 [C, H, W], C being 1, 3 or 4, to uint8 [channels, H, W] as `decode` does."""
    if len(pixels) == channels != 4:
        return pixels
    layers = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(layers))
    return pixels_of(image, where, channels)


def _pixels(data: bytes, where: str, channels: int) -> np.ndarray:
    image = _open(io.BytesIO(data), where)
    with parsing(where, "damaged or truncated image"), _bounded(where):
        image.load()
        if data.startswith(_PNG):
            _scale_color_key(image, data[PNG_DEPTH], where)
        if (method := _orientation(image)) is not None:
            image = image.transpose(method)
        return pixels_of(image, where, channels)


def _scale_color_key(image: Image.Image, bits: int, where: str) -> None:
    """Scale the transparent colour of a PNG (tRNS) to 8 bits, as Pillow does with the pixels."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and bits < 8:
        most = 2**bits - 1
        image.info["transparency"] = (key & most) * 255 // most
    elif isinstance(key, tuple) and bits == 16:
        raise UserError(
            f"{where}: of its 16-bit colours one is transparent (tRNS), which is not read: save it"
            " with an alpha channel"
        )


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How EXIF says that the pixels are to be turned."""
    with contextlib.suppress(UserError), parsing("EXIF"):
        return _TRANSPOSED.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _without_metadata(data: bytes) -> bytes | None:
    """A PNG without texts and profiles but small ones that may turn it; None if it has no others.

    Pillow refuses a file for a text that unpacks to more than a megabyte.
    """
    if not data.startswith(_PNG):
        return None
    parts, place, dropped = [_PNG], len(_PNG), False
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if kind in _PNG_METADATA and not _may_turn(kind, data[place + 8 : end - 4]):
            dropped = True
        else:
            parts.append(data[place:end])
        place = end
    return b"".join([*parts, data[place:]]) if dropped else None


def _may_turn(kind: bytes, text: bytes) -> bool:
    """Whether a chunk is a text of a size that Pillow reads and may hold an orientation."""
    keyword, _, rest = text.partition(b"\0")
    if keyword not in _TURNS or len(text) > _METADATA_BYTES:
        return False
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        return True
    try:
        unpacked = zlib.decompressobj().decompress(packed, _METADATA_BYTES + 1)
    except zlib.error:
        return False
    return len(unpacked) <= _METADATA_BYTES


def _open(stream: BinaryIO, where: str) -> Image.Image:
    with parsing(where, "not an image, or damaged from its first bytes on"), _bounded(where):
        image = _identified(stream, where)
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(where))
    return image


def _identified(stream: BinaryIO, where: str) -> Image.Image:
    start = stream.read(START_BYTES)
    if not start:
        raise ValueError("the file is empty")
    stream.seek(0)
    plugin = plugin_of(start)
    if plugin is None:
        return Image.open(stream, formats=FORMATS)
    if not plugin.installed:
        raise UserError(
            f"{where}: {plugin.format} image; to read it: pip install {plugin.package}, or the"
            ' extra photos: pip install ".[photos]" in the source folder'
        )
    plugin.register()
    return Image.open(stream, formats=[plugin.format])


@contextlib.contextmanager
def _bounded(where: str) -> Iterator[None]:
    """Tell what Pillow says of too many pixels as we do."""
    try:
        yield
    except _TOO_LARGE as error:
        raise UserError(_too_large(where)) from error


def _too_large(where: str) -> str:
    return f"{where}: too many pixels; images of up to about 13,000 x 13,000 are accepted"


def _to_rgb(image: Image.Image, where: str) -> Image.Image:
    if image.mode == "F":
        raise UserError(f"{where}: has float pixels; expected 8 or 16 bits per channel")
    if image.has_transparency_data:
        rgba = _to_rgba(image, where)
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return _from_16_bits(image, where) if image.mode.startswith("I") else image.convert("RGB")


def _to_rgba(image: Image.Image, where: str) -> Image.Image:
    if not image.has_transparency_data:
        return _to_rgb(image, where).convert("RGBA")
    if not image.mode.startswith("I"):
        return image.convert("RGBA")
    seen = np.asarray(image) != image.info["transparency"]  # [H, W]
    rgba = _from_16_bits(image, where).convert("RGBA")
    rgba.putalpha(Image.fromarray(seen.astype(np.uint8) * 255))
    return rgba


def _from_16_bits(image: Image.Image, where: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)  # [H, W]
    # Signed or of 32 bits: no value in it says which one is white.
    unknown = image.mode == "I" and image.format in ("TIFF", None)
    if unknown or values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where}: has signed or 32-bit pixels; expected 8 or 16 bits per channel")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
