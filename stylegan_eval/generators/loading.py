"""Load generators: of checkpoints, and of the networks that packages carry."""

from importlib.metadata import entry_points
from pathlib import Path

import torch

from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.errors import UserError

LOADERS = "stylegan_eval.loaders"
NETWORKS = "stylegan_eval.networks"


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
