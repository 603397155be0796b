"""`stylegan-sample info`: what a file of networks says of itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from stylegan_eval.command import ErrorLineCommand, NetworkPath, say


@click.command("info", cls=ErrorLineCommand)
@click.option(
    "--ckpt",
    required=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network.",
)
def info_command(ckpt: Path) -> None:
    """Print what a file holds: networks, configuration, origin, and what it was measured to be.

    `stylegan-train --init CKPT --print-config` prints the whole configuration.
    """
    from stylegan.opening import open_networks

    path, tree = open_networks(ckpt)
    for label, said in lines(path, tree):
        say(f"{label:10s}{said}".rstrip())


def lines(path: Path, tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Label and text of each line: what a dictionary of `open_networks` says of its file."""
    from stylegan.checkpoint import load_config
    from stylegan.opening import trained_for
    from stylegan_eval.files import sha256_of

    config, provenance = load_config(tree)
    yield "file", str(path)
    yield "sha256", sha256_of(path)
    yield "format", tree["format"]
    yield "config", f"{config.name} ({config.change}), {config.resolution}x{config.resolution}"
    yield "trained", f"{trained_for(tree)}, lod {tree['lod']:.2f}"
    for name, state in sorted(tree["networks"].items()):
        yield name, f"{sum(value.numel() for value in state.values()):,} numbers"
    yield "seed", str(provenance.seed)
    yield "data", provenance.data or "unknown"
    yield "computed", ", ".join(f"{how} from image {nimg}" for nimg, how in provenance.execution)
    yield "version", provenance.version
    if provenance.init:
        yield "init", provenance.init
    facts = tree.get("facts")
    if facts is None:
        return
    yield "command", facts.command or "unknown"
    for score in facts.scores:
        error = "" if score.stderr is None else f" ± {score.stderr:.2g}"
        yield "score", f"{score.metric} {score.value:.4f}{error}"
        yield "", f"$ {score.command}"
    if facts.note:
        yield "note", facts.note
