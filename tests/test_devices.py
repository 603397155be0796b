"""Which GPU a process takes, with a simulated CUDA interface."""

import pytest
import torch

from stylegan_eval.engine.precision import check_precision
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.generators.loading import device_name, device_of_process


@pytest.fixture
def machine(monkeypatch):
    """A machine with two GPUs of a model; which of them was taken."""
    taken = []

    def play(model="Tesla T4", capability=(7, 5)):
        for name, value in {
            "is_available": lambda: True,
            "device_count": lambda: 2,
            "set_device": taken.append,
            "get_device_name": lambda *_: model,
            "get_device_capability": lambda *_: capability,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        return taken

    return play


@pytest.mark.parametrize(
    ("name", "rank", "world", "expected"),
    [
        ("auto", 0, 1, "cuda"),
        ("cuda:1", 0, 1, "cuda:1"),
        ("auto", 1, 2, "cuda:1"),
        ("cuda", 0, 2, "cuda:0"),
        ("cpu", 1, 2, "cpu"),
    ],
)
def test_each_process_takes_its_gpu_and_makes_it_the_current_one(
    machine, name, rank, world, expected
):
    taken = machine()
    device = device_of_process(name, Processes(rank=rank, world=world, local_rank=rank))
    assert str(device) == expected
    assert taken == ([device] if ":" in expected else [])


def test_one_gpu_is_not_taken_by_several_processes(machine):
    machine()
    with pytest.raises(UserError, match="cuda:0 is one GPU for 2 processes: use --device cuda"):
        device_of_process("cuda:0", Processes(rank=1, world=2, local_rank=1))
    with pytest.raises(UserError, match=r"process 2 of this machine has no GPU: start 2 here"):
        device_of_process("cuda", Processes(rank=2, world=3, local_rank=2))


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_gpu_that_cannot_compute_in_a_precision_is_named(machine, precision):
    machine()
    message = r"needs a GPU of compute capability 8.0 .*, Tesla T4 has 7.5: use fp32"
    with pytest.raises(UserError, match=f"{precision} {message}"):
        check_precision(precision, "cuda")
    check_precision("fp32", "cuda")
    machine("NVIDIA A100", (8, 0))
    check_precision(precision, "cuda")


def test_unfinished_work_is_of_a_model_of_gpu(machine):
    machine()
    assert device_name(torch.device("cuda:1")) == "Tesla T4"
    assert device_name(torch.device("cpu")) == "cpu"
