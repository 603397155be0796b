"""`stylegan-sample image`: one image, by its recipe."""

from pathlib import Path

import click

from stylegan.recipe import Mix, Move, Noise
from stylegan.recipe_options import recipe_of, recipe_options
from stylegan_eval.command import ErrorLineCommand, NetworkPath


@click.command("image", cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--ckpt",
    required=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network.",
)
@recipe_options
@click.option(
    "--directions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Attributes of --move, of `stylegan-eval directions`.  [default: demo's own for demo]",
)
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N.")
@click.argument("out", type=click.Path(path_type=Path))
def image_command(
    ckpt: Path,
    seed: int,
    psi: float,
    cutoff: int,
    mix: Mix | None,
    noise: Noise,
    noise_seed: int,
    moves: tuple[Move, ...],
    number: int | None,
    directions: Path | None,
    device: str,
    out: Path,
) -> None:
    """Write one image to the PNG file OUT, which says how it was made.

    \b
    stylegan-sample image --ckpt demo --seed 5 --psi 0.7 face.png
    stylegan-sample image --ckpt demo --seed 5 --mix 8:4-7 --noise none mixed.png
    stylegan-sample image --ckpt demo --seed 5 --move eyeglasses=2 --move smiling=-1 moved.png

    Latents are truncated first, then mixed, then moved: a move of 1 is one standard deviation of w
    whatever psi. The page of stylegan-explore shows such commands.
    """
    from stylegan.recipe_png import Source, png_of
    from stylegan.runtime import Runtime
    from stylegan.subject import directions_path, draw_recipe, open_subject
    from stylegan_eval.files import atomic_write, check_writable

    recipe = recipe_of(seed, psi, cutoff, mix, noise, noise_seed, moves, number)
    check_writable(out)
    needed = directions_path(ckpt, directions) if recipe.moves else None
    subject = open_subject(ckpt, Runtime.choose(device).device, needed)
    source = Source(ckpt=ckpt, directions=directions, device=device)
    data = png_of(draw_recipe(recipe, subject), source.command(recipe, out.name))
    with atomic_write(out) as temporary:
        temporary.write_bytes(data)
    click.echo(out)
