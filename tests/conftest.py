"""What all tests share."""

import pytest
import torch
from hypothesis import settings

# The same examples every time, and no limit on a shared machine's mood.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Test processes share the cores; threads that wait for each other are ten times slower."""
    torch.set_num_threads(1)
