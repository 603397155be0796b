"""Trials behind the CPU presets: what minibatch, learning rate, gamma and half-life give.

``python -m benchmarks.scale_trial --data avatars32.zip --out trials --minibatch 16 --gamma 10``
trains configuration F at the scale of ``quick-32`` with the given values, measures it with
EfficientNet-lite0 features, and appends one row to ``trials/trials.csv``.
"""

from dataclasses import replace
from pathlib import Path

import click
import pandas as pd

from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training.run import start_run
from stylegan.training.settings import RunSettings
from stylegan_eval.catalogue import METRICS
from stylegan_eval.evaluation.run import measure, open_run
from stylegan_eval.files import atomic_write
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.images import FidSettings


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Archive, 32x32.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of all trials.")
@click.option("--minibatch", type=int, default=16, help="Images per step.")
@click.option("--lrate", type=float, default=0.004, help="Learning rate.")
@click.option("--gamma", type=float, default=10.0, help="Weight of R1.")
@click.option("--ema-kimg", type=float, default=1.0, help="Half-life of the average.")
@click.option("--kimg", type=float, default=24.0, help="Length.")
@click.option("--num", type=int, default=2000, help="Images of the distance.")
def main(
    data: Path,
    out: Path,
    minibatch: int,
    lrate: float,
    gamma: float,
    ema_kimg: float,
    kimg: float,
    num: int,
) -> None:
    """Train and measure one variant of quick-32."""
    config = apply_preset(CONFIGS["F"], "quick-32")
    schedule = replace(
        config.schedule,
        minibatch_base=minibatch,
        lrate_base=lrate,
        ema_kimg=ema_kimg,
        total_kimg=kimg,
    )
    config = replace(config, schedule=schedule, loss=replace(config.loss, r1_gamma=gamma))
    name = f"b{minibatch}-lr{lrate:g}-gamma{gamma:g}-ema{ema_kimg:g}-{kimg:g}kimg"
    settings = RunSettings(out=out / name, data=data, snapshot_kimg=kimg)
    checkpoint = start_run(config, settings, Runtime.choose("auto"))
    inputs = Inputs(ckpt=checkpoint, data=data)
    distance = FidSettings(num=num, features="efficientnet-lite0")
    run = open_run(inputs.device)
    result, *_ = measure(METRICS["fid"], inputs, distance, run)
    run.finish()
    row = {
        "minibatch": minibatch,
        "lrate": lrate,
        "gamma": gamma,
        "ema_kimg": ema_kimg,
        "kimg": kimg,
        result.metric: round(result.value, 1),
        "num": num,
    }
    path = out / "trials.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    table = pd.DataFrame([*rows, row])
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)
    click.echo(table.to_string(index=False))


if __name__ == "__main__":
    main()
