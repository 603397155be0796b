"""Options of the files and the device that a measurement works with."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from stylegan_eval.engine.command import NetworkPath
from stylegan_eval.engine.options import CSV, FILE
from stylegan_eval.networks import weighed


def parse_weights(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> Mapping[str, Path]:
    """FILE or NAME=FILE, several times -> files by the network's name ("" where none is said)."""
    files: dict[str, Path] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or Path(value).exists():
            name, file = "", value
        if name and name not in weighed():
            message = f"no network is called {name}: expected one of {', '.join(weighed())}"
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
        help="Checkpoint of the generator, or the name of a packaged one (demo).",
    ),
    "generator": click.Option(
        ["--generator"],
        metavar="MODULE:FACTORY",
        help="Instead of --ckpt: a function device -> generator, or a TorchScript file. Runs its"
        " code.",
    ),
    "range": click.Option(
        ["--range"],
        metavar="LOW,HIGH",
        callback=parse_range,
        help="Black and white in the images of --generator: 0,1 or 0,255.  [default: -1,1]",
    ),
    "images": click.Option(
        ["--images"],
        type=FILE,
        help="Instead of --ckpt: generated images, as a folder, zip, array (.npz, .npy), list of"
        " paths (.txt; - is standard input), tar, parquet, TFRecords or LMDB; for fid and sfid also"
        " statistics (.npz).",
    ),
    "data": click.Option(["--data"], type=FILE, help="Real images, in the same formats."),
    "held_out": click.Option(
        ["--held-out"],
        type=FILE,
        help="For ct: real images that the generator was not trained on, while --data are those it"
        " was trained on.",
    ),
    "weights": click.Option(
        ["--weights"],
        multiple=True,
        metavar="[NAME=]FILE",
        callback=parse_weights,
        help="Weights of the feature network; NAME=FILE where there are several networks: "
        + ", ".join(weighed())
        + ".",
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
        help="Also write the path lengths of all pairs, for the histograms of a report.",
    ),
    "influence": click.Option(
        ["--influence"],
        type=CSV,
        metavar="FILE.csv",
        help="Also write each image's contribution to the distance, generated and real.",
    ),
    "pairs": click.Option(
        ["--pairs"],
        type=CSV,
        metavar="FILE.csv",
        help="Also write the nearest training image of each generated one, likely copies first.",
    ),
    "device": click.Option(
        ["--device"], default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
    ),
}
