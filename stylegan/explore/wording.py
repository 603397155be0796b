"""Recipes in the words of an address."""

import re
import shlex
from collections.abc import Iterable
from contextlib import suppress

from stylegan.explore.findings import find_components
from stylegan.explore.studio import Studio
from stylegan.sample.directions import is_component
from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe, class_word
from stylegan_eval.errors import UserError


def opening_recipe(subject: OpenedGenerator) -> Recipe:
    """The recipe that pages begin with: of the first class, where there are no labels to draw."""
    painter = subject.painter
    if not subject.classes or painter.label_rows is not None:
        return Recipe()
    return Recipe(number=class_word(0, painter.label_names))


def text_of(recipe: Recipe) -> str:
    """A recipe as the address has it."""
    return shlex.join(recipe.words())


def leading(option: str, words: str) -> tuple[str, str]:
    """Value of an option that may stand before a recipe, "" where it does not; and the rest.

    >>> leading("--times", "--times 4 --seed 1"), leading("--times", "--seed 1")
    (('4', '--seed 1'), ('', '--seed 1'))
    """
    found = re.fullmatch(rf"{option} (\S+) ?(.*)", words)
    return (found[1], found[2]) if found else ("", words)


async def recipe_of(words: str, studio: Studio) -> Recipe:
    """The recipe of an address or of the browser's storage; UserError where it cannot be drawn.

    One that moves along components has them found, as after a new start of the server.
    """
    recipe = _parsed(words)
    if any(is_component(move.name) for move in recipe.moves) and studio.subject.painter.maps:
        await find_components(studio)
    check_fits(recipe, studio.subject)
    if recipe.saved:
        studio.held.get(recipe.saved)
    return recipe


def shared_recipe(words: str, subjects: Iterable[OpenedGenerator]) -> Recipe:
    """The recipe of an address that all of some networks draw; UserError where one cannot."""
    recipe = _parsed(words)
    check_shared(recipe)
    for subject in subjects:
        check_fits(recipe, subject)
    return recipe


def check_shared(recipe: Recipe) -> None:
    """Refuse what is of one network alone, and is something else in another."""
    if recipe.moves:
        raise UserError("directions are of one network: leave --move out for several")
    if recipe.saved:
        raise UserError("a w is of one network: leave --ws out for several")


def _parsed(words: str) -> Recipe:
    try:
        return parse_recipe(shlex.split(words))
    except ValueError as error:  # quotes that do not end
        raise UserError(f"{words!r:.60} is no recipe: {error}") from error


async def readable(words: str, studio: Studio) -> Recipe | None:
    """As `recipe_of`; None where it cannot be drawn."""
    with suppress(UserError):
        return await recipe_of(words, studio)
    return None
