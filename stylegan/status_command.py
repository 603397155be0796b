"""`stylegan-train status`: progress and state of a run."""

from pathlib import Path

import click

from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import CSV, PNG


@click.command("status", cls=ErrorLineCommand)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-o",
    "picture",
    type=PNG,
    metavar="PNG",
    help="Also draw losses, scores, metric, speed, memory and the newest sample sheet.",
)
@click.option(
    "--csv",
    "table",
    type=CSV,
    metavar="CSV",
    help="Also write the ticks as a table, with the metrics measured by then.",
)
def status_command(folder: Path, picture: Path | None, table: Path | None) -> None:
    """Show a run: progress, time left by phase, losses, metrics, checkpoints, trouble.

    Reads the run's folder alone, so it works beside a live run and long after it.
    """
    from stylegan.training.status import read_status, status_lines

    status = read_status(folder)
    for line in status_lines(status):
        click.echo(line)
    if picture is not None:
        from stylegan.training.status_picture import draw_status

        draw_status(status, picture)
        click.echo(f"drew {picture}", err=True)
    if table is not None:
        from stylegan.training.status import write_table

        write_table(status, table)
        click.echo(f"wrote {table}", err=True)
