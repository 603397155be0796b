"""Which files are images: by their ending, or by their first bytes where the ending is unknown."""

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import NamedTuple

from PIL import features

START_BYTES = 32  # enough for every signature

# Fixed, because Pillow's full list has formats that start other programs (PostScript) or that any
# file may pass for. The order is that of frequency.
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI", "TGA", "ICO",
    "ICNS", "PCX", "SGI", "SUN", "DDS", "PSD", "DIB",
)  # fmt: skip
IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".apng", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".jps", ".pbm", ".pnm", ".pfm", ".jp2",
    ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".qoi", ".tga", ".icb", ".vda", ".vst", ".ico",
    ".icns", ".pcx", ".sgi", ".rgb", ".rgba", ".bw", ".ras", ".dds", ".psd", ".dib",
)  # fmt: skip
_AVIF_SUFFIXES = (".avif", ".avifs")
_SIGNATURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|BM....\0{4}|P[1-6]\s+[\d#]|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|qoif|8BPS\0\x01"
    rb"|DDS \x7c\0\0\0|icns|\x59\xa6\x6a\x95|\x01\xda[\0\1][\1\2]\0[\1-\3]",
    re.DOTALL,
)
_AVIF_SIGNATURE = re.compile(rb"....ftypavi[fs]", re.DOTALL)
# What lies beside images and is not worth a word.
COMPANIONS = frozenset((
    ".txt", ".caption", ".tags", ".json", ".jsonl", ".csv", ".tsv", ".md", ".rst", ".xml", ".yaml",
    ".yml", ".toml", ".ini", ".html", ".htm", ".url", ".log", ".py", ".sh", ".sha256", ".md5",
    ".db", ".cls",
))  # fmt: skip
# What begins like an image, or is none for certain. A raw photograph begins like a TIFF of its
# thumbnail, a download that broke off like the image it was to be.
_OTHERS = COMPANIONS | frozenset((
    ".cr2", ".cr3", ".nef", ".nrw", ".dng", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr",
    ".iiq", ".erf", ".kdc", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mp3", ".wav",
    ".pdf", ".svg", ".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".npy", ".npz", ".pt", ".pth",
    ".pkl", ".safetensors", ".exe", ".part", ".crdownload", ".bak", "~",
))  # fmt: skip


class Plugin(NamedTuple):
    """A package that teaches Pillow a format."""

    format: str  # Pillow's name of it
    module: str
    package: str
    suffixes: tuple[str, ...]
    signature: re.Pattern[bytes]

    @property
    def installed(self) -> bool:
        """Whether the package can be imported."""
        return find_spec(self.module) is not None

    def register(self) -> None:
        """Let Pillow know the format."""
        module = importlib.import_module(self.module)
        if hasattr(module, "register_heif_opener"):  # the other registers as it is imported
            module.register_heif_opener()


PLUGINS = (
    Plugin(
        "HEIF", "pillow_heif", "pillow-heif", (".heic", ".heif", ".heics", ".hif"),
        re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    ),
    Plugin(
        "JXL", "pillow_jxl", "pillow-jxl-plugin", (".jxl",),
        re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", re.DOTALL),
    ),
)  # fmt: skip


def plugin_of(start: bytes) -> Plugin | None:
    """The package that reads a file of these first bytes, if it takes one."""
    return next((plugin for plugin in PLUGINS if plugin.signature.match(start)), None)


def ending_of(name: str) -> str:
    """The ending in small letters: ".png", or "" for none."""
    return PurePosixPath(name).suffix.lower() if not name.endswith("~") else "~"


@functools.cache
def _known_suffixes() -> frozenset[str]:
    more = [plugin.suffixes for plugin in PLUGINS if plugin.installed]
    avif = _AVIF_SUFFIXES if features.check("avif") else ()
    return frozenset((*IMAGE_SUFFIXES, *avif, *(suffix for part in more for suffix in part)))


def is_hidden(name: str) -> bool:
    """Whether a part of a path is hidden, or the folder that macOS adds to archives."""
    return any(
        (part.startswith(".") and part != ".") or part == "__MACOSX" for part in name.split("/")
    )


def left_out_as(name: str, start: Callable[[], bytes]) -> str | None:
    """The ending to count a file by that is not read; None for an image, damaged or not.

    `start` gives its first `START_BYTES`; called only where the ending is unknown.
    """
    ending = ending_of(name)
    if ending in _known_suffixes():
        return None
    if ending in _OTHERS or ending in _packaged():
        return ending
    data = start()
    if _SIGNATURE.match(data):
        return None
    if _AVIF_SIGNATURE.match(data):
        return None if features.check("avif") else _AVIF_SUFFIXES[0]
    plugin = plugin_of(data)
    if plugin is None:
        return ending
    return None if plugin.installed else plugin.suffixes[0]


def _packaged() -> Mapping[str, str]:
    """Packages that read files of an ending, by that ending."""
    needs = {suffix: plugin.package for plugin in PLUGINS for suffix in plugin.suffixes}
    return needs | dict.fromkeys(_AVIF_SUFFIXES, "Pillow 11.3 or later")


def left_out_line(counts: Mapping[str, int], *, companions: bool = False) -> str:
    """Endings of files that are not read, and what would read them; "" where there is none.

    >>> left_out_line({".svg": 1, ".txt": 900, ".mp4": 2, "": 1})
    '2 .mp4, 1 without an ending, 1 .svg'
    """
    needs = _packaged()
    groups: dict[str, list[str]] = {}
    for ending, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if companions or ending not in COMPANIONS:
            groups.setdefault(needs.get(ending, ""), []).append(
                f"{count:,} {ending or 'without an ending'}"
            )
    return ", ".join(
        f"{', '.join(files)} (install {package})" if package else ", ".join(files)
        for package, files in sorted(groups.items(), reverse=True)
    )
