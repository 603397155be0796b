"""Outcomes with known numbers, and folders of trainings with networks that nobody trained."""

from pathlib import Path

from benchmarks.outcomes import Outcome, Request, TrainingState
from stylegan.checkpoint import checkpoint_path, save_checkpoint
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.state import TrainState
from stylegan_eval.results.run_folder import append_rows


def request(**changed):
    fields = {
        "table": "table1",
        "title": "Table 1: FID of generator designs",
        "scale": "demo-32",
        "dataset": "ffhq",
        "kimg": 100.0,
        "data": "avatars, 10,240 images of 32x32",
        "command": "python -m benchmarks run table1 --out results",
    }
    return Request(**(fields | changed))


def outcome(line, seed=0, value=None, **changed):
    fields = {
        "request": request(),
        "label": f"design {line}",
        "space": "",
        "metric": "fid",
        "condition": "",
        "state": "waiting" if value is None else "done",
        "measured_as": "" if value is None else "fd5k_efficientnet-lite0",
    }
    return Outcome(line=line, seed=seed, value=value, **(fields | changed))


def cells(published=None, **values):
    """A line per name with its seeds' values."""
    return [
        outcome(line, seed, value, published=(published or {}).get(line))
        for line, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]


def training(network, folder, seed=0):
    return TrainingState(
        name=f"{network}-s{seed}-00000000",
        folder=Path(folder),
        network=network,
        seed=seed,
        kimg=1.0,
        seconds=90.0,
        machine="cpu, 2 cores, 1 thread, fp32",
    )


def untrained(network, folder, seed=0):
    """A folder as `stylegan-train` leaves it: a log, a metric and a checkpoint of 16x16."""
    config = apply_preset(CONFIGS[network], "tiny-16")
    state = TrainState.fresh(config, Runtime.choose("cpu"), seed)
    state.lod, state.nimg = 0.0, 1000
    folder.mkdir(parents=True)
    provenance = Provenance(seed=seed, data="none", version="0")
    save_checkpoint(checkpoint_path(folder, 1000), state.snapshot(config, provenance))
    terms = {"loss_D": 1.3, "loss_G": 0.9, "score_real": 0.2, "score_fake": -0.1}
    rows = [{"nimg": at * 10, **terms, "loss_D": 1.3 + at % 7 / 10} for at in range(1, 101)]
    append_rows(folder / "log.jsonl", rows)
    distance = {"metric": "fd_efficientnet-lite0", "stderr": 1.0}
    values = [{"nimg": at * 500, "value": 900.0 / at, **distance} for at in (1, 2)]
    append_rows(folder / "metrics.jsonl", values)
    return training(network, folder, seed)
