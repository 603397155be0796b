"""Sheets of samples of a report: the same latents for every network."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome, Training
from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

SEED = 0
IMAGES = 16
COLUMNS = 8
_SIDES = (128, 64, 32)  # pixels of an image on a sheet: the first whose sheet is a small file
_LIMIT = 300_000  # bytes of one picture


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Samples of one network.

    Attributes
    ----------
    network : str
        Its name.
    training : Training
        The seed that was drawn.
    png : bytes or None
        The picture; None where none could be drawn.
    trouble : str
        Why not.
    """

    network: str
    training: Training
    png: bytes | None
    trouble: str = ""


def sheets(outcomes: Sequence[Outcome], device: "torch.device") -> list[Sheet]:
    """One sheet per network of the outcomes: of the first seed that is measured.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of one request.
    device : torch.device
        Where to draw.
    """
    chosen: dict[str, Training] = {}
    for outcome in outcomes:
        if outcome.state == "done" and outcome.training is not None:
            chosen.setdefault(outcome.training.network, outcome.training)
    drawn = []
    for network, training in chosen.items():
        try:
            png, trouble = as_png(draw_samples(training, device)), ""
        except UserError as error:
            png, trouble = None, str(error)
        drawn.append(Sheet(network=network, training=training, png=png, trouble=trouble))
    return drawn


def draw_samples(training: Training, device: "torch.device") -> "NDArray[np.uint8]":
    """Images of the newest good checkpoint: G_ema, not truncated, for A and B have no W.

    Image i depends on (SEED, i) alone, so all networks of one `z_dim` get the same latents.

    Returns
    -------
    ndarray
        uint8 [IMAGES, 3, R, R].

    Raises
    ------
    UserError
        There is no checkpoint that can be read, or the network has diverged.
    """
    from stylegan.checkpoint import newest_good_checkpoint
    from stylegan.opening import load_for_evaluation
    from stylegan_eval.sampling import draw, to_uint8

    if not training.folder.is_dir():
        raise UserError(f"the folder of the training {training.name} is not there")
    path, _, _ = newest_good_checkpoint(training.folder)
    loaded = load_for_evaluation(path, device)
    assert loaded is not None, path
    _, _, images = draw(loaded.generator, SEED, range(IMAGES), device)
    return to_uint8(images).cpu().numpy()


def as_png(images: "NDArray[np.uint8]") -> bytes:
    """Lay images [N, 3, R, R] out in rows of `COLUMNS`, twice as large where they are small."""
    from PIL import Image

    from stylegan.grid import image_grid

    rows, side = -(-len(images) // COLUMNS), images.shape[-1]
    sheet = Image.fromarray(image_grid(images, COLUMNS))
    for largest in _SIDES:
        shown = 2 * side if 2 * side <= largest else min(side, largest)
        how = Image.Resampling.NEAREST if shown >= side else Image.Resampling.BOX
        file = io.BytesIO()
        sheet.resize((COLUMNS * shown, rows * shown), how).save(file, "PNG", optimize=True)
        if file.tell() < _LIMIT:
            break
    return file.getvalue()
