"""Recipes in the words of an address."""

import shlex

from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError


def text_of(recipe: Recipe) -> str:
    """A recipe as the address has it."""
    return shlex.join(recipe.words())


def readable(words: str, subject: OpenedGenerator) -> Recipe | None:
    """The recipe of an address or of the browser's storage, if the network can draw it."""
    try:
        recipe = parse_recipe(shlex.split(words))
        check_fits(recipe, subject)
    except (UserError, ValueError):
        return None
    return recipe
