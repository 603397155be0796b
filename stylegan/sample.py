"""The command `stylegan-sample`: images, figures and scores from a checkpoint."""

import click

from stylegan.draw.export_command import export_command
from stylegan.draw.grid_command import grid_command
from stylegan.draw.image_command import image_command
from stylegan.draw.scores_command import scores_command
from stylegan.figures.figure_command import figure_command
from stylegan.figures.interpolate_command import interpolate_command
from stylegan.figures.mixing_command import mixing_command
from stylegan.info_command import info_command
from stylegan.projection.project_command import project_command
from stylegan_eval.command import ErrorLineGroup


@click.group(cls=ErrorLineGroup, context_settings={"show_default": True})
def main() -> None:
    """Draw images from a checkpoint, or score them.

    \b
    stylegan-sample grid --ckpt runs/f32 --seeds 0-15 --psi 0.7 grid.png
    stylegan-sample image --ckpt demo --seed 5 --psi 0.7 --mix 8:4-7 image.png
    stylegan-sample figure 3 --ckpt runs/f32 mixing.png
    stylegan-sample interpolate --ckpt runs/f32 --seeds 0-5 --loop walk.mp4
    stylegan-sample export --ckpt runs/f32 --latents z.npy images.npy
    stylegan-sample scores --ckpt runs/f32 --images images.npy scores.npy
    stylegan-sample info --ckpt demo
    """


main.add_command(grid_command)
main.add_command(image_command)
main.add_command(figure_command)
main.add_command(mixing_command)
main.add_command(interpolate_command)
main.add_command(export_command)
main.add_command(scores_command)
main.add_command(info_command)
main.add_command(project_command)


if __name__ == "__main__":
    main()
