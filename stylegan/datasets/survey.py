"""What a set of images is like, and whether training can read it as it is."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from stylegan_eval.decoding import Header
from stylegan_eval.parallel import map_ordered
from stylegan_eval.progress import follow

MIN_RESOLUTION = 4


class HasHeaders(Protocol):
    """What `survey` needs of a set of images."""

    @property
    def names(self) -> Sequence[str]:
        """One for each image."""

    def __len__(self) -> int:
        """How many images there are."""

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""


@dataclass(frozen=True)
class Survey:
    """Sizes and modes of all images, from their headers.

    Attributes
    ----------
    sizes : mapping of (width, height) to count
        In pixels, as stored.
    modes : mapping of str to count
        Pillow's names: RGB, L, P, ...
    smallest : str
        Name of an image with the shortest side of all.
    smallest_side : int
        That side in pixels.
    headers : tuple of Header
        Of each image.
    """

    sizes: Mapping[tuple[int, int], int]
    modes: Mapping[str, int]
    smallest: str
    smallest_side: int
    headers: tuple[Header, ...]

    def fault(self) -> str | None:
        """Why training cannot read these images as they are, or None if it can."""
        if len(self.sizes) > 1:
            (one, another), _ = zip(*Counter(self.sizes).most_common(2), strict=True)
            return (
                f"images differ in size ({one[0]}x{one[1]}, {another[0]}x{another[1]}, ...;"
                f" {self.smallest} is the smallest)"
            )
        width, height = next(iter(self.sizes))
        if width != height:
            return f"images are {width}x{height}, not square"
        if width < MIN_RESOLUTION or width & (width - 1):
            return f"the resolution, {width}, is not a power of two from {MIN_RESOLUTION} on"
        return None


def survey(files: HasHeaders, *, progress: bool = False) -> Survey:
    """Read the headers of all images.

    Raises
    ------
    UserError
        A file is not an image.
    """
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        found = map_ordered(pool, files.header, range(len(files)), ahead=16 * threads)
        headers = follow(found, "headers", len(files), shown=progress)
        return summary(files.names, tuple(headers))


def summary(names: Sequence[str], headers: tuple[Header, ...]) -> Survey:
    """What the headers of images, at least one, say together."""
    sides = [min(header.width, header.height) for header in headers]
    smallest = min(range(len(headers)), key=sides.__getitem__)
    return Survey(
        sizes=Counter((header.width, header.height) for header in headers),
        modes=Counter(header.mode for header in headers),
        smallest=names[smallest],
        smallest_side=sides[smallest],
        headers=headers,
    )
