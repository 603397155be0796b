"""`stylegan-eval compare`: results side by side."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineCommand, say
from stylegan_eval.option_types import CSV

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(cls=ErrorLineCommand)
@click.argument("tables", type=FILE, nargs=-1, required=True, metavar="A.csv B.csv ...")
@click.option(
    "--allow",
    multiple=True,
    metavar="COLUMN",
    help="Compare rows that differ in this column all the same (precision, num, ...).",
)
@click.option("--csv", "out", type=CSV, help="Write the comparison here.")
def compare(tables: tuple[Path, ...], allow: tuple[str, ...], out: Path | None) -> None:
    """Lay results of the same metrics side by side; the newest row of each table counts.

    Rows are refused (status 1) where they were measured under unlike protocols: the message says
    what differs.
    """
    from stylegan_eval.comparison import compare_tables, to_text, write_comparison
    from stylegan_eval.errors import UserError
    from stylegan_eval.files import check_writable

    if out is not None:
        if out.resolve() in [table.resolve() for table in tables]:
            raise UserError(f"--csv {out} would overwrite the results in it: name another file")
        check_writable(out)
    comparison = compare_tables(tables, allow)
    say(to_text(comparison))
    if out is not None:
        write_comparison(out, comparison)
    for note in comparison.notes:
        click.echo(f"note: {note}", err=True)
    for problem in comparison.refused:
        say(f"refused: {problem}", err=True)
    if comparison.refused:
        click.get_current_context().exit(1)
