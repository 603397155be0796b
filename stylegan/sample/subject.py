"""A generator loaded for sampling, and rendering of a `Recipe`.

Shapes: L rows of ws, D length of w, C channels, H W pixels.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.networks.generator import Generator
from stylegan.opening import DEMO, demo_directions_path, open_networks
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import Recipe
from stylegan.snapshot import load_generator, load_labels
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import Directions, read_directions


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A generator at the level of detail that it was trained to."""

    ckpt: Path  # How the user named it
    description: str  # What it is, in a few words
    painter: Painter  # Draws; its labels are those of the training data, or lacking
    directions: Directions | None  # Of attributes in W

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

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of its directions."""
        return () if self.directions is None else self.directions.names

    @cached_property
    def steps(self) -> dict[str, Tensor]:
        """A move of 1 along each attribute, [D]: one standard deviation of w."""
        if self.directions is None:
            return {}
        found = self.directions
        steps = torch.from_numpy(found.normals * found.spreads[:, None])  # [A, D]
        return dict(zip(found.names, steps.to(self.painter.device), strict=True))


def open_subject(ckpt: Path, device: torch.device, directions: Path | None) -> Subject:
    """Load a generator for sampling.

    `directions` is a file of attribute directions; see `directions_path`.
    """
    path, snapshot = open_networks(ckpt)
    network = load_generator(snapshot, device)
    conditional = network.config.label_size > 0 and snapshot.labels is not None
    rows = load_labels(snapshot) if conditional else None
    return Subject(
        ckpt=ckpt,
        description=snapshot.description,
        painter=Painter(network, lod=snapshot.lod, label_rows=rows),
        directions=None if directions is None else _directions_of(network, path, directions),
    )


def directions_path(ckpt: Path, named: Path | None) -> Path | None:
    """File of a network's directions: that which the user named, or the package's for its own."""
    return demo_directions_path() if named is None and ckpt == Path(DEMO) else named


def _directions_of(network: Generator, path: Path, file: Path) -> Directions:
    """Directions of a file. Those of another W would be directions at random, with false names."""
    if network.config.mapping_layers == 0:
        raise UserError(
            f"{path} has no mapping network, so no W for {file}: leave out --directions"
        )
    found = read_directions(file)
    digest = sha256_of(path)
    width, w_dim = found.normals.shape[1], network.config.w_dim
    if width != w_dim:
        raise UserError(f"{file} holds directions of {width} numbers, w_dim of {path} is {w_dim}")
    if found.generator_digest != digest:
        raise UserError(
            f"{file} is of the network with sha256 {found.generator_digest[:12]}, this one has"
            f" {digest[:12]}: make its own with stylegan-eval directions"
        )
    return found


def check_fits(recipe: Recipe, subject: Subject) -> None:
    """Refuse what this network cannot do."""
    in_w = {"--psi": recipe.psi != 1, "--mix": recipe.mix is not None, "--move": recipe.moves}
    wanted = [option for option, given in in_w.items() if given]
    if wanted and not subject.painter.maps:
        raise UserError(
            f"{wanted[0]} needs a mapping network, which {subject.ckpt} lacks: leave it out"
        )
    if recipe.mix is not None and recipe.mix.last >= subject.num_layers:
        raise UserError(
            f"--mix {recipe.mix}: {subject.ckpt} has layers 0 to {subject.num_layers - 1}"
        )
    for move in recipe.moves:
        if subject.directions is None:
            raise UserError(
                f"--move {move.name} needs --directions FILE: stylegan-eval directions makes one"
            )
        if move.name not in subject.attributes:
            known = ", ".join(subject.attributes)
            raise UserError(f"--move {move.name}: the directions are those of {known}")
    if recipe.number is not None and subject.classes == 0:
        raise UserError(f"{subject.ckpt} is unconditional: leave --class out")
    if recipe.number is not None and recipe.number >= subject.classes:
        raise UserError(
            f"{subject.ckpt} knows classes 0 to {subject.classes - 1}, not {recipe.number}"
        )
    if recipe.number is None and subject.classes and subject.painter.label_rows is None:
        raise UserError(
            f"{subject.ckpt} holds no labels to draw from: choose --class 0 to"
            f" {subject.classes - 1}"
        )


def ws_of(recipe: Recipe, subject: Subject) -> Tensor:
    """Rows of w that a recipe draws from, [1, L, D].

    Each latent is truncated, then layers are exchanged, then all rows are moved. Truncation goes
    by layer and so may come before mixing or after. Moves come last, or psi would shorten them: a
    move of 1 is the same distance in W for every psi.
    """
    ws = _truncated(recipe.seed, recipe, subject)
    if recipe.mix is not None:
        layers = torch.arange(ws.shape[1], device=ws.device)[None, :, None]  # [1, L, 1]
        taken = (layers >= recipe.mix.first) & (layers <= recipe.mix.last)
        ws = torch.where(taken, _truncated(recipe.mix.seed, recipe, subject), ws)
    for move in recipe.moves:
        ws = ws + move.amount * subject.steps[move.name]
    return ws


def _truncated(seed: int, recipe: Recipe, subject: Subject) -> Tensor:
    painter = subject.painter
    z = latents(0, [seed], painter.network.z_dim).to(painter.device)
    labels = painter.labels(z)
    if recipe.number is not None:
        labels = torch.eye(subject.classes, device=z.device)[[recipe.number]]
    return painter.truncated(painter.mapped(z, labels), recipe.psi, recipe.cutoff)


def draw_recipe(recipe: Recipe, subject: Subject) -> NDArray[np.uint8]:
    """Draw one image, repeated to the full size where the network is still growing.

    Noise maps of a noise seed s are those of the first image of a batch of seed s. Returns uint8
    [H, W, C].
    """
    check_fits(recipe, subject)
    painter = subject.painter
    noise = painter.noise(recipe.noise, recipe.noise_seed)
    return next(painter.images(ws_of(recipe, subject), noise))
