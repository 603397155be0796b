"""Samples of each generator from the same latents, and what their files say of them."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.errors import UserError
from stylegan_eval.loading import NETWORKS, load_generator
from stylegan_eval.protocols import LoadedGenerator
from stylegan_eval.report.neighbours import Nearest, Neighbourhood
from stylegan_eval.report.subjects import Subject
from stylegan_eval.sampling import draw, to_uint8

_SIDE = 128  # pixels of an image on the page, at most
_AT_A_TIME = 16


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What the file of a generator gives.

    Attributes
    ----------
    images : ndarray or None
        uint8 [S, 3, R, R]; None where none could be drawn.
    z_dim : int
        Length of a latent; 0 where there are no images.
    near : tuple of Nearest
        For each image; empty where it was not looked for.
    trouble : str
        Why there are no images.
    settings, origin : mapping
        As `protocols.LoadedGenerator` has them.
    """

    images: NDArray[np.uint8] | None = None
    z_dim: int = 0
    near: tuple[Nearest, ...] = ()
    trouble: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)


def open_subject(
    subject: Subject, count: int, seed: int, device: torch.device, reals: Neighbourhood | None
) -> Opened:
    """Open the checkpoint of a generator, if it is where it was, and draw from it.

    Parameters
    ----------
    subject : Subject
        The generator.
    count : int
        Images.
    seed : int
        Image i depends on (seed, i) alone: generators of one `z_dim` get the same latents.
    device : torch.device
        Where to draw.
    reals : Neighbourhood or None
        Where to look for the nearest real image.
    """
    try:
        loaded = _load(subject, device)
        images = _drawn(loaded, count, seed, device)
    except UserError as error:
        return Opened(trouble=str(error))
    near = () if reals is None else tuple(reals.nearest(torch.from_numpy(images)))
    return Opened(
        images=images,
        z_dim=loaded.generator.z_dim,
        near=near,
        settings=loaded.settings,
        origin=loaded.origin,
    )


def _load(subject: Subject, device: torch.device) -> LoadedGenerator:
    """Load the first of its places that holds what was measured.

    Raises
    ------
    UserError
        None does.
    """
    if not subject.paths:
        raise UserError("no generator: real images took its place")
    if subject.description == "images":
        raise UserError("a set of images was measured, not a generator")
    other = ""
    for path in subject.paths:
        if not (path.is_file() or path.is_dir() or entry_points(group=NETWORKS, name=str(path))):
            continue
        loaded = load_generator(path, device)
        if subject.digest in ("", loaded.sha256):
            return loaded
        other = f"{path} holds another network now ({loaded.sha256[:12]}), not the one measured"
    raise UserError(
        other or f"{subject.paths[0]} is not there: name its checkpoint with --ckpt to see samples"
    )


def _drawn(
    loaded: LoadedGenerator, count: int, seed: int, device: torch.device
) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, count, _AT_A_TIME):
        part = range(start, min(start + _AT_A_TIME, count))
        _, _, images = draw(loaded.generator, seed, part, device)
        parts.append(to_uint8(images).cpu().numpy())
    return np.concatenate(parts)


def as_png(image: NDArray[np.uint8]) -> bytes:
    """One image [3, H, W] as PNG, smaller where it is larger than the page shows."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
