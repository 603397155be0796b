"""`stylegan-sample image`: one image, by its recipe."""

from pathlib import Path

import click

from stylegan.draw import options
from stylegan.recipe import Mix, Move, Noise
from stylegan.recipe_options import directions_option, recipe_of, recipe_options
from stylegan_eval.command import ErrorLineCommand


@click.command("image", cls=ErrorLineCommand, context_settings={"show_default": True})
@options.ckpt
@recipe_options
@directions_option
@options.device
@options.out_png
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
