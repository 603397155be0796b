"""`stylegan-eval compare`, results side by side, and `plan-samples`, how many images they need."""

import shutil
import sys
from pathlib import Path

import click

from stylegan_eval.cli.commands import TABLE
from stylegan_eval.engine.command import ErrorLineCommand, note, say
from stylegan_eval.engine.options import CSV, Number
from stylegan_eval.errors import UserError


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
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.results.comparison import FORMATS, compare_tables, write_comparison

    if out is not None:
        if out.resolve() in [table.resolve() for table in tables]:
            raise UserError(f"--csv {out} would overwrite the results in it: name another file")
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
    from stylegan_eval.results.planning import for_difference, for_error

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
    if missing := sorted({row["metric"] for row in rows} - told):
        note(f"{', '.join(missing)}: no standard error is known, so nothing is said of them")
