"""`stylegan-eval report`: results, trainings and samples on one page."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineCommand, NetworkPath, tell
from stylegan_eval.option_types import OutFile
from stylegan_eval.options import FILE, options_of
from stylegan_eval.settings.images import Features
from stylegan_eval.settings.report import ReportSettings


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
@click.option(
    "--data", type=FILE, help="Real images, a folder or a zip: shows the nearest of each sample."
)
@click.option(
    "--ckpt",
    "ckpts",
    type=NetworkPath(),
    multiple=True,
    metavar="CKPT|demo",
    help="Also this generator, or where a measured one has gone; may be said several times.",
)
@click.option("--weights", type=FILE, help="Of --features; by default the official file.")
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

    Files of `ppl --distances` beside a table are found by themselves.
    """
    import shlex
    import sys

    from stylegan_eval.report.build import ReportInputs, write_report

    if not inputs and not ckpts:
        raise click.UsageError("name a table of results, the folder of a training, or --ckpt")
    write_report(
        ReportInputs(
            paths=inputs,
            ckpts=ckpts,
            data=data,
            weights=weights,
            device=device,
            command=shlex.join(["stylegan-eval", *sys.argv[1:]]),
        ),
        out,
        ReportSettings(title=title, samples=samples, seed=seed, features=features),
        tell,
    )
    click.echo(out)


report.params += options_of(ReportSettings)
