"""`stylegan-eval report`: results, trainings and samples on one page."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineCommand, NetworkPath
from stylegan_eval.options import FILE

_FEATURES = (
    *("efficientnet-lite0", "inception", "vgg16", "dinov2-vits14", "dinov2-vitb14"),
    *("dinov2-vitl14", "clip-vitl14-336"),
)


@click.command(cls=ErrorLineCommand)
@click.argument("inputs", type=FILE, nargs=-1, metavar="DIR_OR_CSV...")
@click.option("-o", "out", type=FILE, default=Path("report.html"), show_default=True, help="Page.")
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
@click.option(
    "--samples",
    type=click.IntRange(0, 256),
    default=16,
    show_default=True,
    help="Images of each generator; 0 opens no checkpoint.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of their latents.",
)
@click.option(
    "--features",
    type=click.Choice(_FEATURES),
    default="efficientnet-lite0",
    show_default=True,
    help="Feature network that finds the nearest real image.",
)
@click.option("--weights", type=FILE, help="Its weights; by default the official file.")
@click.option("--title", default="Generators, measured", show_default=True, help="Heading.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def report(
    inputs: tuple[Path, ...],
    out: Path,
    data: Path | None,
    ckpts: tuple[Path, ...],
    samples: int,
    seed: int,
    features: str,
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

    from stylegan_eval.report.build import ReportSettings, write_report

    if not inputs and not ckpts:
        raise click.UsageError("name a table of results, the folder of a training, or --ckpt")
    settings = ReportSettings(
        title=title,
        samples=samples,
        seed=seed,
        features=features,
        weights=weights,
        data=data,
        ckpts=ckpts,
        device=device,
        command=shlex.join(["stylegan-eval", *sys.argv[1:]]),
    )
    write_report(inputs, out, settings, lambda line: click.echo(line, err=True))
    click.echo(out)
