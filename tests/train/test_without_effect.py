"""Options of `stylegan-train` that would have no effect are refused, and leave nothing behind."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stylegan.train import main
from stylegan.training.settings import MetricSettings, RunSettings, check_effect

NEW = "--config F --preset tiny-16 --data {data} --out {out}"
METRICS = "is for --metrics: leave it out without --metrics"
REFUSED = [
    (f"{NEW} --grad-accum 2 --memory-limit 10GiB", "leave --grad-accum out"),
    (f"{NEW} --metrics-every 1", f"--metrics-every {METRICS}"),
    (f"{NEW} --metrics-every 0", f"--metrics-every {METRICS}"),
    (f"{NEW} --metrics-features inception", f"--metrics-features {METRICS}"),
    (f"{NEW} --metrics-batch 32 --dry-run", f"--metrics-batch {METRICS}"),
    (f"{NEW} --ppl-crop face", f"--ppl-crop {METRICS}"),
    (f"{NEW} --ppl-distance auto", f"--ppl-distance {METRICS}"),
    (f"{NEW} --metrics fid20 --ppl-crop none", "leave it out without ppl among --metrics"),
    (f"{NEW} --metrics ppl_wend --metrics-features vgg16", "vgg16 is of no metric among --metrics"),
    (f"{NEW} --metrics sfid20 --metrics-features vgg16", "vgg16 is of no metric among --metrics"),
    (f"--resume auto {NEW} --metrics-every 1", f"--metrics-every {METRICS}"),
    ("--resume {run} --out {out} --metrics-every 1", f"--metrics-every {METRICS}"),
    ("--resume {limited} --grad-accum 1", "run's --memory-limit: leave --grad-accum out"),
    ("--resume {run} --cond", "--cond: the run has no labels: leave it out to continue it"),
    (f"{NEW} --dry-run --print-config", "--dry-run and --print-config: give one of them"),
    ("--out {out} status {run}", "--out is for a training: leave it out with status"),
]


@pytest.fixture(scope="module")
def limited(finished, tmp_path_factory):
    """A run with a memory limit."""
    folder = tmp_path_factory.mktemp("limited") / "run"
    shutil.copytree(finished, folder)
    tree = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(tree | {"memory_limit": 10**9}))
    return folder


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_an_option_without_effect_is_refused(words, message, finished, limited, data, tmp_path):
    names = {"run": finished, "limited": limited, "data": data, "out": tmp_path / "run"}
    before = [sorted(folder.rglob("*")) for folder in (finished, limited)]
    done = CliRunner().invoke(main, words.format(**names).split())
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []
    assert [sorted(folder.rglob("*")) for folder in (finished, limited)] == before


@pytest.mark.parametrize(
    ("metrics", "options"),
    [
        ("fid20", {"metrics_every": 1.0, "metrics_batch": 8, "metrics_features": "inception"}),
        ("ppl_wend", {"ppl_crop": "none", "ppl_distance": "st-lpips-alex", "metrics_batch": 8}),
        ("sfid20,pr20", {"metrics_features": "efficientnet-lite0"}),
        ("", {"grad_accum": 2, "metrics_every": None}),
    ],
)
def test_options_with_effect_are_taken_of_metrics_that_a_run_remembers(metrics, options):
    network = options.get("metrics_features", "inception")
    asked = MetricSettings(metrics=metrics, metrics_features=network)
    settings = RunSettings(out=Path("x"), data=Path("y"), metrics=asked)
    check_effect(settings, options)
    if "grad_accum" in options:
        with pytest.raises(click.UsageError, match="--grad-accum"):
            check_effect(replace(settings, memory_limit=1), options)


def test_torchrun_starts_the_processes_that_it_says(data, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    words = NEW.format(data=data, out=tmp_path / "run").split()
    done = CliRunner().invoke(main, [*words, "--gpus", "2"])
    assert done.exit_code == 2
    assert "--gpus 2: torchrun has started 1: leave --gpus out" in done.stderr
    assert list(tmp_path.iterdir()) == []
