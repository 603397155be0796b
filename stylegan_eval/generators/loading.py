"""Load the generator and choose the device of a command line."""

from importlib.metadata import entry_points
from pathlib import Path

import torch

from stylegan_eval.engine.processes import Processes
from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.errors import UserError

LOADERS = "stylegan_eval.loaders"
NETWORKS = "stylegan_eval.networks"


def pick_device(name: str) -> torch.device:
    """Device of this name; ``auto`` is CUDA when present, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got {name}") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got {name}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices:"
            " use --device cpu"
        )
    return device


def device_of_process(name: str, processes: Processes) -> torch.device:
    """Device of one of several processes: each takes the GPU of its number on its machine."""
    device = pick_device(name)
    if device.type == "cpu":
        return device
    if processes.world > 1:
        if device.index is not None:
            raise UserError(
                f"--device {name} is one GPU for {processes.world} processes: use --device cuda,"
                " and each takes the GPU of its number"
            )
        if processes.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {processes.local_rank} of this machine has no GPU: start"
                f" {torch.cuda.device_count()} here (--nproc-per-node), or use --device cpu"
            )
        device = torch.device("cuda", processes.local_rank)
    if device.index is not None:
        torch.cuda.set_device(device)  # what allocates without naming a device takes this one
    return device


def device_name(device: torch.device) -> str:
    """The processor's kind; of a GPU its model, on which its random numbers depend."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def carried_networks() -> list[str]:
    """Names of the networks that installed packages carry."""
    return sorted(entry.name for entry in entry_points(group=NETWORKS))


def load_generator(path: Path, device: torch.device) -> LoadedGenerator:
    """Read a checkpoint, or a carried network by its name, with an installed package's loader.

    A package declares its loader in the entry-point group ``stylegan_eval.loaders``: a function
    ``(path, device) -> LoadedGenerator``, or None where the file (or folder) is not of its kind. A
    package that carries a network declares it in the group ``stylegan_eval.networks``: the name,
    which wins over a file of that name, and a function that returns its path.
    """
    for named in entry_points(group=NETWORKS, name=str(path)):
        path = named.load()()
    if not path.exists():
        raise UserError(f"{path}: no such checkpoint")
    tried = []
    for entry in sorted(entry_points(group=LOADERS), key=lambda entry: entry.name):
        try:
            load = entry.load()
        except (ImportError, AttributeError) as error:
            tried.append(f"{entry.name} (cannot be imported: {error})")
            continue
        loaded: LoadedGenerator | None = load(path, device)
        if loaded is not None:
            return loaded
        tried.append(entry.name)
    raise UserError(
        f"{path}: not a checkpoint of a known kind; tried: {', '.join(tried) or 'none installed'}"
    )
