"""Recipes in the words of an address."""

import shlex
from contextlib import suppress

from stylegan.explore.findings import find_components
from stylegan.explore.studio import Studio
from stylegan.sample.directions import is_component
from stylegan.sample.drawing import check_fits
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError


def text_of(recipe: Recipe) -> str:
    """A recipe as the address has it."""
    return shlex.join(recipe.words())


async def recipe_of(words: str, studio: Studio) -> Recipe:
    """The recipe of an address or of the browser's storage; UserError where it cannot be drawn.

    One that moves along components has them found, as after a new start of the server.
    """
    try:
        recipe = parse_recipe(shlex.split(words))
    except ValueError as error:  # quotes that do not end
        raise UserError(f"{words!r:.60} is no recipe: {error}") from error
    if any(is_component(move.name) for move in recipe.moves) and studio.subject.painter.maps:
        await find_components(studio)
    check_fits(recipe, studio.subject)
    if recipe.saved:
        studio.held.get(recipe.saved)
    return recipe


async def readable(words: str, studio: Studio) -> Recipe | None:
    """As `recipe_of`; None where it cannot be drawn."""
    with suppress(UserError):
        return await recipe_of(words, studio)
    return None
