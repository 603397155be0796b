"""The options of a command that draws one image, and the recipe that they say."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from stylegan.draw import options
from stylegan.recipe import Mix, Move, Noise, Recipe
from stylegan_eval.errors import UserError

# At most 19 digits: Python refuses to read numbers of thousands.
_MIX = re.compile(r"([0-9]{1,19}):([0-9]{1,4})(?:-([0-9]{1,4}))?")
F = TypeVar("F", bound=Callable[..., Any])


class MixType(click.ParamType[Mix]):
    """'8:4-7': seed 8 in layers 4 to 7; '8:4' in one layer."""

    name = "seed:layers"

    def convert(
        self, value: str | Mix, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mix:
        """Read seed and layers."""
        if isinstance(value, Mix):
            return value
        match = _MIX.fullmatch(value)
        if match is None:
            self.fail(f"{value!r:.60} is not a seed and layers such as 8:4-7", param, ctx)
        seed, first, last = match.groups()
        return Mix(seed=int(seed), first=int(first), last=int(last or first))


class MoveType(click.ParamType[Move]):
    """'eyeglasses=1.5': the attribute, and how many standard deviations."""

    name = "attribute=amount"

    def convert(
        self, value: str | Move, param: click.Parameter | None, ctx: click.Context | None
    ) -> Move:
        """Read name and amount."""
        if isinstance(value, Move):
            return value
        name, _, amount = value.rpartition("=")
        try:
            return Move(name=name, amount=float(amount))
        except ValueError:
            self.fail(f"{value!r} is not an attribute and a number such as smiling=1.5", param, ctx)


OPTIONS = (
    click.option("--seed", type=int, default=0, help="Latent: image SEED of `grid --seeds`."),
    options.psi,
    options.cutoff,
    click.option(
        "--mix",
        type=MixType(),
        metavar="SEED:FIRST-LAST",
        help="Draw these layers, the first being 0, from another latent.",
    ),
    options.noise,
    click.option("--noise-seed", type=int, default=0, help="Seed of --noise random."),
    click.option(
        "--move",
        "moves",
        type=MoveType(),
        multiple=True,
        metavar="NAME=AMOUNT",
        help="Move along an attribute, in standard deviations of w. May be repeated.",
    ),
    options.class_,
)
directions_option = click.option(
    "--directions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Attributes to move along, of `stylegan-eval directions`.  [default: demo's own for demo]",
)


def recipe_options(command: F) -> F:
    """Give a click command the options of a recipe."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def recipe_of(
    seed: int,
    psi: float,
    cutoff: int,
    mix: Mix | None,
    noise: Noise,
    noise_seed: int,
    moves: tuple[Move, ...],
    number: int | None,
) -> Recipe:
    """Recipe that the values of `OPTIONS` say; see `Recipe`."""
    return Recipe(
        seed=seed,
        psi=psi,
        cutoff=cutoff,
        mix=mix,
        noise=noise,
        noise_seed=noise_seed,
        moves=moves,
        number=number,
    )


def parse_recipe(words: Sequence[str]) -> Recipe:
    """Read the words of a recipe, as `Recipe.words` has them.

    Raises
    ------
    UserError
        They are none.
    """
    command = recipe_options(click.Command("recipe", callback=recipe_of, add_help_option=False))
    try:
        with command.make_context("recipe", list(words)) as context:
            return cast(Recipe, command.invoke(context))
    except click.UsageError as error:
        raise UserError(error.format_message()) from error
