"""Checkpoints of other PyTorch implementations, as our networks; recognised by their keys.

Read already, by `pickles.torch_files`: tensors and plain values, of which nothing is trusted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan.formats import LAYOUTS
from stylegan.formats.weights import NOT_SAID, Layout
from stylegan.snapshot import Snapshot
from stylegan_eval.errors import UserError

# What the layouts with several networks in a file call them.
_PARTS = ("generator_smooth", "g_running", "generator", "discriminator")
_PARALLEL = "module."  # before every name that torch.nn.DataParallel saved
# Words in the name of an averaged state.
_AVERAGED = {
    *("ema", "gema", "gs", "shadow", "running", "smooth", "smoothed"),
    *("avg", "average", "averaged", "mean", "swa"),
}


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
    parts, generator = _parts(tree, path)
    layouts = {layout.name: layout for state in parts.values() if (layout := _layout(state))}
    if not layouts:
        return None
    (layout, *others) = (layouts[name] for name in sorted(layouts))
    if others:
        raise UserError(
            f"{path}: mixes networks of the layouts of {layout.name} and {others[0].name}"
        )
    snapshot = layout.read(parts, path, tree)
    name = generator or path.stem
    said = is_averaged(name) or (not generator and layout.alone_is_average)
    if "G_ema" not in snapshot.networks or said:
        return snapshot
    note = f"{snapshot.facts.note}; {NOT_SAID}"
    return replace(snapshot, facts=replace(snapshot.facts, note=note))


def _parts(tree: Mapping[str, Any], path: Path) -> tuple[dict[str, Mapping[Any, Any]], str]:
    """States by the name that the file gives them, and the name of the generator to draw from.

    A file that is one state gives it no name. A state under a name of the user's own (``g_ema``,
    ``state_dict``, ``model``) is read as one, too. Of several generators the averaged one is taken,
    as their names say.
    """
    models = tree.get("models")
    inner = models if isinstance(models, Mapping) else tree
    named = {str(name): _bare(state) for name, state in inner.items() if isinstance(state, Mapping)}
    parts = {name: named[name] for name in _PARTS if name in named}
    known = {name: layout for name, state in named.items() if (layout := _layout(state))}
    generators = [name for name, layout in known.items() if layout.is_generator(named[name])]
    if generators:
        chosen = _chosen(generators, path)
        average = known[chosen].average
        if chosen in parts and (chosen == average or not is_averaged(chosen)):
            return parts, chosen
        others = {name: state for name, state in parts.items() if name != chosen}
        if average and is_averaged(chosen) and not others.keys().isdisjoint(known):
            return {average: named[chosen], **others}, chosen
        return {"": named[chosen]}, chosen
    if parts:
        return parts, ""
    if known:  # a discriminator
        return {"": named[next(iter(known))]}, ""
    if len(named) == 1:  # {"state_dict": {"generator": ...}}
        (only,) = named.values()
        if any(isinstance(state, Mapping) for state in only.values()):
            return _parts(only, path)
    state = _bare(inner)
    if any(isinstance(value, Tensor) for value in state.values()):  # beside a step, settings, ...
        state = {n: value for n, value in state.items() if isinstance(value, Tensor | None)}
    return {"": state}, ""


def _chosen(generators: Sequence[str], path: Path) -> str:
    """The generator whose name says that it is averaged, or the only one."""
    averaged = [name for name in generators if is_averaged(name)]
    candidates = averaged or generators
    if len(candidates) == 1:
        return candidates[0]
    names = sorted(candidates)
    kind = "averaged generators" if averaged else "generators, none of which is called averaged"
    shown = ", ".join(name[:60] for name in names)
    raise UserError(
        f"{path}: holds {len(names)} {kind} ({shown}): save the one to use alone,"
        f' torch.save({{"g_ema": NETWORK}}, FILE)'
    )


def is_averaged(name: str) -> bool:
    """Whether a word of a state's name says that it is averaged: ``G_ema``, ``netGEma``, ``Gs``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?=[A-Z][a-z])", " ", name)
    return not _AVERAGED.isdisjoint(re.split(r"[^a-z]+", spaced.lower()))


def _bare(state: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if state and all(isinstance(name, str) and name.startswith(_PARALLEL) for name in state):
        return {name.removeprefix(_PARALLEL): value for name, value in state.items()}
    return state


def _layout(state: Mapping[Any, Any]) -> Layout | None:
    known = (each for each in LAYOUTS if each.is_generator(state) or each.is_discriminator(state))
    return next(known, None)
