"""`stylegan-sample project`, `combine` and `inside`: w of a photograph, sums of moves, layers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.options import directions_option
from stylegan.sample.recipe import GeneratorSource, Move, Recipe
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.engine.command import ErrorLineCommand, say
from stylegan_eval.engine.options import CSV, FILE, NPY, PNG, SAFETENSORS, options_of

if TYPE_CHECKING:
    from stylegan.sample.painter import Painter
    from stylegan.sample.projection import Pixels, Projected


@click.command("project", cls=ErrorLineCommand)
@options.ckpt
@options.class_
@options.lod
@options.device
@click.option("--weights", type=FILE, help="VGG16 of torchvision, for --distance lpips-vgg.")
@click.option(
    "--save",
    type=NPY,
    metavar="WS.npy",
    help="Write the w found, float32 [1, layers, w_dim], for export --ws.",
)
@click.argument("image", type=FILE)
@click.argument("out", type=PNG)
def project_command(
    image: Path, out: Path, save: Path | None, weights: Path | None, **values: Any
) -> None:
    """Find the w whose image is nearest to IMAGE, and show both in the PNG file OUT.

    By gradient descent from the mean of W on a perceptual distance and a little of the difference
    of pixels; OUT shows target, projection and start beside each other. Noise inputs are those
    stored in the network. The distance sees grey as three equal channels and alpha over white.

    \b
    stylegan-sample project --ckpt demo --space w+ face.png projected.png
    """
    from stylegan.png import save_png, write_npy
    from stylegan.sample import projection
    from stylegan.sample.painter import open_painter
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.engine.progress import progress_bar

    source = GeneratorSource(
        **{key: values.pop(key) for key in ("ckpt", "number", "lod", "device")}
    )
    settings = ProjectionSettings(**values)
    for path in (out, save):
        if path is not None:
            check_writable(path)
    painter = open_painter(source)
    pixels = projection.read_square(image, painter.network.config.num_channels)
    size = projection.drawn_size(painter, settings.distance)
    origin = projection.centre(painter)
    if changed := projection.fit_note(pixels, size):
        say(f"note: {image} is {changed}", err=True)
    pixels = projection.fitted(pixels, size)
    aim = projection.aim_at(pixels, painter, settings, weights)
    with progress_bar(desc="project", total=settings.steps, unit="step") as bar:

        def watch(steps: int, least: float) -> None:
            bar.set_postfix(distance=f"{least:.4f}", refresh=False)
            bar.update(steps)

        start, best = projection.project(aim, origin, settings, watch)
    picture = side_by_side(painter, pixels, start, best)
    if save is not None:
        write_npy(save, best.ws.cpu().numpy())
    save_png(out, picture, options.command_line())
    say(table(start, best, settings.distance))
    for path in (out, save):
        if path is not None:
            click.echo(path)


def side_by_side(
    painter: "Painter", pixels: "Pixels", start: "Projected", best: "Projected"
) -> "Pixels":
    """Target [C, S, S], projection and start beside each other: [S, W, C]."""
    import torch

    from stylegan.sample.canvas import table as cells
    from stylegan_eval.engine.sampling import to_uint8

    (drawn,) = painter.native(torch.cat([best.ws, start.ws]), painter.stored_noise())
    images = to_uint8(drawn).permute(0, 2, 3, 1).cpu().numpy()  # [2, S, S, C]
    return cells([[pixels.transpose(1, 2, 0), *images]], gap=max(pixels.shape[1] // 32, 1))


def table(start: "Projected", best: "Projected", distance: str) -> str:
    """Distances from the target, in two lines under a header."""
    width = max(len(distance), 8)
    lines = [f"{'':10}  {distance:>{width}}  mean square of pixels"]
    lines += [
        f"{name:10}  {place.perceived:{width}.4f}  {place.pixels:21.4f}"
        for name, place in (("mean of W", start), ("projection", best))
    ]
    return "\n".join(lines)


project_command.params += options_of(ProjectionSettings)


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
    from stylegan.sample.directions import combined, covariance_in, sample_of
    from stylegan.sample.drawing import check_fits, open_source
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.results.directions_file import write_directions

    if not moves:
        raise click.UsageError("there is no move to save: give --move NAME=AMOUNT")
    check_writable(out)
    source = GeneratorSource(ckpt=ckpt, directions=directions, device=device)
    subject = open_source(source, moves=True)
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
    from stylegan.sample.directions import sample_of
    from stylegan.sample.drawing import open_source, saved_ws
    from stylegan.sample.inside import look_inside, table, write_table
    from stylegan_eval.engine.files import check_writable

    if len(saved) > 1:
        raise click.UsageError("--ws more than once: an image is drawn from one w")
    recipe = options.recipe_of(values, saved=bool(saved))
    if csv is not None:
        check_writable(csv)
    source = GeneratorSource(ckpt=ckpt, directions=directions, device=device)
    subject = open_source(source, moves=bool(recipe.moves))
    start = saved_ws(subject, saved[0], row) if saved else None
    figures = look_inside(recipe, subject, sample_of(subject.painter), start)
    say(table(figures))
    if csv is not None:
        write_table(csv, figures)


inside_command.params[1:1] = options_of(Recipe)
