"""Directions in W of one network: of a file, its principal components, sums of moves."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.opening import DEMO, demo_directions_path
from stylegan.sample.layers import range_word
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import Move
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.components import (
    Floats,
    as_directions,
    covariance_of,
    principal_components,
    sampled_w,
    spread_along,
)
from stylegan_eval.results.directions_file import Directions, Span, check, read_directions
from stylegan_eval.settings.others import ComponentsSettings

COMPONENTS = Path("components")
"""Value of --directions in place of a file: the network's own components, computed anew."""
SETTINGS = ComponentsSettings()  # Of the latents by which components and spreads are found


def directions_path(ckpt: Path, named: Path | None) -> Path | None:
    """File of a network's directions: that which the user named, or the package's for its own."""
    return demo_directions_path() if named is None and ckpt == Path(DEMO) else named


def directions_of(painter: Painter, path: Path, named: Path, description: str) -> Directions:
    """Directions of a file, or `COMPONENTS`, of the network of the file `path`.

    Those of another W would be directions at random, with false names.
    """
    if not painter.maps:
        raise UserError(
            f"{path} has no mapping network, so no W for {named}: leave out --directions"
        )
    if named == COMPONENTS:
        covariance = covariance_in(sample_of(painter), path)
        return components_of(covariance, sha256_of(path), description)
    directions, digest = read_directions(named), sha256_of(path)
    width, w_dim = directions.normals.shape[1], painter.network.config.w_dim
    if width != w_dim:
        raise UserError(f"{named} holds directions of {width} numbers, w_dim of {path} is {w_dim}")
    if directions.generator_digest != digest:
        raise UserError(
            f"{named} is of the network with sha256 {directions.generator_digest[:12]}, this one"
            f" has {digest[:12]}: make its own with stylegan-eval directions"
        )
    last = painter.network.num_ws - 1
    for name, span in directions.spans.items():
        if span is not None and span[1] > last:
            raise UserError(
                f"{named} has {name} move layers {span[0]}-{span[1]}, and {path} has 0-{last}"
            )
    return directions


def is_component(name: str) -> bool:
    """Whether it is a name of a principal component.

    >>> is_component("pc1"), is_component("pc01"), is_component("smiling")
    (True, False, False)
    """
    return re.fullmatch(r"pc[1-9][0-9]{0,3}", name) is not None


def sample_of(painter: Painter) -> NDArray[np.float32] | None:
    """W [N, D] of the latents of `SETTINGS` with their labels; None without W or labels."""
    unlabelled = painter.network.config.label_size and painter.label_rows is None
    if unlabelled or not painter.maps:
        return None

    def mapping(z: Tensor) -> Tensor:
        return painter.mapped(z, painter.labels(z))

    return sampled_w(mapping, painter.network.z_dim, SETTINGS, painter.device)


def covariance_in(w: NDArray[np.float32] | None, path: Path) -> Floats:
    """Covariance [D, D] of the `sample_of` a network with W, of the file `path`."""
    if w is None:
        raise UserError(
            f"{path} holds no labels to draw from, so it is not known where its w lie: use a"
            " checkpoint or network file that has them"
        )
    return covariance_of(w)


def components_of(covariance: Floats, digest: str, description: str) -> Directions:
    """The principal components of a network, as `stylegan-eval directions --components` has them.

    Fewer where w has fewer numbers than there are to be. `digest`: SHA-256 of the network's file.
    """
    count = min(SETTINGS.components, len(covariance))
    found = principal_components(covariance, count)
    settings = replace(SETTINGS, components=count)
    return as_directions(found, settings, description, digest)


def steps_of(directions: Directions, device: torch.device) -> dict[str, Tensor]:
    """A move of 1 along each direction, [D], by name: one standard deviation of w."""
    steps = torch.from_numpy(directions.normals * directions.spreads[:, None])  # [A, D]
    return dict(zip(directions.names, steps.to(device), strict=True))


def combined(
    moves: Sequence[Move], directions: Directions, name: str, covariance: Floats
) -> tuple[Directions, Move]:
    """The directions with the sum of moves as a further one, and the move along it that is the sum.

    It has the layers of the moves, which must be the same of all.
    """
    if not moves:
        raise UserError("there is no move to save: move along a direction first (--move)")
    if name in directions.names:
        raise UserError(f"there is a direction named {name} already: choose another name")
    normals = dict(zip(directions.names, directions.normals.astype(np.float64), strict=True))
    spreads = dict(zip(directions.names, directions.spreads.astype(np.float64), strict=True))
    total = sum(move.amount * spreads[move.name] * normals[move.name] for move in moves)  # [D]
    length = float(np.linalg.norm(total))
    if not length > 0:
        raise UserError("the moves cancel each other: there is no direction to save")
    normal = total / length
    spread = spread_along(normal, covariance)
    if not spread > 0:
        raise UserError("w does not vary along the sum of these moves: there is nothing to save")
    made = replace(
        directions,
        names=(*directions.names, name),
        normals=np.concatenate([directions.normals, normal[None].astype(np.float32)]),
        spreads=np.append(directions.spreads, np.float32(spread)),
        accuracies=np.append(directions.accuracies, np.float32(np.nan)),
        layers=(*directions.spans.values(), _shared_layers(moves, directions)),
        about=(*directions.remarks.values(), " + ".join(map(str, moves))),
    )
    try:
        check(made)
    except ValueError as error:
        raise UserError(f"{name!r:.60} is no name of a direction: {error}") from error
    return made, Move(name=name, amount=float(length / spread))


def _shared_layers(moves: Sequence[Move], directions: Directions) -> Span | None:
    """First and last layer of all moves; None is all."""
    spans = [span_of(move, directions) for move in moves]
    for move, span in zip(moves, spans, strict=True):
        if span != spans[0]:
            raise UserError(
                f"{moves[0].name} moves {_in_words(spans[0])}, {move.name} moves"
                f" {_in_words(span)}: a direction has one range, so give all moves the same"
            )
    return spans[0]


def span_of(move: Move, directions: Directions) -> Span | None:
    """First and last layer of a move: its own, else those of its direction; None is all."""
    if move.layers is not None:
        return move.layers[0], move.layers[-1]
    return directions.spans[move.name]


def _in_words(span: Span | None) -> str:
    return "all layers" if span is None else f"layers {range_word(range(span[0], span[1] + 1))}"
