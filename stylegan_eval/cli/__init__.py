"""`stylegan-eval`: a subcommand per metric, its options made from the settings."""

import re
from pathlib import Path
from typing import Any

import click

from stylegan_eval.cli.commands import cache, classifiers, report, stats
from stylegan_eval.cli.comparing import compare, plan_samples
from stylegan_eval.cli.directions import directions
from stylegan_eval.cli.inputs import INPUTS
from stylegan_eval.engine.command import ErrorLineGroup
from stylegan_eval.engine.options import CSV, options_of
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import METRICS, MetricRow
from stylegan_eval.metrics.everything import ALL
from stylegan_eval.settings.common import Inputs

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
        if csv is not None:
            for option, table in (("influence", named.influence), ("pairs", named.pairs)):
                if table is not None and table.resolve() == csv.resolve():
                    raise UserError(f"--{option} and --csv are both {csv}: name two files")
            results.read_table(csv)  # a file of another kind is told before the work, not after
        work = open_run(named.device)
        rows = measure(metric, named, settings, work)
        if work.processes.is_first:
            results.report(rows, csv, work.receipt, as_json=as_json)
        work.finish()

    return click.Command(
        name,
        callback=run,
        help=metric.help,
        params=[*(INPUTS[key] for key in inputs), *options_of(metric.settings), *_outputs()],
    )


for _name, _metric in {**METRICS, "all": ALL}.items():
    main.add_command(_command(_name, _metric))
for _other in (stats, classifiers, compare, plan_samples, report, cache):
    main.add_command(_other)
main.add_command(directions)
