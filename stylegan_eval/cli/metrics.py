"""The command of each metric: the options of its files and device, and those of its settings."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stylegan_eval.engine.command import ErrorLineCommand, ErrorLineGroup, refuse_idle
from stylegan_eval.engine.options import CSV, FILE, NetworkPath, options_of
from stylegan_eval.metrics import METRICS, MetricRow
from stylegan_eval.metrics.everything import ALL
from stylegan_eval.networks import weighed
from stylegan_eval.settings.common import Inputs


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


FORMATS = (
    "a folder, zip, array (.npz, .npy), list of paths (.txt; - is standard input), tar, parquet,"
    " TFRecords or LMDB"
)
INPUTS: Mapping[str, click.Option] = {
    "ckpt": click.Option(
        ["--ckpt"],
        type=NetworkPath(),
        help="Checkpoint of the generator, or the name of a bundled one (demo).",
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
        help=f"Instead of --ckpt: generated images, as {FORMATS}; for fid and sfid also statistics"
        " (.npz).",
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


_OFFICIAL = re.compile(r"(fid|kid|is|pr)(\d{1,6})k3?(_full)?")


class _Metrics(ErrorLineGroup):
    """Takes the official names too: fid50k_full is fid -n 50000 --reals full."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand."""
        if match := _OFFICIAL.fullmatch(args[0]):
            number = ["-n", str(int(match[2]) * 1000)]
            args = [match[1], *number, *(["--reals", "full"] if match[3] else []), *args[1:]]
        return super().resolve_command(ctx, args)


@click.group(cls=_Metrics)
def main() -> None:
    """Measure image generators. Results go to stdout, progress to stderr.

    Networks of features see RGB: grey images as three equal channels, images with alpha over white.

    \b
    stylegan-eval fid --ckpt runs/f32 --data avatars.zip --num 2000 \\
        --features efficientnet-lite0 --csv results.csv
    stylegan-eval ppl --ckpt runs/f32 --space w --sampling end
    stylegan-eval all --ckpt runs/f32 --data avatars.zip --csv results.csv
    torchrun --nproc-per-node 8 -m stylegan_eval fid -n 50000 --ckpt ...
    """


def _is_given(ctx: click.Context, key: str) -> bool:
    return ctx.get_parameter_source(key) is not click.core.ParameterSource.DEFAULT


def _outputs() -> list[click.Parameter]:
    return [
        click.Option(["--csv"], type=CSV, help="Append the result to this table."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."),
    ]


def _command(name: str, metric: MetricRow) -> click.Command:
    inputs = (*metric.inputs, "device")

    # The options are made from dataclasses, so they arrive by name.
    @click.pass_context
    def run(ctx: click.Context, /, csv: Path | None, as_json: bool, **values: Any) -> None:
        from stylegan_eval.metrics.given import all_images
        from stylegan_eval.metrics.measure import measure, open_run
        from stylegan_eval.results import results

        named = Inputs(**{key: values.pop(key) for key in inputs})
        if "images" in inputs:
            given = {key: value for key, value in values.items() if _is_given(ctx, key)}
            values |= all_images(named, metric.settings, given)
        settings = metric.settings(**values)
        refuse_idle(settings.idle)
        if csv is not None:
            results.read_table(csv)  # refuse a file of another kind before the work, not after
        work = open_run(named.device)
        rows = measure(metric, named, settings, work)
        if work.processes.is_first:
            results.report(rows, csv, work.receipt, as_json=as_json)
        work.finish()

    return ErrorLineCommand(
        name,
        callback=run,
        help=metric.help,
        params=[*(INPUTS[key] for key in inputs), *options_of(metric.settings), *_outputs()],
    )


for _name, _metric in {**METRICS, "all": ALL}.items():
    main.add_command(_command(_name, _metric))
