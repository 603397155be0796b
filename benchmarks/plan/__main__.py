"""`python -m benchmarks.plan`: the time model beside the published training times; a roofline."""

from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.scales import SCALES, training_config
from benchmarks.tables import NETWORKS, Dataset
from stylegan.configs import Config
from stylegan_eval.engine.command import ErrorLineGroup


@click.group(
    cls=ErrorLineGroup, invoke_without_command=True, context_settings={"show_default": True}
)
@click.option(
    "--count",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Count the work of every row at every scale anew (minutes) and write it to a file.",
)
@click.pass_context
def main(ctx: click.Context, count: Path | None) -> None:
    """Print how far the model is off each published training time on V100 GPUs."""
    from benchmarks.plan.model import write_work
    from benchmarks.plan.official import check_line, check_table, parameters_line

    if ctx.invoked_subcommand is not None:
        return
    if count is not None:
        for line in write_work(known_trainings(), count):
            click.echo(line)
        return
    click.echo(parameters_line())
    click.echo(check_line())
    click.echo()
    for line in check_table():
        click.echo(line)


@main.command("roofline")
@click.option("--count", is_flag=True, help="First count the steps anew (a minute).")
def roofline(*, count: bool) -> None:
    """Write docs/gpu.md: what bounds a step on a V100, A100 and H100, as a model."""
    from benchmarks.plan.roofline import PAGE, STEPS, shipped_steps, write_page, write_steps

    if count:
        for line in write_steps(STEPS):
            click.echo(line)
        shipped_steps.cache_clear()
    write_page(PAGE)
    click.echo(PAGE)


# They differ in the loss; all other data sets have the loss of one of them.
_DATASETS: tuple[Dataset, ...] = ("ffhq", "celebahq")


def known_trainings() -> Iterator[tuple[str, Config]]:
    """Every network of the tables at every scale with either loss, with a name."""
    for scale in SCALES.values():
        for dataset in _DATASETS:
            for network in NETWORKS:
                config = training_config(network, scale, dataset)
                yield f"{network} {scale.name} {dataset}", config


if __name__ == "__main__":
    main()
