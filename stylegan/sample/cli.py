"""The command `stylegan-sample`: grid, image, images, combine, info, command and others."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.arrays_cli import export_command, scores_command
from stylegan.sample.figures_cli import figure_command, mixing_command
from stylegan.sample.film_cli import interpolate_command
from stylegan.sample.options import directions_option
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan.sample.w_cli import combine_command, inside_command, project_command
from stylegan_eval.engine.command import ErrorLineCommand, ErrorLineGroup, say
from stylegan_eval.engine.options import FILE, SeedRange, options_of
from stylegan_eval.engine.untrusted import one_line

if TYPE_CHECKING:
    from stylegan.snapshot import Snapshot


_MOST_COLUMNS = 100  # of a sheet with fewer images, whose last cells stay black


@click.command("grid", cls=ErrorLineCommand)
@options.source
@click.option("--seeds", type=SeedRange(), default="0-15", help="One image per seed.")
@click.option("--columns", type=click.IntRange(min=1), help="Images in a row.  [default: square]")
@options.classes
@options.psi
@options.cutoff
@options.noise
@options.scale
@options.labels
@options.out_png
def grid_command(
    source: GeneratorSource,
    seeds: list[int],
    columns: int | None,
    classes: tuple[int | str, ...] | None,
    psi: float,
    cutoff: int,
    noise: str,
    scale: int,
    labels: bool,
    out: Path,
) -> None:
    """Write a sheet of images to the PNG file OUT.

    The latent of seed s is that of image s of `stylegan-eval --seed 0`. With --classes there is a
    row for each class, all of the same latents.

    \b
    stylegan-sample grid --ckpt runs/pets --classes cat,dog --seeds 0-7 pets.png
    """
    import math

    from stylegan.png import save_png
    from stylegan.sample.canvas import captioned, enlarged
    from stylegan.sample.folder import drawn_seeds, laid_out
    from stylegan.sample.painter import class_numbers, open_painter
    from stylegan.sample.recipe import class_word

    options.check_classes(classes, source)
    options.check_cutoff(psi)
    if classes and columns:
        raise click.UsageError("--classes makes a column of each of --seeds: leave --columns out")
    if columns and columns > max(len(seeds), _MOST_COLUMNS):
        raise click.UsageError(
            f"--columns {columns} for {len(seeds)} images: use --columns {len(seeds)} or less"
        )
    painter = open_painter(source)
    drawn, rows, texts = seeds, None, list(map(str, seeds))
    if classes:
        numbers = class_numbers(classes, painter, source.ckpt)
        rows = painter.one_hot([number for number in numbers for _ in seeds])
        drawn, columns = seeds * len(numbers), len(seeds)
        words = [class_word(number, painter.label_names) for number in numbers]
        texts = [one_line(f"{word} {seed}") for word in words for seed in seeds]
    images = drawn_seeds(painter, drawn, rows, psi=psi, cutoff=cutoff, noise=noise)
    cells = [
        captioned(image, text, scale) if labels else enlarged(image, scale)
        for text, image in zip(texts, images, strict=True)
    ]
    sheet = laid_out(cells, columns or math.ceil(math.sqrt(len(seeds))))
    save_png(out, sheet, options.command_line())
    click.echo(out)


@click.command("image", cls=ErrorLineCommand, context_settings={"show_default": True})
@options.ckpt
@directions_option
@options.device
@options.ws("Instead of --seed: draw from FILE")
@click.option("--row", type=click.IntRange(min=0), default=0, help="Row of FILE, with --ws.")
@options.scale
@options.out_png
def image_command(
    ckpt: Path,
    directions: Path | None,
    device: str,
    saved: tuple[Path, ...],
    row: int,
    scale: int,
    out: Path,
    **values: Any,
) -> None:
    """Write one image to the PNG file OUT, which says how it was made (`stylegan-sample command`).

    \b
    stylegan-sample image --ckpt demo --seed 5 --psi 0.7 face.png
    stylegan-sample image --ckpt demo --seed 5 --mix 8:4-7 --noise none mixed.png
    stylegan-sample image --ckpt demo --seed 5 --move eyeglasses=2 --move smiling=-1 moved.png
    stylegan-sample image --ckpt demo --ws projected_w.npz again.png

    Latents are truncated first, then mixed, then moved: a move of 1 is one standard deviation of w
    whatever psi. The page of stylegan-explore shows such commands.
    """
    from stylegan.png import save_png
    from stylegan.sample.canvas import enlarged
    from stylegan.sample.drawing import draw_recipe, open_source, saved_ws
    from stylegan_eval.engine.files import check_writable

    if len(saved) > 1:
        raise click.UsageError("--ws more than once: `images --ws` draws them into a folder")
    recipe = options.recipe_of(values, saved=bool(saved))
    check_writable(out)
    source = GeneratorSource(ckpt=ckpt, directions=directions, device=device)
    subject = open_source(source, moves=bool(recipe.moves))
    origin = (saved[0], row) if saved else None
    image = draw_recipe(recipe, subject, saved_ws(subject, *origin) if origin else None)
    command = source.command(recipe, out.name, saved=origin, scale=scale)
    save_png(out, enlarged(image, scale), command)
    click.echo(out)


image_command.params[1:1] = options_of(Recipe)


@click.command("images", cls=ErrorLineCommand, context_settings={"show_default": True})
@options.ckpt
@click.option("--seeds", type=SeedRange(), default="0-15", help="One file per seed.")
@options.ws("Instead of --seeds: one file per w of FILE")
@directions_option
@options.device
@options.batch
@options.scale
@click.option("--out", required=True, type=FILE, metavar="DIR", help="Folder of the files.")
def images_command(
    ckpt: Path,
    seeds: list[int],
    saved: tuple[Path, ...],
    directions: Path | None,
    device: str,
    batch: int,
    scale: int,
    out: Path,
    **values: Any,
) -> None:
    """Write a PNG for each seed into a folder: seed0000.png, seed0001.png, ...

    \b
    stylegan-sample images --ckpt demo --seeds 0-999 --psi 0.7 --out faces
    stylegan-sample images --ckpt demo --ws projected_w.npz --ws found.npy --out again

    Each file is what `stylegan-sample image` draws, and says by which command (`--batch 1` gives
    the same bits). With --noise random each has noise of its own, as in measurements: its seed is
    --noise-seed plus the image's seed (with --ws, its number). If it is stopped, the same command
    goes on; files of another one are refused.
    """
    from stylegan.sample.drawing import open_source
    from stylegan.sample.folder import write_images

    recipe = options.recipe_of(values, saved=bool(saved))
    source = GeneratorSource(ckpt=ckpt, directions=directions, device=device, batch=batch)
    subject = open_source(source, moves=bool(recipe.moves))
    kept = write_images(subject, source, recipe, saved or seeds, out, scale=scale)
    if kept:
        say(f"{kept} of the images were there already", err=True)
    if subject.has_noise and recipe.noise == "fixed":
        say("note: all files have the same noise: to measure them, use --noise random", err=True)
    click.echo(out)


images_command.params[3:3] = [each for each in options_of(Recipe) if each.name != "seed"]


@click.command("command", cls=ErrorLineCommand)
@click.argument("file", type=FILE, metavar="PNG")
def command_command(file: Path) -> None:
    """Print the command that made a PNG of stylegan-sample, from the text in the file."""
    from stylegan.png import texts_of
    from stylegan_eval.errors import UserError

    command, network = texts_of(file)
    if not command:
        raise UserError(
            f"{file} holds no command: expected a PNG of stylegan-sample that was not saved anew"
        )
    say(command)
    if network:
        say(f"sha256 of the network {network}", err=True)


@click.command("difference", cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--times", type=click.IntRange(1, 255), default=1, help="Enhance it by this factor.")
@click.argument("first", type=FILE, metavar="PNG")
@click.argument("second", type=FILE, metavar="PNG")
@options.out_png
def difference_command(times: int, first: Path, second: Path, out: Path) -> None:
    """Write the absolute difference of two PNGs to the PNG file OUT; black is none.

    \b
    stylegan-sample image --ckpt runs/a --seed 5 a.png
    stylegan-sample image --ckpt runs/b --seed 5 b.png
    stylegan-sample difference --times 4 a.png b.png difference.png

    Its mean and its PSNR are printed. The larger image is averaged over areas to the size of the
    smaller one; what is transparent counts as black. The view Compare of stylegan-explore shows it.
    """
    from stylegan.png import save_png
    from stylegan.sample.difference import difference, enlarged, in_words, read_png
    from stylegan_eval.engine.files import check_writable

    check_writable(out)
    levels = difference(*(read_png(file.read_bytes(), file) for file in (first, second)))
    save_png(out, enlarged(levels, times), options.command_line())
    say(in_words(levels))
    click.echo(out)


@click.command("info", cls=ErrorLineCommand)
@options.ckpt
def info_command(ckpt: Path) -> None:
    """Print what a file holds: networks, configuration, origin, and what it was measured to be.

    `stylegan-train --init CKPT --print-config` prints the whole configuration.
    """
    from stylegan.opening import open_networks

    for label, text in lines(*open_networks(ckpt)):
        say(one_line(f"{label:10s}{text}".rstrip()))


def lines(path: Path, snapshot: "Snapshot") -> Iterator[tuple[str, str]]:
    """Label and text of each line: what a snapshot says of its file."""
    from stylegan_eval.engine.files import sha256_of
    from stylegan_eval.images.labels import shortened
    from stylegan_eval.results.formatting import result_text

    config, provenance = snapshot.config, snapshot.provenance
    yield "file", str(path)
    yield "sha256", sha256_of(path)
    yield "format", snapshot.format
    yield "config", f"{config.name} ({config.change}), {config.resolution}x{config.resolution}"
    yield "trained", f"{snapshot.trained}, lod {snapshot.lod:.2f}"
    for name, state in sorted(snapshot.networks.items()):
        yield name, f"{sum(value.numel() for value in state.values()):,} numbers"
    if size := config.network.label_size:
        yield "classes", f"{size}, {shortened(snapshot.label_names, 40) or 'without names'}"
    yield "seed", str(provenance.seed)
    yield "data", provenance.data or "unknown"
    yield "computed", ", ".join(f"{how} from image {nimg}" for nimg, how in provenance.execution)
    yield "version", provenance.version
    if provenance.init:
        yield "init", provenance.init
    if snapshot.resume is not None:  # a checkpoint, which has no facts
        return
    facts = snapshot.facts
    yield "command", facts.command or "unknown"
    for score in facts.scores:
        yield "score", f"{score.metric} {result_text(score.value, score.stderr)}"
        yield "", f"$ {score.command}"
    if facts.note:
        yield "note", facts.note


@click.group(cls=ErrorLineGroup, context_settings={"show_default": True})
def main() -> None:
    """Generate images from a checkpoint, or score images.

    \b
    stylegan-sample grid --ckpt runs/f32 --seeds 0-15 --psi 0.7 grid.png
    stylegan-sample image --ckpt demo --seed 5 --psi 0.7 --mix 8:4-7 image.png
    stylegan-sample images --ckpt runs/f32 --seeds 0-999 --out samples
    stylegan-sample command image.png
    stylegan-sample combine --ckpt demo --move hat=1 --move beard=1 --name both both.safetensors
    stylegan-sample figure 3 --ckpt runs/f32 mixing.png
    stylegan-sample interpolate --ckpt runs/f32 --seeds 0-5 --loop walk.mp4
    stylegan-sample export --ckpt runs/f32 --latents z.npy images.npy
    stylegan-sample scores --ckpt runs/f32 --images images.npy scores.npy
    stylegan-sample info --ckpt demo
    """


for _command in (
    *(grid_command, image_command, images_command, figure_command, mixing_command),
    *(interpolate_command, export_command, scores_command, info_command, command_command),
    *(project_command, combine_command, inside_command, difference_command),
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
