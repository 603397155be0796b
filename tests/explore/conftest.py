"""Files of networks that several tests open."""

import pytest

from tests.explore.networks import write_attributes, write_conditional, write_network


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Networks by name, and the directions of F."""
    folder = tmp_path_factory.mktemp("explore")
    found = {row: write_network(folder / f"{row}.safetensors", row) for row in "AF"}
    found["growing"] = write_network(folder / "growing.safetensors", "F", lod=1.0)
    found["conditional"] = write_conditional(folder / "conditional.safetensors")
    found["directions"] = write_attributes(folder / "directions.safetensors", found["F"])
    return found
