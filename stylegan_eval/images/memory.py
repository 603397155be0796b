"""Images that a program holds: arrays, tensors, PIL images, batches of a loader."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
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
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import in_channels, is_channels_first, pixels_of

Range = tuple[float, float]
_KEYS = ("images", "image", "pixel_values", "img", "x")  # of batches that are mappings
_OVERSHOOT = 0.5  # of the range: what generators draw beyond it saturates


class MemoryImages:
    """Images in memory; see `source.ImageSet`.

    `batches`: uint8 [n, 3, H, W] each, from `bytes_of`.
    """

    folder = None
    stamps: Mapping[str, Stamp] = MappingProxyType({})

    def __init__(self, batches: Iterable[NDArray[np.uint8]], what: str) -> None:
        self._batches: list[NDArray[np.uint8]] = []
        for batch in batches:
            if len(batch):
                self._batches.append(batch)
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


def batches_of(images: Any, what: str, value_range: Range | None) -> Iterator[NDArray[np.uint8]]:
    """Turn an array, tensor or PIL image, or an iterable of them, into batches uint8 [n, 3, H, W].

    They are [N, C, H, W] or [N, H, W, C] with 1, 3 or 4 channels, or single images [C, H, W] or
    [H, W, C]; grey becomes three equal channels, alpha is put over white. Batches may be tuples
    (images, labels), or mappings with a key such as "image". `value_range`: black and white of
    floats; uint8 has its own.
    """
    if isinstance(images, Mapping):
        key = next((key for key in _KEYS if key in images), None)
        if key is None:
            raise UserError(f"{what}: a mapping of {', '.join(map(str, images))}; no key 'images'")
        yield from batches_of(images[key], what, value_range)
    elif isinstance(images, Image.Image):
        yield pixels_of(images, what)[None]
    elif isinstance(images, Tensor | np.ndarray):
        yield bytes_of(images, what, value_range)
    elif isinstance(images, Iterable) and not isinstance(images, str | bytes):
        for batch in images:
            yield from batches_of(_without_labels(batch), what, value_range)
    else:
        raise UserError(
            f"{what}: got {type(images).__name__}; expected images: arrays or tensors"
            " [N, 3, H, W] or [N, H, W, 3], PIL images, or an iterable of them"
        )


def _without_labels(batch: Any) -> Any:
    """The images of (images, labels); a list of images is one."""
    if isinstance(batch, tuple | list) and batch:
        rest = batch[1:]
        if isinstance(batch[0], Tensor | np.ndarray) and all(map(_is_no_image, rest)):
            return batch[0]
        if isinstance(batch[0], Image.Image) and not any(isinstance(x, Image.Image) for x in rest):
            return batch[0]
    return batch


def _is_no_image(value: Any) -> bool:
    return not isinstance(value, Tensor | np.ndarray) or value.ndim < 3


def bytes_of(
    images: Tensor | NDArray[Any], what: str, value_range: Range | None
) -> NDArray[np.uint8]:
    """Check an array and turn it into uint8 [N, 3, H, W], floats as official networks' are."""
    tensor = _tensor(images, what)
    shape = list(tensor.shape)
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim == 4 and not is_channels_first(tensor.shape) and tensor.shape[3] in (1, 3, 4):
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3, 4) or 0 in tensor.shape[1:]:
        raise UserError(
            f"{what}: shape {shape}; expected [N, 3, H, W] or [N, H, W, 3], or one channel (grey)"
            " or four (RGBA)"
        )
    if tensor.shape[1] == 1:
        tensor = tensor.expand(-1, 3, -1, -1)
    if tensor.dtype != torch.uint8:
        tensor = _quantised(tensor, what, value_range)
    if tensor.shape[1] == 4:
        return np.stack([in_channels(image, 3, what) for image in tensor.cpu().numpy()])
    # A copy: the caller may write to its own.
    copied: NDArray[np.uint8] = tensor.cpu().clone(memory_format=torch.contiguous_format).numpy()
    return copied


def _tensor(images: Tensor | NDArray[Any], what: str) -> Tensor:
    if isinstance(images, Tensor):
        return images.detach()
    try:
        # Negative strides and foreign byte order are none of PyTorch's.
        native = np.ascontiguousarray(images).astype(images.dtype.newbyteorder("="), copy=True)
        return torch.from_numpy(native)
    except TypeError as error:
        raise UserError(f"{what}: an array of {images.dtype}; expected uint8 or floats") from error


def _quantised(images: Tensor, what: str, value_range: Range | None) -> Tensor:
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
    seen = f"{str(images.dtype).removeprefix('torch.')} from {least:.3g} to {most:.3g}"
    if value_range is None:
        guess = "(-1, 1)" if least < 0 else "(0, 1)" if most <= 1 else "(0, 255)"
        raise UserError(f"{what}: {seen}: say what black and white are, such as range={guess}")
    low, high = value_range
    slack = _OVERSHOOT * (high - low)
    if least < low - slack or most > high + slack:
        raise UserError(f"{what}: {seen}, far outside of range=({low:g}, {high:g})")
    return to_uint8((images.double() - low) * (2 / (high - low)) - 1)
