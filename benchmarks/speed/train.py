"""Speed of the training step against plain layers, in one run, alternating.

``python -m benchmarks.speed.train``: a step of D and one of G of configuration F on random images,
by our layers and by `benchmarks.speed.plain`, with the same weights. The ratio is of the medians.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.speed.plain import plain_layers
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime, StepRandom
from stylegan.training.cost import step_cost
from stylegan.training.loop import discriminator_step, generator_step
from stylegan.training.optimizer import update_ema
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState


def make_step(preset: str, lod: float, runtime: Runtime) -> tuple[Callable[[], float], float, int]:
    """A training step that returns its seconds; its floating-point operations; its minibatch."""
    config = apply_preset(CONFIGS["F"], preset)
    state = TrainState.fresh(config, runtime, seed=0)
    point = replace(training_point(0, config), lod=lod)
    size = config.resolution >> int(lod)
    rng = torch.Generator().manual_seed(0)
    reals = torch.randn(point.minibatch, 3, size, size, generator=rng).to(runtime.device)

    def step() -> float:
        if runtime.device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        random = StepRandom.at(0, 0, runtime.device)
        discriminator_step(state, reals.detach(), point, config.loss, random)
        update_ema(state.G_ema, state.G, 0.99)
        generator_step(state, point, config.loss, random)
        if runtime.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return step, step_cost(config, lod, point.minibatch)[0], point.minibatch


@click.command(context_settings={"show_default": True})
@click.option("--preset", default="demo-32", help="Scale.")
@click.option("--lods", default="0,1,2", help="Levels of detail, separated by commas.")
@click.option("--rounds", type=click.IntRange(min=1), default=9, help="Steps of each.")
@click.option("--device", default="auto", help="auto, cpu or cuda.")
@click.option("--csv", type=click.Path(path_type=Path), help="Write the table here too.")
def main(preset: str, lods: str, rounds: int, device: str, csv: Path | None) -> None:
    """Images per second of a training step, ours and plain."""
    runtime = Runtime.choose(device)
    rows = []
    for lod in map(float, lods.split(",")):
        ours, flop, minibatch = make_step(preset, lod, runtime)
        with plain_layers():
            plain, _, _ = make_step(preset, lod, runtime)
            plain()
        ours()
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(rounds):
            times["ours"].append(ours())
            with plain_layers():
                times["plain"].append(plain())
        median = {name: statistics.median(values) for name, values in times.items()}
        rows.append(
            {
                "preset": preset,
                "lod": lod,
                "minibatch": minibatch,
                "ours_img_per_s": minibatch / median["ours"],
                "plain_img_per_s": minibatch / median["plain"],
                "ratio": median["plain"] / median["ours"],
                "ours_gflop_per_s": flop / median["ours"] / 1e9,
                "threads": torch.get_num_threads(),
                "device": str(runtime.device),
            }
        )
    table = pd.DataFrame(rows)
    click.echo(table.to_string(index=False, float_format="%.2f"))
    if csv is not None:
        table.to_csv(csv, index=False)


if __name__ == "__main__":
    main()
