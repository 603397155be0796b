"""Key frames that are recipes: their order, their ws, and the frames between them.

Shapes: K key frames, L rows of ws, D length of w, C channels, R pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan.sample.canvas import Pixels, enlarged
from stylegan.sample.drawing import OpenedGenerator, check_fits, ws_of
from stylegan.sample.film import LinePath, Position
from stylegan.sample.painter import Noise
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError


@dataclass(frozen=True, kw_only=True)
class KeyFrame:
    """A recipe, and the w [1, L, D] that takes the place of its seed, if any does."""

    recipe: Recipe
    start: Tensor | None = None


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Refuse what makes no film: fewer than two key frames, or other noise in some of them."""
    if len(recipes) < 2:
        raise UserError("a film needs two key frames or more")
    words = [_noise_word(recipe) for recipe in recipes]
    for number, word in enumerate(words, 1):
        if word != words[0]:
            raise UserError(
                f"key frame {number} has --noise {word}, and the first --noise {words[0]}: a film"
                " has the same noise from end to end"
            )


def _noise_word(recipe: Recipe) -> str:
    return recipe.noise if recipe.noise != "random" else f"random --noise-seed {recipe.noise_seed}"


def path_through(keys: Sequence[KeyFrame], subject: OpenedGenerator) -> LinePath:
    """Path along lines of W, through what each recipe draws from: truncated, mixed and moved."""
    check_recipes([key.recipe for key in keys])
    if not subject.painter.maps:
        raise UserError(
            f"a film of recipes goes through W, and {subject.ckpt} has no mapping network: use"
            " --seeds with --space z"
        )
    rows = []
    for recipe, start in ((key.recipe, key.start) for key in keys):
        check_fits(recipe, subject, saved=start is not None)
        rows.append(ws_of(recipe, subject, start))
    return LinePath(torch.cat(rows))  # [K, L, D]


def frames_along(
    path: LinePath, places: Sequence[Position], noise: Noise, subject: OpenedGenerator, scale: int
) -> Iterator[Pixels]:
    """Frames, uint8 [scale R, scale R, C], drawn batch by batch."""
    batch = subject.painter.batch
    for first in range(0, len(places), batch):
        ws = path.at(places[first : first + batch])
        for image in subject.painter.images(ws, noise):
            yield enlarged(image, scale)
