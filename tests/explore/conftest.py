"""Files of networks that several tests open, and a server of one of them."""

import signal

import pytest

from stylegan.explore.studio import Studio
from stylegan.sample.drawing import open_generator
from stylegan.sample.recipe import GeneratorSource
from tests.explore.driving import visit
from tests.explore.networks import CPU, write_attributes, write_conditional, write_network
from tests.explore.served import serving, stop


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Networks by name, and the directions of F."""
    folder = tmp_path_factory.mktemp("explore")
    found = {row: write_network(folder / f"{row}.safetensors", row) for row in "AF"}
    found["growing"] = write_network(folder / "growing.safetensors", "F", lod=1.0)
    found["conditional"] = write_conditional(folder / "conditional.safetensors")
    found["directions"] = write_attributes(folder / "directions.safetensors", found["F"])
    return found


@pytest.fixture(scope="session")
def served(files):
    """Address of the page of F and its directions, which SIGTERM ends when all is done."""
    args = ("--ckpt", files["F"], "--directions", files["directions"], "--device", "cpu")
    with serving(*args) as (process, url):
        yield url
        status, said = stop(process, signal.SIGTERM)
        assert status == 143
        assert said.splitlines()[-1] == "terminated"
        assert "Traceback" not in said


@pytest.fixture(scope="module")
def opened(chromium):
    """A browser, as if nothing had been before."""
    with chromium.borrowed() as tab:
        yield tab


@pytest.fixture
def page(served, opened):
    """The view of one image, which has just been loaded."""
    visit(opened, served)
    return opened


@pytest.fixture
def studio(files):
    """Draws of F."""
    subject = open_generator(files["F"], CPU, None)
    made = Studio(subject, GeneratorSource(ckpt=files["F"], directions=None, device="cpu"))
    yield made
    made.close()
