"""What all tests share."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

# Test processes share the cores; threads that wait for each other are ten times slower. Before
# PyTorch is imported: later, threads other than the main one would still begin with all cores.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

from tests import browser, starting

# The same examples every time, and no limit on a shared machine's mood.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _ignored_signals():
    """A suite in the background of a shell ignores Ctrl-C, one under nohup that its terminal is
    gone, and what it starts would do so too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # The suite still lives on; processes it starts take no handler over.
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """No test finds anything in the cache of the user, nor leaves anything there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _end_of_all():
    """What a test has started ends with the tests at the latest."""
    yield
    starting.end_all()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser, of which a file of tests borrows a tab."""
    if browser.PATH is None:
        pytest.skip("no chromium or chrome on PATH")
    started = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def official(tmp_path_factory):
    """Checkpoint that holds the official weights of a row."""
    from stylegan.checkpoint import save_checkpoint
    from stylegan.runtime import Runtime
    from stylegan.snapshot import Provenance
    from stylegan.training.state import TrainState
    from tests.train import golden

    def make(row):
        path = folder / f"{row}.pt"
        if not path.exists():
            config = golden.small_config(row)
            state = TrainState.fresh(config, Runtime.choose("cpu"), 0)
            state.G_ema.load_state_dict(golden.generator(row).state_dict())
            state.D.load_state_dict(golden.discriminator(row).state_dict())
            state.lod = 0.0
            save_checkpoint(path, state.snapshot(config, Provenance(seed=0, data="", version="")))
        return path

    folder = tmp_path_factory.mktemp("official")
    return make


@pytest.fixture(scope="session")
def apart():
    """Runs a function in a process with a fake GPU, which stays as long as the process."""
    from tests.train import fake_device

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=fake_device.register) as pool:
        yield lambda *args: pool.submit(*args).result()
