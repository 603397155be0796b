"""`stylegan-sample combine` and `inside`: sums of moves in W, and what w and noise do by layer."""

from pathlib import Path
from typing import Any

import click

from stylegan.sample import options
from stylegan.sample.options import directions_option
from stylegan.sample.recipe import Move, Recipe
from stylegan_eval.engine.command import ErrorLineCommand, say
from stylegan_eval.engine.options import CSV, SAFETENSORS, options_of


@click.command("combine", cls=ErrorLineCommand)
@options.ckpt
@directions_option
@click.option("--name", required=True, help="Name of the new direction.")
@options.device
@click.argument("out", type=SAFETENSORS)
def combine_command(
    ckpt: Path,
    directions: Path | None,
    moves: tuple[Move, ...],
    name: str,
    device: str,
    out: Path,
) -> None:
    """Save the sum of moves as a new direction, in the file OUT beside those that it is made of.

    \b
    stylegan-sample combine --ckpt demo --move hat=1 --move beard=1 --name both both.safetensors
    stylegan-sample image --ckpt demo --directions both.safetensors --move both=2 both.png

    A range of layers is kept where all moves have the same; else they are refused.
    """
    from stylegan.runtime import Runtime
    from stylegan.sample.directions import combined, covariance_in, directions_path, sample_of
    from stylegan.sample.drawing import check_fits, open_generator
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.results.directions_file import write_directions

    if not moves:
        raise click.UsageError("there is no move to save: give --move NAME=AMOUNT")
    check_writable(out)
    named = directions_path(ckpt, directions)
    subject = open_generator(ckpt, Runtime.choose(device).device, named)
    # Any class will do: no image is drawn.
    check_fits(Recipe(moves=moves, number=0 if subject.classes else None), subject)
    assert subject.directions is not None
    covariance = covariance_in(sample_of(subject.painter), subject.file)
    made, move = combined(moves, subject.directions, name, covariance)
    write_directions(out, made)
    say(f"--move {move.name}={move.amount:.4g} is the sum of these moves")
    click.echo(out)


combine_command.params[2:2] = [each for each in options_of(Recipe) if each.name == "moves"]


@click.command("inside", cls=ErrorLineCommand, context_settings={"show_default": True})
@options.ckpt
@directions_option
@options.device
@options.ws("Instead of --seed: look at FILE")
@click.option("--row", type=click.IntRange(min=0), default=0, help="Row of FILE, with --ws.")
@click.option("--csv", type=CSV, help="Also write the table to this file.")
def inside_command(
    ckpt: Path,
    directions: Path | None,
    device: str,
    saved: tuple[Path, ...],
    row: int,
    csv: Path | None,
    **values: Any,
) -> None:
    """Print what each layer does for one image: activations, noise, and how far its w lies.

    \b
    stylegan-sample inside --ckpt demo --seed 5
    stylegan-sample inside --ckpt demo --seed 5 --psi 0.7 --csv inside.csv

    Activation and noise are standard deviations over the pixels of a map (root mean square over
    channels), before noise is added; share is noise over activation; distance is that of the
    layer's w from w_avg, where 1 is the mean distance.
    """
    from stylegan.runtime import Runtime
    from stylegan.sample.directions import directions_path, sample_of
    from stylegan.sample.drawing import open_generator, saved_ws
    from stylegan.sample.inside import look_inside, table, write_table
    from stylegan_eval.engine.files import check_writable

    recipe = Recipe(**values)
    if len(saved) > 1:
        raise click.UsageError("--ws more than once: an image is drawn from one w")
    if saved:
        options.refuse_beside("--ws", "seed")
    if csv is not None:
        check_writable(csv)
    needed = directions_path(ckpt, directions) if recipe.moves else None
    subject = open_generator(ckpt, Runtime.choose(device).device, needed)
    start = saved_ws(subject, saved[0], row) if saved else None
    figures = look_inside(recipe, subject, sample_of(subject.painter), start)
    say(table(figures))
    if csv is not None:
        write_table(csv, figures)


inside_command.params[1:1] = options_of(Recipe)
