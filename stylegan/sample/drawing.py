"""Recipes drawn by an opened generator: what it can do, the rows of w, the pixels.

Shapes: N images, L rows of ws, D length of w, C channels, H W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.opening import open_networks
from stylegan.runtime import Runtime
from stylegan.sample.directions import (
    COMPONENTS,
    directions_of,
    directions_path,
    span_of,
    steps_of,
)
from stylegan.sample.painter import Noise, Painter, class_number
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan.snapshot import load_generator, load_labels
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import Directions


@dataclass(frozen=True, kw_only=True)
class OpenedGenerator:
    """A generator at the level of detail that it was trained to."""

    ckpt: Path  # How the user named it
    file: Path  # That which was read
    description: str  # What it is, in a few words
    painter: Painter  # Draws; its labels are those of the training data, or lacking
    directions: Directions | None  # In W

    @property
    def has_noise(self) -> bool:
        """Whether it has noise inputs."""
        return bool(self.painter.network.noise_shapes)

    @property
    def num_layers(self) -> int:
        """Layers that can be drawn from another w: those active at its level; 1 without styles."""
        return self.painter.num_layers if self.painter.network.num_ws > 1 else 1

    @property
    def classes(self) -> int:
        """Length of a label; 0 where it is not conditional."""
        return self.painter.network.config.label_size

    @cached_property
    def steps(self) -> dict[str, Tensor]:
        """A move of 1 along each direction, [D]: one standard deviation of w."""
        return {} if self.directions is None else steps_of(self.directions, self.painter.device)


def open_generator(ckpt: Path, device: torch.device, directions: Path | None) -> OpenedGenerator:
    """Load a generator for sampling, with the directions of a file, or its own components."""
    path, snapshot = open_networks(ckpt)
    network = load_generator(snapshot, device)
    conditional = network.config.label_size > 0 and snapshot.labels is not None
    rows = load_labels(snapshot) if conditional else None
    names, about = snapshot.label_names, snapshot.description
    painter = Painter(network, lod=snapshot.lod, label_rows=rows, label_names=names)
    return OpenedGenerator(
        ckpt=ckpt,
        file=path,
        description=about,
        painter=painter,
        directions=None if directions is None else directions_of(painter, path, directions, about),
    )


def open_source(source: GeneratorSource, *, moves: bool) -> OpenedGenerator:
    """Load the generator of a command, with directions where it moves along some."""
    directions = directions_path(source.ckpt, source.directions) if moves else None
    return open_generator(source.ckpt, Runtime.choose(source.device).device, directions)


def check_fits(recipe: Recipe, subject: OpenedGenerator, *, saved: bool = False) -> None:
    """Refuse what this network cannot do. `saved`: The recipe starts from a w, not its seed."""
    saved = saved or bool(recipe.saved)
    in_w = {"--psi": recipe.psi != 1, "--mix": recipe.mix is not None, "--move": recipe.moves}
    needs_w = [option for option, given in in_w.items() if given]
    if needs_w and not subject.painter.maps:
        raise UserError(
            f"{needs_w[0]} needs a mapping network, which {subject.ckpt} lacks: leave it out"
        )
    if recipe.mix is not None and recipe.mix.last >= subject.num_layers:
        raise UserError(
            f"--mix {recipe.mix}: {subject.ckpt} has layers 0 to {subject.num_layers - 1}"
        )
    for move in recipe.moves:
        if subject.directions is None:
            raise UserError(
                f"--move {move.name} needs --directions FILE: stylegan-eval directions makes one"
                f" (or --directions {COMPONENTS}, for pc1, pc2, ...)"
            )
        if move.name not in subject.directions.names:
            known = ", ".join(subject.directions.names)
            raise UserError(f"--move {move.name}: the directions are those of {known}")
        if move.layers is not None and move.layers.stop > subject.num_layers:
            raise UserError(
                f"--move {move}: {subject.ckpt} has layers 0 to {subject.num_layers - 1}"
            )
    if recipe.number is not None:
        class_number(recipe.number, subject.painter, subject.ckpt)
    mapped = not saved or recipe.mix is not None
    if not mapped and recipe.number is not None:
        raise UserError("--class is for latents, and --ws needs none: leave it out")
    unlabelled = subject.classes and subject.painter.label_rows is None
    if mapped and recipe.number is None and unlabelled:
        raise UserError(
            f"{subject.ckpt} holds no labels to draw from: choose --class 0 to"
            f" {subject.classes - 1}"
        )


def ws_of(recipe: Recipe, subject: OpenedGenerator, ws: Tensor | None = None) -> Tensor:
    """Rows of w that a recipe draws from, [N, L, D]: from its seed, or from `ws` of that shape.

    Each latent is truncated, then layers are exchanged, then all rows are moved, or those of the
    layers that a move names. Truncation goes by layer and so may come before mixing or after. Moves
    come last, or psi would shorten them: a move of 1 is the same distance in W for every psi.
    """
    painter = subject.painter
    if ws is None:
        ws = mapped_seeds([recipe.seed], recipe, subject)
    ws = painter.truncated(ws, recipe.psi, recipe.cutoff)
    if recipe.mix is not None:
        other = mapped_seeds([recipe.mix.seed], recipe, subject)
        other = painter.truncated(other, recipe.psi, recipe.cutoff)
        ws = mix_layers(other, ws, range(recipe.mix.first, recipe.mix.last + 1))
    for move in recipe.moves:
        assert subject.directions is not None
        moved = ws + move.amount * subject.steps[move.name]
        span = span_of(move, subject.directions)
        ws = moved if span is None else mix_layers(moved, ws, range(span[0], span[1] + 1))
    return ws


def mix_layers(source: Tensor, destination: Tensor, layers: range) -> Tensor:
    """Rows `layers` of the source's ws, the others of the destination's: [..., L, w_dim]."""
    index = torch.arange(destination.shape[-2], device=destination.device)[:, None]  # [L, 1]
    return torch.where((index >= layers.start) & (index < layers.stop), source, destination)


def mapped_seeds(seeds: Sequence[int], recipe: Recipe, subject: OpenedGenerator) -> Tensor:
    """Ws [N, L, D] of seeds in the recipe's class, as the mapping network has them."""
    painter = subject.painter
    z = latents(0, seeds, painter.network.z_dim).to(painter.device)
    labels = painter.labels(z)
    if recipe.number is not None:
        number = class_number(recipe.number, painter, subject.ckpt)
        labels = painter.one_hot([number] * len(z))
    return painter.mapped(z, labels)


def draw_recipe(
    recipe: Recipe, subject: OpenedGenerator, start: Tensor | None = None
) -> NDArray[np.uint8]:
    """Draw one image, uint8 [H, W, C], repeated to full size where the network still grows.

    `start` [1, L, D] is the w that takes the place of its seed, if any does.
    """
    check_fits(recipe, subject, saved=start is not None)
    assert start is not None or not recipe.saved  # whoever holds that w gives it
    return next(draw_ws(recipe, subject, start))


def saved_ws(subject: OpenedGenerator, file: Path, row: int) -> Tensor:
    """One row of a file of w, [1, L, D]."""
    ws = subject.painter.read_ws([file])
    if row >= len(ws):
        raise UserError(f"--row {row}: {file} has rows 0 to {len(ws) - 1}")
    return ws[row : row + 1]


def draw_ws(
    recipe: Recipe, subject: OpenedGenerator, ws: Tensor | None, noise: Noise | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Draw the images of a recipe whose seed is replaced by ws [N, L, D], one by one.

    All have the noise of the recipe, unless other `noise` is given.
    """
    return subject.painter.images(ws_of(recipe, subject, ws), noise or noise_of(recipe, subject))


def noise_of(recipe: Recipe, subject: OpenedGenerator) -> Noise:
    """The noise maps of a recipe's image, for each of many.

    Those of a noise seed are the maps of the first image that a batch of this seed would have.
    """
    noise = subject.painter.noise(recipe.noise, recipe.noise_seed)
    return lambda _indices: noise([0])


def noise_of_each(recipes: Sequence[Recipe], subject: OpenedGenerator) -> Noise:
    """The noise maps of recipes that differ in nothing but seeds, by their numbers."""
    if recipes[0].noise != "random":
        return noise_of(recipes[0], subject)
    return subject.painter.noise_of_seeds("random", [recipe.noise_seed for recipe in recipes])
