"""The command `stylegan-explore`: a local page with one network, or with two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.sample import options
from stylegan.sample.options import directions_option
from stylegan_eval.engine.command import (
    ErrorLineCommand,
    escape_unprintable,
    say,
    stopping_on_signals,
)
from stylegan_eval.engine.options import NetworkPath

if TYPE_CHECKING:
    from stylegan.explore.networks import Opened

_MOST = 2  # networks


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--ckpt",
    "ckpts",
    required=True,
    multiple=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network;"
    " a second one to compare it with.",
)
@directions_option
@click.option("--host", default="127.0.0.1", help="Address to listen at: this machine's alone.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, help="Port; 0 is any that is free."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@options.device
def main(
    ckpts: tuple[Path, ...],
    directions: Path | None,
    host: str,
    port: int,
    opens: bool,
    device: str,
) -> None:
    """Serve a page to explore a network: seeds, truncation, mixing, noise, attributes.

    \b
    stylegan-explore --ckpt demo
    stylegan-explore --ckpt runs/a --ckpt runs/b
    stylegan-explore --ckpt runs/f32 --directions f32-directions.safetensors --port 0 --open

    Each image can be downloaded with the command that draws it again. Stops on Ctrl-C.
    """
    escape_unprintable()
    _check_named(ckpts)
    with stopping_on_signals():
        from stylegan.explore.server import check_installed, listen

        check_installed()
        with listen(host, port) as listener:
            from stylegan.explore.site import serve

            opened = _open(ckpts, directions, device)
            for line in listener.warnings():
                say(line, err=True)
            shown = [f"{subject.ckpt} ({subject.description})" for subject, _ in opened]
            say(f"{' and '.join(shown)} at {listener.url}")
            if opens:
                click.launch(listener.url)
            serve(opened, listener)


def _check_named(ckpts: Sequence[Path]) -> None:
    if len(ckpts) > _MOST:
        raise click.UsageError(f"--ckpt is given {len(ckpts)} times: at most two are compared")
    if len({*ckpts}) < len(ckpts):
        raise click.UsageError(f"--ckpt {ckpts[0]} is given twice: name another network, or one")


def _open(ckpts: Sequence[Path], directions: Path | None, device: str) -> list[Opened]:
    """Open the networks; the directions are those of the first."""
    from stylegan.sample.drawing import open_source
    from stylegan.sample.recipe import GeneratorSource
    from stylegan_eval.engine.files import sha256_of

    opened = []
    for place, ckpt in enumerate(ckpts):
        named = directions if place == 0 else None
        source = GeneratorSource(ckpt=ckpt, directions=named, device=device)
        opened.append((open_source(source, moves=place == 0), source))
    if len({sha256_of(subject.file) for subject, _ in opened}) < len(opened):
        raise click.UsageError(
            f"{' and '.join(map(str, ckpts))} are the same network: name another one, or one alone"
        )
    return opened


if __name__ == "__main__":
    main()
