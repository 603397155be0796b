"""Options of the command lines: made from settings classes, and those of all inputs."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from stylegan_eval.command import NetworkPath
from stylegan_eval.settings.images import Features

# Those whose weights are files of their own.
NETWORKS = (
    *(name for name in typing.get_args(Features) if name != "efficientnet-lite0"),
    "lpips-vgg",
)
FILE = click.Path(path_type=Path)


def options_of(settings: type) -> list[click.Parameter]:
    """Return one option per field of a settings class."""
    hints = typing.get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        choices = typing.get_args(hints[field.name])
        flag = hints[field.name] is bool
        options.append(
            click.Option(
                [*names_of(field.name), field.name],
                default=field.default,
                show_default=not flag,
                is_flag=flag,
                type=click.Choice(choices) if choices else hints[field.name],
                help=field.metadata["help"],
            )
        )
    return options


def names_of(field: str) -> list[str]:
    """Names of the option of a field; torchrun takes ``--num`` for its own ``--numa-binding``."""
    return [f"--{field.replace('_', '-')}", *(["-n"] if field == "num" else [])]


def parse_weights(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> Mapping[str, Path]:
    """FILE or NAME=FILE, several times -> files by the network's name ("" where none is said)."""
    files: dict[str, Path] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or Path(value).exists():
            name, file = "", value
        if name and name not in NETWORKS:
            message = f"no network is called {name}: expected one of {', '.join(NETWORKS)}"
            raise click.BadParameter(message, ctx, param)
        if name in files:
            raise click.BadParameter(f"two files for {name or 'one network'}", ctx, param)
        files[name] = Path(file)
    return files


def parse_range(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, float] | None:
    """LOW,HIGH -> two numbers."""
    if value is None:
        return None
    try:
        low, high = (float(end) for end in value.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        message = f"expected two numbers LOW,HIGH such as 0,1 or 0,255, got {value!r:.60}"
        raise click.BadParameter(message, ctx, param)
    return low, high


INPUTS: Mapping[str, click.Option] = {
    "ckpt": click.Option(
        ["--ckpt"],
        type=NetworkPath(),
        help="Checkpoint of the generator, or the name of one that a package carries (demo).",
    ),
    "generator": click.Option(
        ["--generator"],
        metavar="MODULE:FACTORY",
        help="Instead: a function device -> generator, or a TorchScript file. Runs its code.",
    ),
    "range": click.Option(
        ["--range"],
        metavar="LOW,HIGH",
        callback=parse_range,
        help="Values of the images of --generator, black and white: 0,1 or 0,255.  [default: -1,1]",
    ),
    "images": click.Option(
        ["--images"], type=FILE, help="Instead: generated images, a folder or a zip (fid: or .npz)."
    ),
    "data": click.Option(
        ["--data"], type=FILE, help="Real images: a folder or a zip (fid: or .npz)."
    ),
    "weights": click.Option(
        ["--weights"],
        multiple=True,
        metavar="[NAME=]FILE",
        callback=parse_weights,
        help="Weights of the feature network; NAME=FILE where there are several networks.",
    ),
    "classifiers": click.Option(
        ["--classifiers"],
        type=FILE,
        help="Attribute classifiers (stylegan-eval classifiers), or a folder of the official ones.",
    ),
    "distances": click.Option(
        ["--distances"],
        type=FILE,
        metavar="FILE.npz",
        help="Also write every pair's path length here, for the histograms of a report.",
    ),
    "device": click.Option(
        ["--device"], default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
    ),
}
