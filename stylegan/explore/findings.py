"""What is computed of a network for its pages, when no image is being drawn."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from stylegan.explore.studio import Studio
from stylegan.explore.uploads import file_name_of
from stylegan.sample.directions import COMPONENTS, combined, components_of, covariance_in
from stylegan.sample.inside import LayerFigures, look_inside
from stylegan.sample.recipe import Move, Recipe
from stylegan_eval.results.directions_file import Directions


async def find_components(studio: Studio) -> None:
    """Give a network without directions its principal components, for all pages."""
    subject = studio.subject

    def find() -> Directions:
        covariance = covariance_in(studio.sample, subject.file)
        return components_of(covariance, studio.network, subject.description)

    if subject.directions is None:
        found = await studio.compute(find)
        studio.subject = replace(subject, directions=found)
        studio.source = replace(studio.source, directions=COMPONENTS)


async def sum_of_moves(studio: Studio, moves: Sequence[Move], name: str) -> tuple[Directions, Move]:
    """The directions of the network and the sum of moves; see `directions.combined`."""
    subject = studio.subject
    assert subject.directions is not None
    directions = subject.directions

    def combine() -> tuple[Directions, Move]:
        return combined(moves, directions, name, covariance_in(studio.sample, subject.file))

    return await studio.compute(combine)


async def inside_of(studio: Studio, recipe: Recipe) -> list[LayerFigures]:
    """What the layers do for the image of a recipe."""

    def look() -> list[LayerFigures]:
        return look_inside(recipe, studio.subject, studio.sample, studio.start_of(recipe))

    return await studio.compute(look)


def inside_command(studio: Studio, recipe: Recipe) -> str:
    """Command line that prints what `inside_of` gives."""
    words = recipe.words()
    if recipe.saved:
        words[1] = file_name_of(recipe.saved)
    return shlex.join([*studio.source.start("inside", moves=bool(recipe.moves)), *words])


def named_ckpt(studio: Studio) -> str:
    """The network as a command names it."""
    words = studio.source.start("")
    return words[words.index("--ckpt") + 1]
