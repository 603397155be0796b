"""What a plan knows of steps and folders, against counting anew and a real run."""

import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from benchmarks.plan.__main__ import known_trainings
from benchmarks.plan.model import (
    count_work,
    shipped_work,
    sizes,
    training_storage,
    work_key,
    work_of,
    write_work,
)
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import write_archive
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.training.plan import checkpoint_bytes
from stylegan.training.settings import RunSettings
from tests.fresh import start_run

# Narrower than any scale's, so that the package does not know it.
TINY = replace(
    (_SMALL := apply_preset(CONFIGS["F"], "tiny-16")), network=replace(_SMALL.network, fmap_max=6)
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("row", "preset", "size"),
    [
        ("F", "demo-32", 8),
        ("A", "demo-64", 16),
        ("E", "paper-celebahq", 8),
        ("F", "paper-ffhq", 64),
    ],
)
def test_what_is_remembered_is_what_is_counted(row, preset, size):
    config = apply_preset(CONFIGS[row], preset)
    assert work_key(config, size) in shipped_work()
    known, counted = astuple(work_of(config, size)), astuple(count_work(config, size))
    assert known == pytest.approx(counted, rel=1e-6)


def test_the_package_knows_all_rows_at_all_scales():
    """Where it does not: python -m benchmarks.plan --count benchmarks/plan/work.csv."""
    known = shipped_work()
    lacking = [
        (name, size)
        for name, config in known_trainings()
        for size in sizes(config)
        if work_key(config, size) not in known
    ]
    assert lacking == []


def test_what_is_not_in_the_package_is_counted_once(own_cache):
    assert work_key(TINY, 8) not in shipped_work()
    first = work_of(TINY, 8)
    (path,) = (own_cache / "plan").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "parameters": 7.0}))
    assert work_of(TINY, 8) == replace(first, parameters=7.0)
    path.write_text("damaged")
    assert work_of(TINY, 8) == first == count_work(TINY, 8)


def test_only_what_changes_the_work_is_another_key():
    key = work_key(CONFIGS["F"], 64)
    longer = with_options(CONFIGS["F"], total_kimg=7, resolution=64, mirror=False)
    assert work_key(longer, 64) == key
    half = replace(CONFIGS["F"], loss=replace(CONFIGS["F"].loss, style_mixing_prob=0.5))
    assert work_key(half, 64) == key
    assert len({key, work_key(CONFIGS["F"], 32), work_key(CONFIGS["E"], 64)}) == 3


def test_the_file_of_the_package_is_written_and_read(tmp_path):
    path = tmp_path / "work.csv"
    lines = list(write_work([("tiny", TINY), ("again", TINY)], path))
    assert path.read_text().splitlines()[1:] == lines
    assert [line.split(",")[:3] for line in lines] == [
        ["tiny", str(size), work_key(TINY, size)] for size in (8, 16)
    ]
    numbers = [float(number) for number in lines[0].split(",")[3:]]
    work = count_work(TINY, 8)
    assert numbers == [
        *(work.flop_per_image, work.flop_per_step),
        *(work.bytes_per_image, work.bytes_per_step, work.parameters),
    ]


def test_a_folder_is_as_large_as_planned(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    write_archive(tmp_path / "data.zip", ((image, None) for image in images))
    config = with_options(apply_preset(CONFIGS["F"], "quick-32"), total_kimg=0.06)
    settings = RunSettings(
        out=tmp_path / "run",
        data=tmp_path / "data.zip",
        keep=1,
        cache=tmp_path,
        tensorboard=False,
    )
    checkpoint = start_run(config, settings, Runtime.choose("cpu")).stat().st_size
    real = sum(path.stat().st_size for path in settings.out.iterdir())
    planned = training_storage(config, keep=1)
    # The plan counts a checkpoint that is written while the one before it is still there, and one
    # by time.
    assert real <= planned - 2 * checkpoint <= 1.1 * real


def test_storage_grows_by_each_checkpoint_that_is_kept():
    config = apply_preset(CONFIGS["F"], "demo-32")
    one, two, three = (training_storage(config, keep=n) for n in (1, 2, 3))
    assert three - two == two - one == training_storage(config, keep=1, keeps_best=True) - one
    assert two - one == checkpoint_bytes(config)
    often = training_storage(config, keep=1, snapshot_kimg=1)
    assert often > one  # more sheets
