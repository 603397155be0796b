"""Commands beside the metrics: stats, cache, report, classifiers."""

from pathlib import Path
from typing import Any

import click

from stylegan_eval.cli.metrics import INPUTS
from stylegan_eval.engine.command import ErrorLineCommand, ErrorLineGroup, say, tell
from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.options import FILE, SAFETENSORS, NetworkPath, OutFile, options_of
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Features, Inputs
from stylegan_eval.settings.image_metrics import StatsSettings
from stylegan_eval.settings.others import ReportSettings, TrainSettings

_SHOWN = ("num", "content", "which", "kind", "flips", "network")
TABLE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(cls=ErrorLineGroup)
def cache() -> None:
    """Statistics of real images, and unfinished work."""


@cache.command("list")
def list_command() -> None:
    """List what is kept: size, date and what it was computed from."""
    from datetime import UTC, datetime

    from stylegan_eval.engine.cache import cache_dir
    from stylegan_eval.metrics.features import cached_files, read_entry

    lines = []
    for path in cached_files():
        entry = read_entry(path)
        if entry is None:
            lines.append((path, "damaged, or of another version"))
            continue
        key = {name: entry[0].key.get(name, "?") for name in _SHOWN}
        which = f"{key['num']} images {str(key['content'])[:8]} ({key['which']}"
        text = f"{key['kind']} of {which}, flips {key['flips']}), {key['network']}"
        lines.append((path, text if entry[0].whole else f"damaged: {text}"))
    unfinished = _unfinished()
    for path, text in lines:
        status = path.stat()
        date = datetime.fromtimestamp(status.st_mtime, UTC)
        size = _megabytes(status.st_size)
        say(f"{path.stem[:8]}  {size:>9}  {date:%Y-%m-%d %H:%M}  {text}")
    for folder in unfinished:
        files = list(folder.glob("*.npz"))
        total = sum(file.stat().st_size for file in files)
        say(f"{folder.name[:8]}  {_megabytes(total):>9}  unfinished, {len(files)} blocks")
    say(f"{len(lines)} statistics, {len(unfinished)} unfinished runs in {cache_dir()}", err=True)


@cache.command()
def verify() -> None:
    """Read every statistic and check its digest; status 1 when one is damaged.

    stylegan-data cache verify checks the whole cache.
    """
    from stylegan_eval.metrics.features import cached_files, is_as_written

    damaged = 0
    paths = cached_files()
    for path in paths:
        if not is_as_written(path):
            damaged += 1
            say(f"{path}: damaged")
    if damaged:
        raise UserError(
            f"{damaged} of {len(paths)} statistics are damaged: delete them, or run"
            " stylegan-eval cache clear; damaged ones are never used"
        )
    say(f"{len(paths)} statistics, all whole")


@cache.command()
@click.argument("names", nargs=-1)
@click.option("--unfinished", is_flag=True, help="Only unfinished work.")
def clear(names: tuple[str, ...], unfinished: bool) -> None:
    """Remove all entries, or those beginning with NAMES (as `list` shows them)."""
    import shutil

    from stylegan_eval.metrics.features import cached_files, reals_folder

    statistics = [] if unfinished else [p for p in cached_files() if _named(p.stem, names)]
    folders = [folder for folder in _unfinished() if _named(folder.name, names)]
    if names and not statistics and not folders:
        raise UserError(f"nothing in the cache begins with {' or '.join(names)}")
    # What a killed run was writing; another may be writing now, and will say so.
    torn = [] if names or unfinished else list(reals_folder().glob(".*.tmp"))
    for path in [*statistics, *torn]:
        path.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"removed {len(statistics)} statistics, {len(folders)} unfinished runs")


def _named(name: str, beginnings: tuple[str, ...]) -> bool:
    return not beginnings or name.startswith(beginnings)


def _unfinished() -> list[Path]:
    from stylegan_eval.engine.cache import cache_dir

    folder = cache_dir() / "work"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@click.group(cls=ErrorLineGroup)
def classifiers() -> None:
    """Attribute classifiers, which linear separability needs.

    \b
    stylegan-data avatars avatars.zip --count 8000 --resolution 32
    stylegan-eval classifiers train --data avatars.zip --out attributes.safetensors
    """


def _train(data: Path, out: Path, device: str, **values: Any) -> None:
    settings = TrainSettings(**values)
    if out.exists() and out.resolve() == data.resolve():
        raise UserError(f"--out {out} would overwrite the images: name another file")
    check_writable(out)

    from stylegan_eval.classifiers import classifier, storage, training
    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.images.files import open_images

    where = pick_device(device)
    with open_images(data) as files:
        record, network = training.train(files, settings, where)
    storage.save_classifier(out, record, network)
    say(classifier.table(record))


classifiers.add_command(
    ErrorLineCommand(
        "train",
        callback=_train,
        help="Train a classifier of all attributes; a tenth of the images is held out to test it."
        " Prints the same table as show.",
        params=[
            click.Option(
                ["--data"], type=FILE, required=True,
                help="Images with a dataset.json of 0/1 attributes.",
            ),
            click.Option(
                ["--out"], type=SAFETENSORS, required=True, help="File to write (.safetensors)."
            ),
            *options_of(TrainSettings),
            INPUTS["device"],
        ],
    )
)  # fmt: skip


@classifiers.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print what a file of classifiers holds, and how well each attribute is read.

    Accuracies are of held-out images: overall, and balanced (0.5 is chance).
    """
    import torch

    from stylegan_eval.classifiers import classifier, storage

    loaded = storage.load_classifier(file, torch.device("cpu"))
    say(f"{classifier.table(loaded.record)}\n\nsha256 {loaded.sha256}")


@click.command(cls=ErrorLineCommand)
@click.argument("inputs", type=FILE, nargs=-1, metavar="DIR_OR_CSV...")
@click.option(
    "-o",
    "out",
    type=OutFile(".html", ".htm"),
    default=Path("report.html"),
    show_default=True,
    help="Page.",
)
@click.option("--data", type=FILE, help="Real images: show the one nearest to each sample.")
@click.option(
    "--ckpt",
    "ckpts",
    type=NetworkPath(),
    multiple=True,
    metavar="CKPT|demo",
    help="Also this generator, or the new place of a measured one; may be repeated.",
)
@click.option("--weights", type=FILE, help="Weights of --features; by default the official file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def report(
    inputs: tuple[Path, ...],
    out: Path,
    data: Path | None,
    ckpts: tuple[Path, ...],
    samples: int,
    seed: int,
    features: Features,
    weights: Path | None,
    title: str,
    device: str,
) -> None:
    """Write one self-contained page on results: tables of --csv, folders of trainings, or both.

    \b
    stylegan-eval report results.csv runs/f32 --data avatars.zip -o report.html
    stylegan-eval report --ckpt demo

    Files of `ppl --distances` beside a table are found automatically.
    """
    import shlex
    import sys

    from stylegan_eval.report.page import write_report

    if not inputs and not ckpts:
        raise click.UsageError("name a table of results, the folder of a training, or --ckpt")
    write_report(
        out,
        inputs,
        ckpts,
        Inputs(data=data, weights={} if weights is None else {"": weights}, device=device),
        ReportSettings(title=title, samples=samples, seed=seed, features=features),
        command=shlex.join(["stylegan-eval", *sys.argv[1:]]),
        tell=tell,
    )
    click.echo(out)


report.params += options_of(ReportSettings)


def _write(out: Path, **values: Any) -> None:
    from stylegan_eval.engine.stats_file import check_new, write_stats
    from stylegan_eval.metrics.image_metrics import moments_of
    from stylegan_eval.metrics.measure import open_run

    inputs = Inputs(**{key: values.pop(key) for key in ("data", "weights", "device")})
    run = open_run(inputs.device)
    check_new(out)
    features, about = moments_of(inputs, StatsSettings(**values), run)
    if run.processes.is_first:
        write_stats(out, features.moments, about)
        network = features.detector
        count = features.moments.count
        say(f"{out}: {count} images, {network.feature_dim} features of {network.identity}")
    run.finish()


stats = ErrorLineCommand(
    "stats",
    callback=_write,
    help="Write mu and sigma of the features of images to OUT.npz, for fid --data OUT.npz.",
    params=[
        click.Argument(["out"], type=FILE, metavar="OUT.npz"),
        *(INPUTS[key] for key in ("data", "weights", "device")),
        *options_of(StatsSettings),
    ],
)
