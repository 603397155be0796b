"""A data set and a finished run, small enough to make anew for every test run."""

from dataclasses import replace

import numpy as np
import pytest

from stylegan.configs import CONFIGS, config_text
from stylegan.datasets.archive import write_archive
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.training.settings import RunSettings
from tests.fresh import start_run


@pytest.fixture(scope="session")
def runtime():
    return Runtime.choose("cpu")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """300 images of 16x16 of smooth noise."""
    path = tmp_path_factory.mktemp("data") / "noise16.zip"
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in coarse.repeat(4, axis=1).repeat(4, axis=2)))
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(data):
    """Configuration F at 16x16: half a thousand images through growth 8 -> 16."""
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), total_kimg=0.6)
    schedule = replace(config.schedule, training_kimg=0.15, transition_kimg=0.2)
    return replace(config, schedule=schedule)


@pytest.fixture(scope="session")
def ticking(tmp_path_factory):
    """File of configuration F at 16x16 with a row of the log after every schedule update."""
    config = apply_preset(CONFIGS["F"], "tiny-16")
    schedule = replace(config.schedule, tick_kimg=((8, 0.03), (16, 0.03)))
    path = tmp_path_factory.mktemp("config") / "ticking.json"
    path.write_text(config_text(replace(config, schedule=schedule)))
    return path


@pytest.fixture(scope="session")
def finished(tiny, data, cache, runtime, tmp_path_factory):
    """Folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "f16"
    settings = RunSettings(out=out, data=data, seed=5, snapshot_kimg=0.2, cache=cache)
    start_run(tiny, settings, runtime)
    return out
