"""What a run says before it starts, against what a run then does."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan.checkpoint import newest_checkpoint
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.runtime import Runtime
from stylegan.training.cost import phase_costs
from stylegan.training.partition import Execution
from stylegan.training.plan import (
    TrainingPlan,
    Written,
    available_memory,
    checkpoint_bytes,
    convolution_rate,
    describe_plan,
    make_plan,
    prepared_images,
    run_files,
    shortage,
    summary,
)
from stylegan.training.settings import MetricSettings, RunSettings
from stylegan_eval.engine.processes import Processes

CPU = torch.device("cpu")


def plan_of(config, *, measured, world=1, free_memory=math.inf):
    costs = phase_costs(config, world=world)
    speeds = [
        replace(cost, img_per_s=100.0 / (k + 1), measured=k < measured)
        for k, cost in enumerate(costs)
    ]
    return TrainingPlan(
        config=config,
        execution=Execution(),
        runtime=Runtime(CPU, Processes(world=world)),
        phases=speeds,
        free_memory=free_memory,
    )


def test_a_checkpoint_takes_what_was_announced(finished, tiny):
    actual = newest_checkpoint(finished).stat().st_size
    assert checkpoint_bytes(tiny) < actual  # names and padding come on top
    size = checkpoint_bytes(CONFIGS["F"])
    assert size / 2**20 == pytest.approx(4 * (3 * 26.2 + 2 * 23.1) * 1e6 / 2**20, rel=0.05)


def test_first_moments_are_stored_where_they_matter(tiny):
    with_beta1 = replace(tiny, schedule=replace(tiny.schedule, beta1=0.5))
    assert checkpoint_bytes(with_beta1) > 1.15 * checkpoint_bytes(tiny)


def test_a_run_writes_no_more_than_was_announced(finished, tiny):
    """The fixture takes a checkpoint every 0.2 kimg and keeps three."""
    files = run_files(tiny, RunSettings(out=finished, data=Path(), snapshot_kimg=0.2))
    checkpoints, sheets, log = files
    assert [item.what for item in files] == ["checkpoints", "sample sheets", "log"]
    pictures = list(finished.glob("*.png"))
    assert len(pictures) <= sheets.count == 5  # those of one kimg share a name
    assert max(picture.stat().st_size for picture in pictures) <= sheets.size
    assert len(list(finished.glob("checkpoint-*.pt"))) <= checkpoints.count == 5  # and one by time
    rows = (finished / "log.jsonl").read_text().splitlines()
    assert log.count - 1 <= len(rows) <= log.count
    assert sum(len(row) for row in rows) <= log.total


def test_the_best_checkpoint_is_one_more(tiny):
    plain, best = (
        run_files(
            tiny,
            RunSettings(
                out=Path("run"),
                data=Path(),
                snapshot_kimg=0.1,
                keep=2,
                metrics=MetricSettings(metrics=metrics),
            ),
        )[0].count
        for metrics in ("", "fid10k")
    )
    assert (plain, best) == (4, 5)


def test_prepared_images_take_what_was_announced(data, tmp_path):
    open_pyramid(data, cache=tmp_path, progress=False)
    announced = prepared_images(data, tmp_path)
    files = [path for path in announced.folder.rglob("*.npy") if path.is_file()]
    headers = 128 * len(files)
    assert announced.total == sum(path.stat().st_size for path in files) - headers > 0


def test_a_full_disk_is_announced(tmp_path):
    out = tmp_path / "not" / "yet"
    assert shortage([Written(what="x", count=2, size=100, folder=out)], out) is None
    message = shortage([Written(what="x", count=2, size=2**60, folder=out)], out)
    assert message.startswith("a run needs up to 2097152 TiB in")
    assert str(out) in message
    assert "\n" not in message
    assert not out.exists()


def test_what_was_not_timed_is_marked(tiny):
    plan = plan_of(tiny, measured=2)
    lines = list(describe_plan(plan))
    rows = lines[lines.index("phases:") + 2 :][: len(plan.phases)]
    assert [row.endswith(" *") for row in rows] == [False, False, True]
    assert [row.split()[1:3] for row in rows] == [["8", "8"], ["16", "fade"], ["16", "8"]]
    assert max(map(len, rows)) <= 100
    assert any("2 of 3 phases were timed" in line for line in lines)
    seconds = sum(s.images * (k + 1) / 100 for k, s in enumerate(plan.phases))
    assert plan.seconds == pytest.approx(seconds)


def test_a_run_starts_with_few_lines(tiny, tmp_path):
    files = run_files(tiny, RunSettings(out=tmp_path, data=Path()))
    lines = list(summary(plan_of(tiny, measured=3, world=2), files, tmp_path))
    assert [line.split(":")[0] for line in lines] == ["on", "memory", "length", "writes"]
    assert "cpu, 2 processes, fp32, channels_last" in lines[0]
    assert "at 16x16, 4 images at a time" in lines[1]
    assert "all phases were timed" in lines[2]
    assert str(tmp_path) in lines[3]


def test_too_little_memory_and_too_little_disk_are_warned_of(tiny, tmp_path):
    plan = plan_of(tiny, measured=0, free_memory=1000.0)
    files = [Written(what="checkpoints", count=1, size=2**60, folder=tmp_path)]
    lines = list(summary(plan, files, tmp_path))
    assert any(
        line.startswith("warning: cpu has 1000 B left: use --memory-limit") for line in lines
    )
    assert any(line.startswith("warning: a run needs up to") for line in lines)
    assert any("at least" in line for line in lines)


def test_a_plan_is_made_by_real_steps(tiny):
    plan = make_plan(tiny, Execution(), Runtime(CPU), budget=20.0)
    assert len(plan.phases) == len(phase_costs(tiny))
    assert plan.phases[0].measured
    assert 0 < plan.seconds < math.inf
    assert plan.largest.memory == max(speed.memory for speed in plan.phases)


def test_a_machine_says_what_it_has():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < available_memory(CPU) <= total
    assert convolution_rate(CPU, seconds=0.05) > 1e6
