"""`stylegan-eval stats`: mean and covariance of features to a file that FID programs share."""

from pathlib import Path
from typing import Any

import click

from stylegan_eval.command import ErrorLineCommand, say
from stylegan_eval.options import FILE, INPUTS, options_of
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.images import StatsSettings


def _write(out: Path, **values: Any) -> None:
    from stylegan_eval.evaluation.run import open_run
    from stylegan_eval.evaluation.write_statistics import write_statistics

    inputs = Inputs(**{key: values.pop(key) for key in ("data", "weights", "device")})
    run = open_run(inputs.device)
    line = write_statistics(out, inputs, StatsSettings(**values), run)
    if run.processes.is_first:
        say(line)
    run.finish()


stats = ErrorLineCommand(
    "stats",
    callback=_write,
    help="Write mu and sigma of the features of images to OUT.npz, for fid --data OUT.npz.",
    params=[
        click.Argument(["out"], type=FILE, metavar="OUT.npz"),
        *(INPUTS[key] for key in ("data", "weights", "device")),
        *options_of(StatsSettings),
    ],
)
