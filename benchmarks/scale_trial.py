"""Trials behind the CPU presets: configuration F at 32x32 with other rates, sizes and phases.

``python -m benchmarks.scale_trial run --data av32.zip --out trials`` trains every trial that is
not finished there, with its distance along the way; a second runner in the same folder takes
others; a stopped one goes on from its last checkpoint. ``report --out trials`` prints the table.
All trials take about the same processor time: a slower step has a shorter run.
"""

import json
import resource
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import pandas as pd

from benchmarks.folder import read_json, write_json
from benchmarks.processes import call, claimed
from stylegan.auto import Auto, Hardware
from stylegan.configs import CONFIGS, Config, config_from_dict, config_to_dict
from stylegan.presets import Tuning, apply_preset
from stylegan_eval.engine.command import ErrorLineGroup
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import METRICS_FILE, read_rows

_POINTS = 4  # distances along a run
_USAGE, _DONE = "usage.json", "done.json"


@dataclass(frozen=True, kw_only=True)
class ScaleTrial:
    """Changes of configuration F at the scale `demo-32`, and how it is trained."""

    lrate: float = 0.006
    minibatch: int = 16
    phase_kimg: float = 10.0
    width: int = 64
    latents: int = 128
    ema_kimg: float = 3.0
    gamma: float = 10.0
    mixing: float = 0.9
    kimg: float = 100.0

    def config(self) -> Config:
        """Configuration F with these values."""
        config = apply_preset(CONFIGS["F"], "demo-32")
        tree = config_to_dict(config)
        tree["loss"] |= {"r1_gamma": self.gamma, "style_mixing_prob": self.mixing}
        tree["schedule"] |= {
            "lrate_base": self.lrate,
            "minibatch_base": self.minibatch,
            "training_kimg": self.phase_kimg,
            "transition_kimg": self.phase_kimg,
            "ema_kimg": self.ema_kimg,
            "total_kimg": self.kimg,
        }
        tree["network"] |= {
            "fmap_base": config.resolution * self.width // 4,
            "fmap_max": self.width,
            **dict.fromkeys(("z_dim", "w_dim", "mapping_fmaps"), self.latents),
        }
        return config_from_dict(tree)


def _auto(kimg: float) -> ScaleTrial:
    """The choice of the preset `auto` on one core for a training of this length."""
    config = Auto(
        row=CONFIGS["F"],
        resolution=32,
        images=None,
        hardware=Hardware(device="cpu"),
        given=Tuning(),
        kimg=kimg,
    ).config
    network, schedule = config.network, config.schedule
    return ScaleTrial(
        lrate=schedule.lrate_base,
        minibatch=schedule.minibatch_base,
        phase_kimg=schedule.training_kimg,
        width=network.fmap_max,
        latents=network.z_dim,
        ema_kimg=schedule.ema_kimg,
        gamma=config.loss.r1_gamma,
        kimg=kimg,
    )


_BASE = ScaleTrial()
TRIALS: Mapping[str, ScaleTrial] = MappingProxyType(
    {
        "base": _BASE,
        "demo-32": replace(_BASE, lrate=0.003),
        "auto": _auto(94.0),
        "lrate-0.004": replace(_BASE, lrate=0.004),
        "lrate-0.008": replace(_BASE, lrate=0.008),
        "lrate-0.012": replace(_BASE, lrate=0.012),
        "minibatch-8": replace(_BASE, minibatch=8, kimg=78.0),
        "minibatch-8-lrate-0.004": replace(_BASE, minibatch=8, lrate=0.004, kimg=78.0),
        "phases-5": replace(_BASE, phase_kimg=5.0, kimg=92.0),
        "phases-20": replace(_BASE, phase_kimg=20.0, kimg=115.0),
        "width-96": replace(_BASE, width=96, kimg=58.0),
        "latents-256": replace(_BASE, latents=256, kimg=96.0),
        "ema-1": replace(_BASE, ema_kimg=1.0),
        "ema-10": replace(_BASE, ema_kimg=10.0),
        "gamma-1": replace(_BASE, gamma=1.0),
        "mixing-0": replace(_BASE, mixing=0.0),
    }
)


def trial_of_length(name: str, part: float) -> ScaleTrial:
    """A trial of part of its length; `auto` with the values that it has for that length."""
    kimg = part * TRIALS[name].kimg
    return _auto(kimg) if name == "auto" else replace(TRIALS[name], kimg=kimg)


def _names(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in value.split(",") if word.strip())
    if unknown := [name for name in names if name not in TRIALS]:
        raise click.BadParameter(f"no trial {unknown[0]!r}; there are: {', '.join(TRIALS)}")
    return names or tuple(TRIALS)


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Train and compare trials of the scale `demo-32`."""


_OUT = click.option("--out", type=click.Path(path_type=Path), required=True, help="Their folder.")


@main.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Archive, 32x32.")
@_OUT
@click.option("--trials", callback=_names, default="", metavar="NAMES", help="Only these.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the trainings.")
@click.option(
    "--length",
    type=click.FloatRange(0.1, 10),
    default=1.0,
    help="Part of each trial's length; a folder holds trials of one length.",
)
@click.option("-n", "num", type=click.IntRange(min=2), default=5000, help="Images of a distance.")
def run(data: Path, out: Path, trials: Sequence[str], seed: int, length: float, num: int) -> None:
    """Train every trial that is not finished."""
    for name in trials:
        folder = out / f"{name}-seed{seed}"
        with claimed(out / "claims", folder.name) as claim:
            if claim is None or (folder / _DONE).exists():
                continue
            click.echo(f"{folder.name}: training")
            _train(trial_of_length(name, length), folder, data, seed, num)
            write_json(folder / _DONE, {"trial": name, "seed": seed})


def _train(trial: ScaleTrial, folder: Path, data: Path, seed: int, num: int) -> None:
    config = folder / "config.json"
    write_json(config, config_to_dict(trial.config()))
    arguments = ["--resume", "auto", "--config", str(config), "--data", str(data)]
    arguments += ["--out", str(folder), "--seed", str(seed), "--precision", "fp32"]
    arguments += ["--metrics", f"fd{num}", "--metrics-features", "efficientnet-lite0"]
    arguments += ["--metrics-every", f"{trial.kimg / _POINTS:g}", "--warmup", "0"]
    with _usage_in(folder / _USAGE):
        reason = call("stylegan.train", arguments, folder / "command.log")
    if reason:
        raise UserError(f"stylegan-train {shlex.join(arguments)}: {reason}")


@contextmanager
def _usage_in(path: Path) -> Iterator[None]:
    """Add the processor seconds of the commands run inside to those in `path`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        yield
    finally:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        earlier = read_json(path)["cpu_seconds"] if path.exists() else 0.0
        write_json(path, {"cpu_seconds": earlier + seconds})


@main.command()
@_OUT
@click.option("--csv", type=click.Path(path_type=Path), help="Write the table here too.")
def report(out: Path, csv: Path | None) -> None:
    """Print the distance along every finished trial, the best last value first."""
    table = trial_table(out)
    if csv is not None:
        table.to_csv(csv, index=False)
    click.echo(table.to_string(index=False, float_format="%.4g"))


def trial_table(out: Path) -> pd.DataFrame:
    """A row for each finished trial and seed: changes, minutes of one thread, distances."""
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob(f"*/{_DONE}")):
        about = read_json(path)
        usage = read_json(path.with_name(_USAGE))
        curve, _ = read_rows(path.with_name(METRICS_FILE))
        distances = {
            round(row["kimg"]): float(row["value"])
            for row in curve
            if not str(row["metric"]).endswith("_inf")
        }
        config = json.loads(path.with_name("config.json").read_text())
        rows.append(
            {
                "trial": about["trial"],
                "seed": about["seed"],
                "lrate": config["schedule"]["lrate_base"],
                "minibatch": config["schedule"]["minibatch_base"],
                "phase_kimg": config["schedule"]["training_kimg"],
                "width": config["network"]["fmap_max"],
                "latents": config["network"]["z_dim"],
                "ema_kimg": config["schedule"]["ema_kimg"],
                "gamma": config["loss"]["r1_gamma"],
                "mixing": config["loss"]["style_mixing_prob"],
                "kimg": config["schedule"]["total_kimg"],
                "cpu_minutes": usage["cpu_seconds"] / 60,
                **{f"d{i}": value for i, value in enumerate(distances.values(), 1)},
                "distance": min(distances.items(), key=lambda pair: -pair[0])[1],
            }
        )
    if not rows:
        raise UserError(f"{out} holds no finished trial: `run --out {out}` makes them")
    return pd.DataFrame(rows).sort_values("distance")


if __name__ == "__main__":
    main()
