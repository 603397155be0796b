"""`stylegan-sample project`: an image into W or W+."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.recipe import GeneratorSource
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.engine.command import ErrorLineCommand, say
from stylegan_eval.engine.options import NPY, PNG, options_of

if TYPE_CHECKING:
    from stylegan.sample.painter import Painter
    from stylegan.sample.projection import Pixels, Projected

_FILE = click.Path(path_type=Path)


@click.command("project", cls=ErrorLineCommand)
@options.ckpt
@options.class_
@options.lod
@options.device
@click.option("--weights", type=_FILE, help="VGG16 of torchvision, for --distance lpips-vgg.")
@click.option(
    "--save",
    type=NPY,
    metavar="WS.npy",
    help="Write the w found, float32 [1, layers, w_dim], for export --ws.",
)
@click.argument("image", type=_FILE)
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
    from stylegan_eval.errors import UserError
    from stylegan_eval.networks.lpips import load_distance

    source = GeneratorSource(
        **{key: values.pop(key) for key in ("ckpt", "number", "lod", "device")}
    )
    settings = ProjectionSettings(**values)
    for path in (out, save):
        if path is not None:
            if path.exists() and image.exists() and path.samefile(image):
                raise UserError(f"{path} is the photograph itself: write to another file")
            check_writable(path)
    painter = open_painter(source)
    pixels = projection.read_square(image, painter.network.config.num_channels)
    size = projection.drawn_size(painter, settings.distance)
    origin = projection.centre(painter)
    distance = load_distance(settings.distance, weights, painter.device)
    if pixels.shape[1] != size:
        came = pixels.shape[1]
        how = "shrunk" if came > size else "enlarged, and so blurred,"
        say(f"note: {image} is {how} from {came}x{came} to {size}x{size}", err=True)
        pixels = projection.fitted(pixels, size)
    target = projection.as_tensor(pixels, painter.device)
    aim = projection.Objective(painter, distance, target, settings.pixels)
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
