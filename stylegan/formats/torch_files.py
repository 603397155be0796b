"""Checkpoints of other PyTorch implementations, as our networks; recognised by their keys.

Read already, by `pickles.torch_files`: tensors and plain values, of which nothing is trusted.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan.formats import LAYOUTS
from stylegan.formats.weights import Layout
from stylegan.snapshot import Snapshot
from stylegan_eval.errors import UserError

# What the layouts with several networks in a file call them.
_PARTS = ("generator_smooth", "g_running", "generator", "discriminator")
_PARALLEL = "module."  # before every name that torch.nn.DataParallel saved
_AVERAGED = ("ema", "running", "smooth", "avg", "average")  # in the name of an averaged state


def read_peer(tree: Mapping[str, Any], path: Path) -> Snapshot | None:
    """Read what a file of rosinality's, genforce's, Hammer's or huangzh13's holds, else None."""
    snapshot = import_peer(tree, path)
    if snapshot is None:
        return None
    networks = {
        part: {name: value.float().contiguous() for name, value in state.items()}
        for part, state in snapshot.networks.items()
    }
    return replace(snapshot, networks=networks)


def import_peer(tree: Mapping[str, Any], path: Path) -> Snapshot | None:
    """Like `read_peer`, in the precision of the file."""
    parts = _parts(tree)
    layouts = {layout.name: layout for state in parts.values() if (layout := _layout(state))}
    if not layouts:
        return None
    (layout, *others) = (layouts[name] for name in sorted(layouts))
    if others:
        raise UserError(
            f"{path}: mixes networks of the layouts of {layout.name} and {others[0].name}"
        )
    return layout.read(parts, path, tree)


def _parts(tree: Mapping[str, Any]) -> dict[str, Mapping[Any, Any]]:
    """States by the name that the file gives them; a file that is one state gives it none.

    A state under a name of the user's own (``g_ema``, ``state_dict``, ``model``) is one, too: the
    averaged one where there are several.
    """
    models = tree.get("models")
    inner = models if isinstance(models, Mapping) else tree
    parts = {name: inner[name] for name in _PARTS if isinstance(inner.get(name), Mapping)}
    if parts:
        return {name: _bare(state) for name, state in parts.items()}
    named = {str(name): _bare(state) for name, state in inner.items() if isinstance(state, Mapping)}
    known = {name: state for name, state in named.items() if _layout(state) is not None}
    if known:
        averaged = [n for n in known if any(word in n.lower() for word in _AVERAGED)]
        generators = [
            name
            for name, state in known.items()
            if any(each.is_generator(state) for each in LAYOUTS)
        ]
        chosen = [name for name in averaged if name in generators] or generators or list(known)
        return {"": known[chosen[0]]}
    if len(named) == 1:  # {"state_dict": {"generator": ...}}
        (only,) = named.values()
        if any(isinstance(state, Mapping) for state in only.values()):
            return _parts(only)
    state = _bare(inner)
    if any(isinstance(value, Tensor) for value in state.values()):  # beside a step, settings, ...
        state = {n: value for n, value in state.items() if isinstance(value, Tensor | None)}
    return {"": state}


def _bare(state: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if state and all(isinstance(name, str) and name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    return state


def _layout(state: Mapping[Any, Any]) -> Layout | None:
    known = (each for each in LAYOUTS if each.is_generator(state) or each.is_discriminator(state))
    return next(known, None)
