"""Commands on results and on what is kept: compare, plan-samples, report, cache."""

import shutil
import sys
from pathlib import Path

import click

from stylegan_eval.engine.command import (
    ErrorLineCommand,
    ErrorLineGroup,
    note,
    refuse_typed,
    say,
    tell,
)
from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.options import CSV, FILE, NetworkPath, Number, OutFile, options_of
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Features, Inputs
from stylegan_eval.settings.others import ReportSettings

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
        key = {name: entry.key.get(name, "?") for name in _SHOWN}
        which = f"{key['num']} images {str(key['content'])[:8]} ({key['which']}"
        text = f"{key['kind']} of {which}, flips {key['flips']}), {key['network']}"
        lines.append((path, text if entry.whole else f"damaged: {text}"))
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

    from stylegan_eval.report.page import write_report

    if not inputs and not ckpts:
        raise click.UsageError("name a table of results, the folder of a training, or --ckpt")
    if data is None:
        refuse_typed(("features", "weights"), "is for --data: leave it out without --data")
    if samples == 0:
        refuse_typed(("seed",), "is for --samples: leave it out with --samples 0")
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


@click.command(cls=ErrorLineCommand)
@click.argument("tables", type=TABLE, nargs=-1, required=True, metavar="A.csv B.csv ...")
@click.option(
    "--allow",
    multiple=True,
    metavar="COLUMN",
    help="Compare rows even if they differ in this column (precision, num, ...).",
)
@click.option("--csv", "out", type=CSV, help="Write the comparison here.")
@click.option(
    "--format",
    "shown",
    type=click.Choice(["text", "markdown", "latex", "csv"]),
    default="text",
    show_default=True,
    help="How it is printed; csv has all digits.",
)
def compare(tables: tuple[Path, ...], allow: tuple[str, ...], out: Path | None, shown: str) -> None:
    """Compare results of the same metrics side by side, using the newest row of each table.

    Rows are refused (status 1) where they were measured under unlike protocols: the message says
    what differs.
    """
    from stylegan_eval.results.comparison import FORMATS, compare_tables, write_comparison

    if out is not None:
        check_writable(out)
    comparison = compare_tables(tables, allow)
    say(FORMATS[shown](comparison))
    if out is not None:
        write_comparison(out, comparison)
    for text in comparison.notes:
        click.echo(f"note: {text}", err=True)
    for problem in comparison.refused:
        say(f"refused: {problem}", err=True)
    if comparison.refused:
        click.get_current_context().exit(1)


_POSITIVE = Number(0, min_open=True)


@click.command("plan-samples", cls=ErrorLineCommand)
@click.argument("tables", type=TABLE, nargs=-1, required=True, metavar="A.csv B.csv ...")
@click.option("--error", type=_POSITIVE, help="Target standard error.")
@click.option(
    "--difference", type=_POSITIVE, help="Difference between two results that should be detected."
)
def plan_samples(tables: tuple[Path, ...], error: float | None, difference: float | None) -> None:
    """Estimate how many images a standard error or a difference needs, from measured errors.

    A quick sample will do:

    \b
    stylegan-eval fid -n 5000 --ckpt runs/f32 --data avatars.zip --csv quick.csv
    stylegan-eval plan-samples quick.csv --error 0.1

    A difference is found (p < 0.05) in eight of ten repetitions. The newest results count.
    """
    if (error is None) == (difference is None):
        raise click.UsageError("give one of --error and --difference: what is wished")
    from stylegan_eval.results.comparison import read_results
    from stylegan_eval.results.formatting import table_text
    from stylegan_eval.results.planning import NOT_PLANNED, for_difference, for_error, is_planned

    rows = [row for table in tables for row in read_results(table)]
    lines = for_error(rows, error) if error is not None else for_difference(rows, difference or 0)
    if not lines:
        raise UserError(
            f"no standard error in {', '.join(map(str, tables))}: measure more images (fid has one"
            " from more images than features on)"
        )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    say(table_text(list(lines[0]), [list(line.values()) for line in lines], width))
    told = {line["metric"] for line in lines}
    if not all(map(is_planned, rows)):
        note(NOT_PLANNED)
    if missing := sorted({row["metric"] for row in rows if is_planned(row)} - told):
        note(f"{', '.join(missing)}: no standard error is known, so nothing is said of them")
