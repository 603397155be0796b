"""Option types and options that the sampling commands share."""

import csv
import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import click

from stylegan.sample.layers import parse_layers
from stylegan.sample.recipe import (
    CLASS,
    CLASS_HELP,
    CUTOFF,
    NOISE,
    GeneratorSource,
    Noise,
    Recipe,
    idle_seed,
    parse_digest,
)
from stylegan_eval.engine.command import refuse_typed, typed_arguments, typed_names
from stylegan_eval.engine.options import (
    NPY,
    PNG,
    PSI,
    SEED,
    NetworkPath,
    Number,
    Parsed,
    options_of,
)
from stylegan_eval.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])
ckpt = click.option(
    "--ckpt",
    required=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network.",
)
device = click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N.")
lod = click.option(
    "--lod",
    type=Number(min=0),
    help="Level of detail, 0 is full size.  [default: what the checkpoint was trained to]",
)
psi = click.option("--psi", type=PSI, default=1.0, help="Truncation psi; 1 disables truncation.")
cutoff = click.option(
    "--cutoff",
    type=click.IntRange(min=0),
    default=CUTOFF,
    help="Number of first layers that are truncated.",
)
class_ = click.option(
    "--class",
    "number",
    type=CLASS,
    metavar="K|NAME",
    help=CLASS_HELP,
)
noise = click.option("--noise", type=click.Choice(NOISE), default="fixed", help="Noise inputs.")
batch = click.option("--batch", type=click.IntRange(min=1), default=16, help="Images per batch.")
seed_of_noise = click.option("--seed", type=SEED, default=0, help="Seed of --noise random.")


def ws(text: str) -> Callable[[F], F]:
    """Add the option --ws, which may be repeated; the command gets its argument `saved`."""
    return click.option(
        "--ws",
        "saved",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help=f"{text}: .npy of w [N, layers, w_dim] (`project --save`), or NVIDIA's projected_w.npz"
        " (array w). May be repeated.",
    )


def refuse_beside(option: str, *names: str) -> None:
    """Refuse other options, by their parameters, that say what this option says."""
    refuse_typed(names, f"and {option}: give one of them")


def check_noise(noise: Noise, seed: str = "noise_seed") -> None:
    """Refuse the parameter `seed` of noise that is not random."""
    if noise != "random":
        refuse_typed((seed,), idle_seed(noise))


def check_cutoff(psi: float) -> None:
    """Refuse --cutoff where nothing is truncated, unless --psi 1 is typed, as in a sweep of psi."""
    if psi == 1 and "psi" not in typed_names():
        refuse_typed(("cutoff",), "is for --psi: give --psi too, or leave --cutoff out")


def recipe_of(values: Mapping[str, Any], *, saved: bool) -> Recipe:
    """Recipe of the running command's options, of which none is without effect.

    `saved`: a file of --ws takes the place of the seed.
    """
    if saved:
        refuse_beside("--ws", "seed", "seeds")
    else:
        refuse_typed(("row",), "is for --ws FILE: leave it out without --ws")
    if not values["moves"]:
        refuse_typed(("directions",), "is for --move: leave it out without --move")
    check_noise(values["noise"])
    check_cutoff(values["psi"])
    return Recipe(**values)


scale = click.option(
    "--scale", type=click.IntRange(1, 64), default=1, help="Enlarge by repeating pixels."
)
labels = click.option("--labels", is_flag=True, help="Write seeds (and psi) beside the images.")
out_png = click.argument("out", type=PNG)
out_npy = click.argument("out", type=NPY)
Seeding = Literal["grid", "official"]


def source(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a `GeneratorSource`, which the command gets as its argument `source`."""

    # click calls commands by the names of their options.
    @functools.wraps(command)
    def wrapped(
        *,
        ckpt: Path,
        number: int | str | None,
        lod: float | None,
        batch: int,
        device: str,
        **others: Any,
    ) -> None:
        command(
            source=GeneratorSource(ckpt=ckpt, number=number, lod=lod, batch=batch, device=device),
            **others,
        )

    for option in (device, batch, lod, class_, ckpt):  # the last stands first in the help
        option(wrapped)
    return wrapped


def command_line() -> str:
    """The running command as it was typed, for the text of what it writes; empty outside of one."""
    words = typed_arguments()
    return shlex.join(["stylegan-sample", *words]) if words else ""


seeding = click.option(
    "--seeding",
    type=click.Choice(get_args(Seeding)),
    default="grid",
    help="Latent of a seed: that of `grid`, or that of the official scripts (RandomState).",
)
noise_seed = click.option("--noise-seed", type=SEED, default=0, help="Seed of random noise.")


LAYERS = Parsed("layers", parse_layers)  # 'coarse', 'middle', 'fine', 'all', 'none', '4-7' or '5'


class CommaList(click.ParamType[tuple[Any, ...]]):
    """One or more values of a type, with commas between."""

    name = "list"

    def __init__(self, item: click.ParamType[Any], count: int | None = None) -> None:
        self.item = item
        self.count = count

    def convert(
        self,
        value: str | tuple[Any, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[Any, ...]:
        """Read them."""
        if not isinstance(value, str):
            return value
        try:  # quoted as in a CSV, so that a word may have a comma
            words = next(csv.reader([value], skipinitialspace=True, strict=True), [""])
        except csv.Error as error:
            self.fail(f"{value!r:.60}: {error}: expected quotes around a whole word", param, ctx)
        if self.count not in (None, len(words)):
            self.fail(f"{value!r} has {len(words)} values: expected {self.count}", param, ctx)
        return tuple(self.item.convert(word.strip(), param, ctx) for word in words)


classes = click.option(
    "--classes",
    type=CommaList(CLASS),
    metavar="NAME,NAME,...|all",
    help="Classes of a conditional network, by name or number; a name with a comma in quotes:"
    """ 'cat,"salt, pepper"'.""",
)


def check_classes(classes: Sequence[int | str] | None, source: GeneratorSource) -> None:
    """Refuse both one class and several."""
    if classes and source.number is not None:
        raise click.UsageError("--class is one class and --classes are several: leave one out")


def with_commas(values: tuple[object, ...]) -> str:
    """Write values as an option takes them.

    >>> with_commas((1.0, 0.7, -0.5))
    '1,0.7,-0.5'
    """
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def add_settings(command: click.Command, settings: type) -> None:
    """Give a command the options of a settings class, before its argument OUT."""
    at = [param.name for param in command.params].index("out")
    command.params[at:at] = options_of(settings)


directions_option = click.option(
    "--directions",
    type=click.Path(path_type=Path),
    metavar="FILE|components",
    help="Directions to move along, of `stylegan-eval directions`; or `components`: the principal"
    " components of w, pc1, pc2, ..., found anew.  [default: demo's own for demo]",
)


def read_words(
    what: str, words: str | Sequence[str], params: Sequence[click.Parameter]
) -> click.Context:
    """Read options outside of a command line; `what` they make is named in errors."""
    try:
        split = shlex.split(words) if isinstance(words, str) else [*words]
    except ValueError as error:  # quotes that do not end
        raise UserError(f"{words!r:.60} is no {what}: {error}") from error
    command = click.Command(what, params=[*params], add_help_option=False)
    try:
        return command.make_context(what, split)
    except click.UsageError as error:
        raise UserError(error.format_message()) from error


def parse_recipe(words: str | Sequence[str]) -> Recipe:
    """Read the words of a recipe, as `Recipe.words` has them."""
    held = click.Option(["--ws", "saved"], type=Parsed("digest", parse_digest))
    return Recipe(**read_words("recipe", words, [*options_of(Recipe), held]).params)
