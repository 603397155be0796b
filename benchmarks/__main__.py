"""`python -m benchmarks`: the paper's tables by one command."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.scales import SCALES
from benchmarks.tables import TABLES, TableLine, chosen_lines
from stylegan_eval.engine.command import EXIT_ERROR, ErrorLineGroup, note
from stylegan_eval.engine.options import FILE, Number, SeedRange
from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    from benchmarks.jobs import Question


def _names(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Reproduce the tables of the paper.

    \b
    stylegan-data avatars avatars32.zip --count 10240 --resolution 32
    python -m benchmarks list
    python -m benchmarks run table1 --scale demo-32 --data avatars32.zip --out tables --seeds 0,1
    python -m benchmarks report tables
    """


@main.command("list")
@click.option(
    "--out",
    "folder",
    type=FILE,
    metavar="DIR",
    help="Show also which rows are done in this folder.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def list_command(folder: Path | None, device: str) -> None:
    """List tables, rows and scales: time on this machine, and what is done."""
    from benchmarks.folder import read_folder
    from benchmarks.listing import listing, progress_lines

    done = [] if folder is None else ["", *progress_lines(read_folder(folder))]
    for line in (*listing(device), *done):
        click.echo(line)


@main.command()
@click.argument("table", type=click.Choice(tuple(TABLES)))
@click.option(
    "--scale",
    required=True,
    type=click.Choice(tuple(SCALES)),
    help="Network size and training length.",
)
@click.option("--data", type=FILE, metavar="ZIP|DIR", help="Real images, square, of one size.")
@click.option("--out", type=FILE, metavar="DIR", help="Folder of results; continued if it exists.")
@click.option(
    "--seeds",
    type=SeedRange(),
    default="0",
    show_default=True,
    help="Seeds of the trainings: 0,1 or 0-2.",
)
@click.option("--rows", callback=_names, default="", metavar="A,F", help="Only these rows.")
@click.option(
    "--dataset",
    metavar="NAME",
    help="Data set of the losses and published numbers: ffhq, celebahq, lsun-bedroom, lsun-cat,"
    " lsun-car."
    "  [default: the table's]",
)
@click.option(
    "--kimg",
    type=Number(min=0, min_open=True),
    help="Length of trainings in thousands of images.  [default: the scale's]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Arithmetic of the trainings.",
)
@click.option(
    "--gpus",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes of a training; at the paper's scale its published minibatch for so many.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--classifiers", type=FILE, metavar="FILE", help="Attribute classifiers.")
@click.option(
    "--weights", multiple=True, metavar="[NAME=]FILE", help="As stylegan-eval's --weights."
)
@click.option("--force", is_flag=True, help="Repeat trainings and measurements that are done.")
@click.option("--dry-run", is_flag=True, help="Print the estimated time and disk space, and stop.")
@click.option(
    "--throughput",
    default="v100",
    show_default=True,
    metavar="TFLOP/S",
    help="Speed of convolutions on the GPU, for --dry-run: a number, v100, or here (measured).",
)  # fmt: skip
def run(
    table: str,
    data: Path | None,
    out: Path | None,
    seeds: list[int],
    rows: tuple[str, ...],
    device: str,
    force: bool,
    dry_run: bool,
    throughput: str,
    **values: Any,
) -> None:
    """Train and measure the rows of TABLE; continue where it was stopped."""
    from benchmarks.jobs import ask

    seeds = list(dict.fromkeys(seeds))
    try:
        names = ("scale", "dataset", "kimg", "precision", "gpus")
        question = ask(table, **{name: values.pop(name) for name in names})
        lines = chosen_lines(question.table, rows)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    if dry_run:
        if data is not None:
            from benchmarks.runner import check_trainable

            check_trainable(question, lines, data)
        _print_plan(question, lines, seeds, throughput, device)
        return
    if data is None:
        raise click.UsageError("trained on what? Give --data ZIP|DIR")
    if out is None:
        raise click.UsageError("where to? Give --out DIR")

    from benchmarks.listing import noted_lines, request_lines
    from benchmarks.outcomes import read_outcomes
    from benchmarks.runner import Runner

    runner = Runner(
        question=question,
        data=data,
        out=out,
        say=lambda line: click.echo(line, err=True),
        device=device,
        **values,
    )
    runner.run(lines, seeds, force=force)
    outcomes = read_outcomes(runner.folder, question.name)
    for line in request_lines(outcomes):
        click.echo(line)
    for line in noted_lines(outcomes):
        note(line)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise SystemExit(EXIT_ERROR)


def _print_plan(
    question: "Question", lines: Sequence[TableLine], seeds: Sequence[int], name: str, device: str
) -> None:
    from benchmarks.listing import plan_lines
    from benchmarks.plan.machine import throughput_named

    networks = dict.fromkeys(line.network for line in lines)
    trainings = [
        (f"{network} seed {seed}", question.config(network))
        for seed in seeds
        for network in networks
    ]
    throughput = throughput_named(name, device)
    for line in plan_lines(trainings, gpus=question.gpus, throughput=throughput):
        click.echo(line)


@main.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--out", type=FILE, metavar="DIR", help="Folder to write.  [default: DIR/report]")
def report(folder: Path, out: Path | None) -> None:
    """Write the results in DIR as a web page, Markdown, tables and pictures."""
    from benchmarks.folder import read_folder
    from benchmarks.listing import left_out
    from benchmarks.outcomes import read_outcomes

    results = read_folder(folder)
    outcomes = read_outcomes(results)
    for line in left_out(results):
        note(line)

    from benchmarks.report.write import write_report

    for path in write_report(outcomes, out or results.report):
        click.echo(path)


@main.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.argument("out", type=FILE, metavar="COPY")
def keep(folder: Path, out: Path) -> None:
    """Copy what is finished in DIR to COPY, small enough for version control.

    COPY holds generators, logs and measurements, no checkpoints. It is a folder of results as well,
    in which `run` goes on; COPY may be an earlier copy.
    """
    from benchmarks.keeping import keep_finished

    for name in keep_finished(folder, out):
        click.echo(f"{out}: {name}")


if __name__ == "__main__":
    main()
