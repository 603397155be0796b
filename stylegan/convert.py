"""The command `stylegan-convert`: networks of any kind as a file of this toolkit."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_eval.engine.command import ErrorLineCommand, refuse_typed, say
from stylegan_eval.engine.options import NetworkPath

if TYPE_CHECKING:
    from stylegan.snapshot import Snapshot
    from stylegan_eval.pickles.networks import PickledNetwork

# Network of the source by its name in the file that is written, for each choice of --which.
WHICH = {
    "all": {"G_ema": "G_ema", "G": "G", "D": "D"},
    "ema": {"G_ema": "G_ema"},
    "g": {"G_ema": "G"},
    "d": {"D": "D"},
}

ENDINGS = {
    "safetensors": (".safetensors",),
    "onnx": (".onnx",),
    "pt2": (".pt2",),
    "torchscript": (".pt", ".ts", ".pth", ".torchscript"),
}


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.argument("source", metavar="SRC", type=NetworkPath())
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option(
    "--which",
    type=click.Choice(list(WHICH)),
    default="all",
    help="Networks to write. ema: the generator's average, which images are drawn with; g: the"
    " generator itself, in the place of its average; d: the discriminator.",
)
@click.option(
    "--to",
    "kind",
    type=click.Choice(list(ENDINGS)),
    default="safetensors",
    help="Kind of OUT; all but safetensors are programs that draw images from z, given psi.",
)
@click.option("--describe", is_flag=True, help="Tell what SRC holds; write nothing.")
def main(source: Path, out: Path | None, which: str, kind: str, describe: bool) -> None:
    """Write the networks of SRC to OUT, as safetensors that run no code when they are read.

    SRC is a checkpoint or network file of this toolkit, a run's folder, a pickle of NVIDIA's
    StyleGAN or Progressive GAN, or a checkpoint of rosinality's, genforce's, Hammer's or
    huangzh13's implementation. Nothing of SRC is run either.

    \b
    stylegan-convert karras2019stylegan-ffhq-1024x1024.pkl ffhq.safetensors
    stylegan-convert --describe network-snapshot-011185.pkl
    stylegan-convert demo faces.onnx --to onnx
    """
    if describe == (out is not None):
        raise click.UsageError("give a file to write, or --describe, and not both")
    if describe:
        refuse_typed(("which", "kind"), "is for a file to write: leave it out with --describe")
    endings = ENDINGS[kind]
    if out is not None and out.suffix and out.suffix.lower() not in endings:
        raise click.UsageError(
            f"{out}: --to {kind} is written to a file that ends in {' or '.join(endings)}"
        )
    if out is None:
        for label, text in _description(source):
            say(f"{label:10s}{text}".rstrip())
        return
    _convert(source, out, which, kind)
    click.echo(out)


def _convert(source: Path, out: Path, which: str, kind: str) -> None:
    from dataclasses import replace

    from stylegan.network_file import save_network
    from stylegan.opening import open_networks
    from stylegan.snapshot import NOT_AVERAGED
    from stylegan_eval.engine.files import check_apart, check_writable
    from stylegan_eval.errors import UserError

    check_writable(out)
    path, snapshot = open_networks(source)
    check_apart(out, path)
    held = snapshot.networks
    chosen = {ours: held[name] for ours, name in WHICH[which].items() if name in held}
    if not chosen:
        raise UserError(f"{path} holds {', '.join(held)} alone: --which {which} is not there")
    snapshot = replace(snapshot, networks=chosen)
    if kind != "safetensors":
        _export(snapshot, out, kind)
        return
    if which == "g":
        note = "; ".join(filter(None, (snapshot.facts.note, NOT_AVERAGED)))
        snapshot = replace(snapshot, facts=replace(snapshot.facts, scores=(), note=note))
    save_network(out, snapshot)


def _export(snapshot: "Snapshot", out: Path, kind: str) -> None:
    from stylegan.formats.export import KINDS, export_generator

    (chosen,) = [known for known in KINDS if known == kind]
    difference = export_generator(snapshot, out, chosen)
    result = (
        "not compared, for onnxruntime is not installed"
        if difference is None
        else f"differs from this network by at most {difference:.1e} of its largest value"
    )
    say(f"{out}: {result}", err=True)


def _description(source: Path) -> Iterator[tuple[str, str]]:
    """Lines of `--describe`; of a pickle also what this toolkit has no network for."""
    from stylegan.formats.nvidia import is_pickle
    from stylegan.opening import located, open_networks
    from stylegan.sample.cli import lines
    from stylegan_eval.errors import UserError

    path = located(source)
    if is_pickle(path):
        yield from _pickled(path)
    try:
        yield from lines(*open_networks(source))
    except UserError as error:
        if not is_pickle(path):
            raise
        yield "refused", str(error)


def _pickled(path: Path) -> Iterator[tuple[str, str]]:
    from stylegan_eval.errors import UserError
    from stylegan_eval.pickles.networks import read_networks

    try:
        networks = read_networks(path)
    except UserError:
        return  # told by what follows
    for network in networks:
        yield "pickled", _line(network)
        for part in (network, *network.components.values()):
            options = ", ".join(f"{key}={value!r}" for key, value in part.options.items())
            yield "", f"{part.function}({options})"


def _line(network: "PickledNetwork") -> str:
    variables: Any = network.variables.values()
    return (
        f"{network.name} of {network.library}, layout {network.version}: {len(variables)}"
        f" variables, {sum(value.size for value in variables):,} numbers"
    )


if __name__ == "__main__":
    main()
