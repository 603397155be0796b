"""Images that a program holds: arrays, tensors, PIL images, batches of a loader."""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan_eval.engine.files import Stamp
from stylegan_eval.engine.sampling import to_uint8
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import (
    channels_of,
    held_pixels,
    in_channels,
    is_channels_first,
    is_turned,
)

Range = tuple[float, float]
_KEYS = ("images", "image", "pixel_values", "img", "x")  # of batches that are mappings
_OVERSHOOT = 0.5  # of the range: what generators draw beyond it saturates
_AT_ONCE = 256  # images
_WELL_BEYOND = 0.25  # of the range
_MANY = 0.1  # of all values


@dataclass
class Seen:
    """What images were before they became uint8 RGB; what is odd in them becomes a note."""

    channels: set[int] = field(default_factory=set)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # images by (H, W)
    least: float = float("inf")
    most: float = float("-inf")
    """least, most: Of the floats."""
    beyond: int = 0  # floats that lie well outside of their range
    floats: int = 0  # all of them
    largest_byte: int = -1
    turned: int = 0  # images that EXIF says are to be turned

    def state(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        sizes = [[*size, count] for size, count in self.sizes.items()]
        return {**vars(self), "channels": sorted(self.channels), "sizes": sizes}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Seen":
        """What `state` gave."""
        sizes = Counter({(height, width): count for height, width, count in state["sizes"]})
        return cls(**{**state, "channels": set(state["channels"]), "sizes": sizes})

    def take(self, other: "Seen") -> None:
        """Add what was seen elsewhere."""
        self.channels |= other.channels
        self.sizes += other.sizes
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.beyond, self.floats = self.beyond + other.beyond, self.floats + other.floats
        self.largest_byte = max(self.largest_byte, other.largest_byte)
        self.turned += other.turned

    def note(self, what: str, value_range: Range | None) -> str:
        """Say what is odd in the images; "" where nothing is."""
        notes = [self._of_values(what, value_range)]
        if self.turned:
            notes.append(
                f"{what}: EXIF says that {self.turned} images are to be turned, as files are; those"
                " in memory are taken as they are: PIL.ImageOps.exif_transpose turns them"
            )
        return "; ".join(note for note in notes if note)

    def _of_values(self, what: str, value_range: Range | None) -> str:
        if not self.floats and 0 <= self.largest_byte <= 1:
            return (
                f"{what}: no byte is above 1: if they were floats from 0 to 1, hand in those, with"
                " range=(0, 1)"
            )
        if not self.floats or value_range is None:
            return ""
        low, high = value_range
        values = f"{what}: values from {self.least:.3g} to {self.most:.3g}"
        taken = f"range=({low:g}, {high:g})"
        if self.most - self.least < (high - low) / 20:
            return f"{values} are little of {taken}"
        if low < 0 <= self.least:
            return f"{values} have none below 0, with {taken}: if they are from 0, say so"
        if (share := self.beyond / self.floats) > _MANY:
            return f"{values}: {share:.0%} lie well outside of {taken} and are cut off"
        return ""


class MemoryImages:
    """Images in memory; see `source.ImageSet`."""

    folder = None
    stamps: Mapping[str, Stamp] = MappingProxyType({})

    def __init__(self, images: Any, what: str, value_range: Range | None = None) -> None:
        self.seen = Seen()
        batches = batches_of(images_alone(images, what), what, value_range, self.seen)
        self._batches = [batch for batch in batches if len(batch)]
        self.note = self.seen.note(what, value_range)
        if not self._batches:
            raise UserError(f"{what}: no images; expected two or more")
        self._ends = list(accumulate(map(len, self._batches)))

    @property
    def path(self) -> Path:
        """Their name in rows."""
        return Path(str(self))

    def __str__(self) -> str:
        sizes = {f"{width}x{height}" for *_, height, width in (b.shape for b in self._batches)}
        size = sizes.pop() if len(sizes) == 1 else "unlike sizes"
        return f"{len(self)} images of {size} in memory"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their numbers."""
        return tuple(map(str, range(len(self))))

    def __len__(self) -> int:
        return self._ends[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image number `index`, uint8 [3, H, W]."""
        number = bisect_right(self._ends, index)
        image: NDArray[np.uint8] = self._batches[number][index - self._ends[number]]
        return image

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all pixels; equal for equal images in whatever batches."""
        digest, shape = hashlib.sha256(), None
        for batch in self._batches:
            if batch.shape[1:] != shape:
                shape = batch.shape[1:]
                digest.update(f"{shape}".encode())
            digest.update(np.ascontiguousarray(batch).tobytes())
        return digest.hexdigest()


def batches_of(
    images: Any, what: str, value_range: Range | None, seen: Seen | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Turn an array, tensor or PIL image, or an iterable of them, into batches uint8 [n, 3, H, W].

    They are [N, C, H, W] or [N, H, W, C] with 1, 3 or 4 channels, or single images [C, H, W] or
    [H, W, C]; grey becomes three equal channels, alpha is put over white. Batches may be tuples
    (images, labels or masks), or mappings with a key such as "image". `value_range`: black and
    white of floats; uint8 has its own.
    """
    seen = Seen() if seen is None else seen
    if value_range is not None:
        check_range(value_range)
    if isinstance(images, Mapping):
        key = next((key for key in _KEYS if key in images), None)
        if key is None:
            raise UserError(f"{what}: a mapping of {', '.join(map(str, images))}; no key 'images'")
        yield from batches_of(images[key], what, value_range, seen)
    elif isinstance(images, Image.Image):
        with parsing(what, "an image that cannot be read"):
            pixels = held_pixels(images, what)  # opened files are read when they are used
            seen.turned += is_turned(images)
        seen.channels.add(channels_of(images))
        seen.sizes[pixels.shape[1], pixels.shape[2]] += 1
        seen.largest_byte = max(seen.largest_byte, int(pixels.max()))
        yield pixels[None]
    elif isinstance(images, Tensor | np.ndarray) or _axes(images) == 3:
        yield bytes_of(images, what, value_range, seen)
    elif _axes(images) == 4:  # of another framework, or of a file that is read in parts
        for start in range(0, len(images), _AT_ONCE):
            yield bytes_of(images[start : start + _AT_ONCE], what, value_range, seen)
    elif isinstance(images, str | bytes) or not _is_iterable(images):
        raise UserError(
            f"{what}: got {type(images).__name__}; expected images: arrays or tensors"
            " [N, 3, H, W] or [N, H, W, 3], PIL images, or an iterable of them"
        )
    else:
        # PyTorch's data sets have a length and numbers, and nothing to iterate by.
        each = images if isinstance(images, Iterable) else map(images.__getitem__, _numbers(images))
        for batch in each:
            yield from batches_of(_without_labels(batch, what), what, value_range, seen)


def images_alone(made: Any, what: str) -> Any:
    """The images of a batch (images, labels); anything else as it is."""
    is_batch = isinstance(made, tuple | list) and len(made) > 0 and _axes(made[0]) == 4
    return _without_labels(made, what) if is_batch else made


def check_range(value_range: Any) -> None:
    """Refuse what is no pair (black, white)."""
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if isinstance(value_range, str) or not -np.inf < low < high < np.inf:
        raise UserError(
            f"range must be black and white of the floats, such as (0, 1), got {value_range!r:.60}"
        )


def _axes(images: Any) -> int:
    """Axes of an array of any framework; 0 of what is none."""
    return getattr(images, "ndim", 0) if hasattr(images, "__array__") else 0


def _is_iterable(images: Any) -> bool:
    numbered = hasattr(images, "__getitem__") and hasattr(images, "__len__")
    return isinstance(images, Iterable) or numbered


def _numbers(images: Any) -> range:
    return range(len(images))


def _without_labels(batch: Any, what: str) -> Any:
    """The images of (images, labels or masks); a list of images is one.

    What follows the first one of a tuple, as data sets give them, or of a list, as loaders make of
    it, are images where they are like it. No image is dropped in doubt.
    """
    if not isinstance(batch, tuple | list) or not batch:
        return batch
    first, *rest = batch
    if not isinstance(first, Tensor | np.ndarray | Image.Image):
        return batch
    alike = [_kind(other) == _kind(first) for other in rest]
    if all(alike):
        return batch
    if not _any_image(rest):
        return first
    if not isinstance(first, Image.Image) and first.ndim == 4:
        if not any(alike):
            return first
    elif isinstance(batch, list) and len(batch) > 2:
        return batch  # images of unlike channels
    elif isinstance(batch, tuple) and len(batch) == 2:
        mask = rest[0]
        if not isinstance(mask, Image.Image) or mask.mode == "P":
            return first
    kinds = ", ".join(str(_kind(part)) for part in batch)
    raise UserError(f"{what}: which of {kinds:.80} are images? Hand in those alone")


def _kind(part: Any) -> tuple[Any, ...]:
    """What two parts of a batch that are both images have in common."""
    if isinstance(part, Image.Image):  # of a palette it may be a mask, and what else it is anyway
        return "PIL image", "P" if part.mode == "P" else channels_of(part)
    if isinstance(part, Tensor | np.ndarray) and part.ndim in (3, 4):
        shape = part.shape if part.ndim == 4 else (1, *part.shape)
        return f"{part.ndim} axes", shape[1] if is_channels_first(shape) else shape[3]
    return ("no image",)


def _any_image(parts: Iterable[Any]) -> bool:
    return any(_kind(part) != ("no image",) for part in parts)


def bytes_of(
    images: Any, what: str, value_range: Range | None, seen: Seen | None = None
) -> NDArray[np.uint8]:
    """Check an array and turn it into uint8 [N, 3, H, W], floats as official networks' are."""
    tensor = _tensor(images, what)
    shape = list(tensor.shape)
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim == 4 and not is_channels_first(tensor.shape) and tensor.shape[3] in (1, 3, 4):
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3, 4) or 0 in tensor.shape[1:]:
        fix = ": hand in images alone, without labels or latents" if len(shape) < 3 else ""
        raise UserError(
            f"{what}: shape {shape}; expected [N, 3, H, W] or [N, H, W, 3], or one channel (grey)"
            f" or four (RGBA){fix}"
        )
    seen = Seen() if seen is None else seen
    if len(tensor):
        seen.channels.add(tensor.shape[1])
        seen.sizes[tensor.shape[2], tensor.shape[3]] += len(tensor)
    if tensor.shape[1] == 1:
        tensor = tensor.expand(-1, 3, -1, -1)
    if tensor.dtype != torch.uint8:
        tensor = _quantised(tensor, what, value_range, seen)
    elif len(tensor):
        seen.largest_byte = max(seen.largest_byte, int(tensor.max()))
    if tensor.shape[1] == 4:
        return np.stack([in_channels(image, 3, what) for image in tensor.cpu().numpy()])
    # A copy: the caller may write to its own.
    copied: NDArray[np.uint8] = tensor.cpu().clone(memory_format=torch.contiguous_format).numpy()
    return copied


def _tensor(images: Any, what: str) -> Tensor:
    if isinstance(images, Tensor):
        if images.layout != torch.strided or images.is_meta or images.is_nested:
            layout = str(images.layout).removeprefix("torch.")
            held = "meta" if images.is_meta else "nested" if images.is_nested else layout
            raise UserError(f"{what}: a tensor of the kind {held}; expected one that holds pixels")
        return images.detach()
    if np.ma.is_masked(images):
        raise UserError(
            f"{what}: a masked array, whose mask is no part of an image: fill it in,"
            " array.filled(255), or hand in array.data"
        )
    array = np.asarray(images)
    try:
        # Negative strides and foreign byte order are none of PyTorch's.
        native = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=True)
        return torch.from_numpy(native)
    except TypeError as error:
        raise UserError(f"{what}: an array of {array.dtype}; expected uint8 or floats") from error


def _quantised(images: Tensor, what: str, value_range: Range | None, seen: Seen) -> Tensor:
    if not images.is_floating_point():
        raise UserError(
            f"{what}: an array of {str(images.dtype).removeprefix('torch.')}; expected uint8, or"
            " floats with their range"
        )
    if not len(images):
        return images.to(torch.uint8)
    least, most = (float(end) for end in torch.aminmax(images.float()))
    if not (np.isfinite(least) and np.isfinite(most)):
        raise UserError(f"{what}: NaN or infinite pixels")
    found = f"{str(images.dtype).removeprefix('torch.')} from {least:.3g} to {most:.3g}"
    if value_range is None:
        guess = "(-1, 1)" if least < 0 else "(0, 1)" if most <= 1 else "(0, 255)"
        raise UserError(f"{what}: {found}: say what black and white are, such as range={guess}")
    low, high = map(float, value_range)
    slack = _OVERSHOOT * (high - low)
    if least < low - slack or most > high + slack:
        raise UserError(f"{what}: {found}, far outside of range=({low:g}, {high:g})")
    unit = (images.double() - low) * (2 / (high - low)) - 1
    seen.least, seen.most = min(seen.least, least), max(seen.most, most)
    seen.beyond += int((unit.abs() > 1 + 2 * _WELL_BEYOND).sum())
    seen.floats += unit.numel()
    return to_uint8(unit)
