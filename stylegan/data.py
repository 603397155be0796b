"""`stylegan-data`: makes, prepares and describes sets of images."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from stylegan.datasets import Choices
from stylegan_eval.engine.command import ErrorLineGroup, refuse_typed, say
from stylegan_eval.engine.options import CSV, PNG, options_of, power_of_two
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.images.containers import TORCHVISION

if TYPE_CHECKING:
    from stylegan_eval.images.source import Source

_PATH = click.Path(path_type=Path)
_FILES = (
    ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".npz", ".npy", ".tfrecords", ".lmdb",
    ".mdb", ".parquet", ".hdf5", ".h5", ".png", ".jpg", ".jpeg", ".csv", ".json",
)  # fmt: skip
_MAX_ROWS = 40  # labels that `inspect` lists
_SHOWN = 5  # sizes and modes that it lists

_workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="processors",
    help="Parallel workers; does not change the result.",
)


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Make, prepare and describe sets of images for training and measuring.

    \b
    Examples:
      stylegan-data avatars faces.zip --count 10000 --resolution 64
      stylegan-data prepare ~/photos photos.zip --resolution 128
      stylegan-data inspect photos.zip
      stylegan-data export photos.zip photos-ada/
      stylegan-data cache verify
    """


def _zip_name(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    if value.suffix.lower() != ".zip":
        raise click.BadParameter(f"{value} must end in .zip", ctx, param)
    return value


def _set_name(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse for a folder what would be taken for a file of another kind."""
    if value is not None and value.suffix.lower() in _FILES:
        message = f"{value} is to be a folder, or to end in .zip; other files are not written"
        raise click.BadParameter(message, ctx, param)
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
    """Draw the bundled data set: cartoon faces with 27 labels, into OUT (a .zip).

    Needs the extra "demo" and no network. What was drawn once is kept in the cache
    ($STYLEGAN_CACHE, else ~/.cache/stylegan-bench) and taken from there.

    \b
    Example:
      stylegan-data avatars faces.zip --count 10000 --resolution 64 --seed 0
    """
    from stylegan.datasets.avatars import make_avatars

    make_avatars(out, count=count, resolution=resolution, seed=seed, workers=workers)
    say(f"{out}: {count} avatars of {resolution}x{resolution}, 27 labels each")


@main.command()
@click.argument("src", type=str)
@click.argument("out", type=_PATH, callback=_set_name, required=False)
@click.option(
    "--labels-from-folders",
    is_flag=True,
    help="Make a class of each first sub-folder of SRC, instead of its other labels.",
)
@click.option("--download", is_flag=True, help="Let torchvision download missing files.")
@click.option("--dry-run", is_flag=True, help="Decode every image, report problems, and stop.")
@click.option(
    "--report",
    type=CSV,
    help="With --dry-run or --skip-damaged: write a CSV with one line per image.",
)
@click.option("--sheet", type=PNG, help="Write a sheet of up to 64 of the prepared images.")
@_workers
def prepare(
    src: str,
    out: Path | None,
    labels_from_folders: bool,
    download: bool,
    dry_run: bool,
    report: Path | None,
    sheet: Path | None,
    workers: int,
    **values: Any,
) -> None:
    """Make SRC, a data set of any kind, into OUT, which can be trained on.

    SRC is a folder or zip of images, TFRecords, an LMDB, CelebA, FFHQ, WebDataset tars, or
    torchvision:NAME:FOLDER; which, its content tells. Each image is cropped to a square and
    shrunk; none is enlarged. OUT is a zip if it ends in .zip, else a folder. Labels are kept.
    After a kill the same command goes on where the last one was.

    \b
    Examples:
      stylegan-data prepare ~/photos photos.zip
      stylegan-data prepare ~/logos logos.zip --pad white
      stylegan-data prepare ~/photos --dry-run --report photos.csv
      stylegan-data prepare ffhq-tfrecords/ ffhq-256.zip --resolution 256
      stylegan-data prepare car_lmdb/ cars.zip --crop lsun-wide --filter lanczos
      stylegan-data prepare animals.zip animals-64.zip --resolution 64 --labels-from-folders
    """
    choices = Choices(**values)
    labels: Literal["source", "folders"] = "folders" if labels_from_folders else "source"
    if report is not None and not (dry_run or choices.skip_damaged or choices.drop_duplicates):
        raise click.UsageError(
            "--report is written by --dry-run, --skip-damaged, --drop-duplicates"
        )
    if not src.startswith(TORCHVISION):
        refuse_typed(("download",), f"is for {TORCHVISION}NAME:FOLDER: leave it out with {src}")
    if choices.pad and choices.crop not in (None, "pad"):
        raise click.UsageError(f"--pad keeps the whole image: leave out --crop {choices.crop}")
    if sheet is not None and dry_run:
        raise click.UsageError("--sheet shows what was prepared: leave out --dry-run")
    if dry_run:
        from stylegan.datasets.check import check_set

        for line in check_set(src, choices, labels=labels, report=report, workers=workers):
            say(line)
        return
    if out is None:
        raise click.UsageError("expected OUT, a zip or folder to write (or --dry-run)")
    from stylegan.datasets.prepare import check_not_read, write_sheet
    from stylegan.datasets.prepare import prepare as prepare_images
    from stylegan_eval.engine.files import check_writable

    if sheet is not None:
        check_writable(sheet)
        check_not_read(sheet, src)
    made = prepare_images(
        src, out, choices, labels=labels, report=report, download=download, workers=workers
    )
    for line in made.lines(out):
        say(line)
    if sheet is not None:
        write_sheet(out, sheet)
        say(f"{sheet}: a sheet of them")


prepare.params[2:2] = options_of(Choices)


@main.command()
@click.argument("src", type=str)
@click.argument("out", type=_PATH, callback=_set_name)
@click.option(
    "--layout",
    type=click.Choice(["stylegan2-ada"]),
    default="stylegan2-ada",
    show_default=True,
    help="Whose tools are to read it; stylegan3's read the same.",
)
@_workers
def export(src: str, out: Path, layout: str, workers: int) -> None:
    """Write SRC, which can be trained on, as another project's tools read it.

    OUT is a zip if it ends in .zip, else a folder. PNG files are copied byte for byte.

    \b
    Example:
      stylegan-data export faces.zip faces-ada.zip --layout stylegan2-ada
    """
    from stylegan.datasets.prepare import export_ada

    count = export_ada(src, out, workers=workers)
    say(f"{out}: {count} images in the layout of {layout}")


@main.command()
@click.argument("place", metavar="X", type=str)
def inspect(place: str) -> None:
    """Describe X, a data set of any kind, and say whether it can be trained on as it is.

    Reads the headers of all images; `prepare` and training also decode them.

    \b
    Example:
      stylegan-data inspect faces.zip
    """
    from stylegan.datasets.sources import is_read_alike, open_source
    from stylegan.datasets.survey import survey
    from stylegan_eval.images.content import content_digest
    from stylegan_eval.images.files import ImageFiles, prepare_command

    with open_source(place) as source:
        overview = survey(source, progress=True)
        sizes = {f"{width}x{height}": n for (width, height), n in overview.sizes.items()}
        _echo("path", f"{place} ({source.kind})")
        _echo("images", str(len(source)))
        if isinstance(source, ImageFiles) and source.left_out:
            _echo("left out", source.left_out)
        _echo("digest", content_digest(source))
        _echo("sizes", _counts(sizes))
        _echo("modes", _counts(overview.modes))
        if source.channels != 3:
            _echo("channels", f"{source.channels}, {'grey' if source.channels == 1 else 'RGBA'}")
        _echo_labels(source)
        fault = overview.fault()
        if fault is None and not is_read_alike(source):
            fault = f"training reads no labels or layout of {source.kind}"
        _echo(
            "training", "can be trained on as it is" if fault is None else f"not as it is: {fault}"
        )
        if fault is not None:
            say(f"          run: {prepare_command(place)}")


@main.group()
def cache() -> None:
    """Files kept between runs: prepared images, avatars, digests, statistics."""


@cache.command()
@click.option("--cache", "folder", type=_PATH, help="The folder, if not the usual one.")
def verify(folder: Path | None) -> None:
    """Read all of the cache and check it; status 1 when something is damaged.

    Commands check what they read of it in any case; of files whose size and times are as they were,
    they read no more than they need. What is damaged is made again when it is wanted.

    \b
    Example:
      stylegan-data cache verify
    """
    from stylegan.datasets.pyramid import check_pyramid, prepared_in
    from stylegan_eval.engine.cache import cache_dir, is_kept, kept_in
    from stylegan_eval.errors import UserError
    from stylegan_eval.images.content import changed_behind, folders_remembered
    from stylegan_eval.metrics.features import cached_files, is_as_written

    place, total, damaged = folder or cache_dir(), 0, 0
    for what, entries, whole in (
        ("sets of prepared images", prepared_in(place), check_pyramid),
        ("drawn sets", kept_in(place / "avatars"), is_kept),
        ("statistics", cached_files(place), is_as_written),
    ):
        wrong = [entry for entry in entries if not whole(entry)]
        for entry in wrong:
            say(f"{entry}: damaged")
        say(f"{what}: {len(entries)}, {len(wrong)} damaged")
        total, damaged = total + len(entries), damaged + len(wrong)
    remembered = folders_remembered(place)
    changed = [path for each in remembered for path in changed_behind(each)]
    for path in changed:
        say(f"{path}: has changed, and its times have not")
    say(f"folders whose content is remembered: {len(remembered)}, {len(changed)} files changed")
    if damaged or changed:
        raise UserError(
            f"{damaged} of {total} entries in {place} are damaged, {len(changed)} files of data"
            " have changed: what was made of them is made again when it is wanted"
        )


def _echo(name: str, text: str) -> None:
    say(f"{name + ':':<10}{one_line(text)}")


def _counts(counts: Mapping[str, int]) -> str:
    """The most frequent first, and how many kinds are not named."""
    shown = sorted(counts.items(), key=lambda item: -item[1])[:_SHOWN]
    more = len(counts) - len(shown)
    text = ", ".join(f"{name} ({count})" for name, count in shown)
    return f"{text} and {more} more" if more else text


def _echo_labels(source: "Source") -> None:
    from stylegan_eval.images.labels import empty_classes, shortened

    labels: Any = source.labels
    if labels is None:
        _echo("labels", "none")
        return
    if labels.ndim == 1:
        counts = sorted(Counter(labels.tolist()).items())
        rows = [(_class_name(k, source.classes), count / len(labels)) for k, count in counts]
        _echo("labels", f"{len(rows)} classes, with their shares")
    else:
        names = source.attributes or [f"label {k}" for k in range(labels.shape[1])]
        rows = list(zip(names, labels.mean(axis=0), strict=True))
        _echo("labels", f"{len(rows)} numbers for each image, with their means")
    for name, share in rows[:_MAX_ROWS]:
        say(f"  {one_line(name):<16} {share:.3f}")
    if len(rows) > _MAX_ROWS:
        say(f"  and {len(rows) - _MAX_ROWS} more")
    if empty := empty_classes(labels, source.classes):
        say(f"  without images: {shortened(empty)}")


def _class_name(number: int, classes: Sequence[str]) -> str:
    return f"class {number}" + (f" {one_line(classes[number])}" if classes else "")


if __name__ == "__main__":
    main()
