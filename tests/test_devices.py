"""Which GPU a process takes, with a simulated CUDA interface."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.device import check_precision, device_name, device_of_process
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.image_pass import FileImages, collect


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


@dataclass
class Shown:
    """Keeps what it is shown."""

    num: int
    name: str = "shown"
    identity: str = "all"
    images: list = field(default_factory=list)

    def begin(self):
        return self

    def add(self, samples):
        self.images.append(samples.images)

    def arrays(self):
        return {"images": torch.cat(self.images).numpy()}


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_images_of_files_are_put_into_page_locked_memory_for_a_gpu(kind, tmp_path, monkeypatch):
    locked = []

    def pin_memory(tensor):
        locked.append(tensor.clone())
        return locked[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    expected = np.arange(5 * 3 * 8 * 8, dtype=np.uint8).reshape(5, 3, 8, 8)
    np.save(tmp_path / "images.npy", expected)
    with open_images(tmp_path / "images.npy") as files:
        source = FileImages(files=files, indices=range(5), mirror=False, seed=0, batch=2)
        shown, run = Shown(5), Run(device=torch.device(kind), folder=tmp_path / "work")
        [block] = collect(source, [shown], {"images": kind}, run, "images")["shown"]
    assert np.array_equal(block["images"], expected)
    assert len(locked) == (3 if kind == "cuda" else 0)
    assert all(any(image is each for each in locked) for image in shown.images if locked)


def test_unfinished_work_is_of_a_model_of_gpu(machine):
    machine()
    assert device_name(torch.device("cuda:1")) == "Tesla T4"
    assert device_name(torch.device("cpu")) == "cpu"
