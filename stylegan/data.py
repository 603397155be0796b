"""`stylegan-data`: makes, prepares and describes sets of images."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from stylegan_eval.command import ErrorLineGroup, power_of_two

if TYPE_CHECKING:
    from stylegan_eval.images import ImageFiles

_PATH = click.Path(path_type=Path)
_MAX_ROWS = 40  # labels that `inspect` lists
_SHOWN = 5  # sizes and modes that it lists

_workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="processors",
    help="How many work at a time. The result does not depend on it.",
)


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Make, prepare and describe sets of images for training and measuring.

    \b
    Examples:
      stylegan-data avatars faces.zip --count 10000 --resolution 64
      stylegan-data prepare ~/photos photos.zip --resolution 128
      stylegan-data inspect photos.zip
    """


def _zip_name(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    if value.suffix.lower() != ".zip":
        raise click.BadParameter(f"{value} must end in .zip", ctx, param)
    return value


@main.command()
@click.argument("out", type=_PATH, callback=_zip_name)
@click.option(
    "--count", type=click.IntRange(1), default=10000, show_default=True, help="Images to draw."
)
@click.option(
    "--resolution",
    type=int,
    callback=power_of_two,
    default=64,
    show_default=True,
    help="Width and height in pixels, a power of two.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="Which data set: image i depends on the seed and i only.",
)
@_workers
def avatars(out: Path, count: int, resolution: int, seed: int, workers: int) -> None:
    """Draw the embedded data set: cartoon faces with 27 labels, into OUT (a .zip).

    Needs the extra "demo" and no network. What was drawn once is kept in the cache
    ($STYLEGAN_CACHE, else ~/.cache/stylegan-bench) and taken from there.

    \b
    Example:
      stylegan-data avatars faces.zip --count 10000 --resolution 64 --seed 0
    """
    from stylegan.datasets.avatars import make_avatars

    make_avatars(out, count=count, resolution=resolution, seed=seed, workers=workers)
    click.echo(f"{out}: {count} avatars of {resolution}x{resolution}, 27 labels each")


@main.command()
@click.argument("src", type=_PATH)
@click.argument("out", type=_PATH)
@click.option(
    "--resolution",
    type=int,
    callback=power_of_two,
    show_default="the largest that enlarges no image",
    help="Width and height in pixels, a power of two.",
)
@click.option(
    "--resample",
    type=click.Choice(["box", "lanczos"]),
    default="box",
    show_default=True,
    help="Mean over the area of each new pixel, or Lanczos with 3 lobes.",
)
@click.option(
    "--labels-from-folders",
    is_flag=True,
    help="Make a class of each first sub-folder of SRC, instead of its dataset.json.",
)
@_workers
def prepare(
    src: Path,
    out: Path,
    resolution: int | None,
    resample: Literal["box", "lanczos"],
    labels_from_folders: bool,
    workers: int,
) -> None:
    """Make SRC, a folder or zip of any images, into OUT, which can be trained on.

    Each image is cropped to its centre square and shrunk; none is enlarged. OUT is a zip if it
    ends in .zip, else a folder. Labels of SRC's dataset.json are kept.

    \b
    Examples:
      stylegan-data prepare ~/photos photos.zip
      stylegan-data prepare ~/photos photos.zip --resolution 256 --resample lanczos
      stylegan-data prepare animals.zip animals-64.zip --resolution 64 --labels-from-folders
    """
    from stylegan.datasets.prepare import prepare as prepare_images

    made = prepare_images(
        src,
        out,
        resolution=resolution,
        resample=resample,
        labels="folders" if labels_from_folders else "source",
        workers=workers,
    )
    click.echo(f"{out}: {made.count} images of {made.resolution}x{made.resolution}")
    for number, name in enumerate(made.classes):
        click.echo(f"  class {number}: {name}")


@main.command()
@click.argument("path", metavar="X", type=_PATH)
def inspect(path: Path) -> None:
    """Describe X, a folder or zip of images, and say whether it can be trained on as it is.

    Reads the headers of all images; `prepare` and training also decode them.

    \b
    Example:
      stylegan-data inspect faces.zip
    """
    from stylegan.datasets.survey import survey
    from stylegan_eval.images import open_images

    with open_images(path) as files:
        found = survey(files, progress=True)
        sizes = {f"{width}x{height}": n for (width, height), n in found.sizes.items()}
        _echo("path", f"{path} ({'folder' if path.is_dir() else 'zip'})")
        _echo("images", str(len(files)))
        _echo("digest", files.digest)
        _echo("sizes", _counts(sizes))
        _echo("modes", _counts(found.modes))
        _echo_labels(files)
        fault = found.fault()
        _echo(
            "training", "can be trained on as it is" if fault is None else f"not as it is: {fault}"
        )
        if fault is not None:
            click.echo(f"          run: stylegan-data prepare {path} OUT.zip")


def _echo(name: str, text: str) -> None:
    click.echo(f"{name + ':':<10}{text}")


def _counts(counts: Mapping[str, int]) -> str:
    """The most frequent first, and how many kinds are not named."""
    shown = sorted(counts.items(), key=lambda item: -item[1])[:_SHOWN]
    more = len(counts) - len(shown)
    text = ", ".join(f"{name} ({count})" for name, count in shown)
    return f"{text} and {more} more" if more else text


def _echo_labels(files: "ImageFiles") -> None:
    labels: Any = files.labels
    if labels is None:
        _echo("labels", "none")
        return
    if labels.ndim == 1:
        rows = [(f"class {k}", (labels == k).mean()) for k in sorted(set(labels.tolist()))]
        _echo("labels", f"{len(rows)} classes, with their shares")
    else:
        names = files.attributes or [f"label {k}" for k in range(labels.shape[1])]
        rows = list(zip(names, labels.mean(axis=0), strict=True))
        _echo("labels", f"{len(rows)} numbers for each image, with their means")
    for name, share in rows[:_MAX_ROWS]:
        click.echo(f"  {name:<16} {share:.3f}")
    if len(rows) > _MAX_ROWS:
        click.echo(f"  and {len(rows) - _MAX_ROWS} more")


if __name__ == "__main__":
    main()
