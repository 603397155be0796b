"""`stylegan-eval compare`: results side by side."""

from pathlib import Path

import click

from stylegan_eval.cli.commands import TABLE
from stylegan_eval.engine.command import ErrorLineCommand, say
from stylegan_eval.engine.options import CSV


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
    from stylegan_eval.errors import UserError
    from stylegan_eval.results.comparison import compare_tables, write_comparison
    from stylegan_eval.results.comparison_formats import FORMATS

    if out is not None:
        if out.resolve() in [table.resolve() for table in tables]:
            raise UserError(f"--csv {out} would overwrite the results in it: name another file")
        check_writable(out)
    comparison = compare_tables(tables, allow)
    say(FORMATS[shown](comparison))
    if out is not None:
        write_comparison(out, comparison)
    for note in comparison.notes:
        click.echo(f"note: {note}", err=True)
    for problem in comparison.refused:
        say(f"refused: {problem}", err=True)
    if comparison.refused:
        click.get_current_context().exit(1)
