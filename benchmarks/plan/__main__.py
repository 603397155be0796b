"""``python -m benchmarks.plan``: the model of time beside the published ones."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineCommand


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--count",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Count the work of every row at every scale anew (minutes) and write it to a file.",
)
def main(count: Path | None) -> None:
    """Print how far the model is off each published training time on V100 GPUs."""
    from benchmarks.plan.known import known_trainings
    from benchmarks.plan.official import check_line, check_table, parameters_line
    from benchmarks.plan.work import write_work

    if count is not None:
        for line in write_work(known_trainings(), count):
            click.echo(line)
        return
    click.echo(parameters_line())
    click.echo(check_line())
    click.echo()
    for line in check_table():
        click.echo(line)


if __name__ == "__main__":
    main()
