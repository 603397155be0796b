"""Pickles in the official layouts, written from golden variables; the writer is the test's own.

Classes and functions that the layouts name do not exist here: while a pickle is written, modules of
those names do. Arrays name numpy's old places, as in files of that time.
"""

import contextlib
import io
import json
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest

from tests.train import golden


def _fake(module, name, kind):
    made = kind
    made.__module__, made.__qualname__, made.__name__ = module, name, name
    return made


class Network:
    def __init__(self, state):
        self.__dict__.update(state)


class OldNetwork(Network):
    pass


def rebuilt(*_args):
    raise AssertionError("only named")


def scalar(*_args):
    raise AssertionError("only named")


_fake("dnnlib.tflib.network", "Network", Network)
_fake("tfutil", "Network", OldNetwork)
_fake("numpy.core.multiarray", "_reconstruct", rebuilt)
_fake("numpy.core.multiarray", "scalar", scalar)
_PLACES = (Network, OldNetwork, rebuilt, scalar)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj):
        if isinstance(obj, np.float32):
            return scalar, (obj.dtype, obj.tobytes())
        if isinstance(obj, np.ndarray) and self.old_arrays:
            state = (1, obj.shape, obj.dtype, False, obj.tobytes())
            return rebuilt, (np.ndarray, (0,), b"b"), state
        return NotImplemented


@contextlib.contextmanager
def _named(places):
    with pytest.MonkeyPatch.context() as patch:
        for place in places:
            parts = place.__module__.split(".")
            for depth in range(1, len(parts) + 1):
                name = ".".join(parts[:depth])
                if name not in sys.modules or depth == len(parts):
                    patch.setitem(sys.modules, name, sys.modules.get(name) or ModuleType(name))
            patch.setattr(sys.modules[place.__module__], place.__name__, place, raising=False)
        yield


def dumps(value, protocol=4, *, old_arrays=True, more=()):
    """Bytes of a pickle.

    `old_arrays` as numpy wrote them then, otherwise as the one here does; `more` are classes that
    do not stand where they say.
    """
    file = io.BytesIO()
    with _named((*_PLACES, *more)):
        pickler = _Pickler(file, protocol)
        pickler.old_arrays = old_arrays
        pickler.dump(value)
    return file.getvalue()


def network(name, function, kwargs, variables, *, version=3, components=None, kind=Network):
    """A network as the official class describes itself; 0-d variables are numpy's scalars."""
    state = {
        "version": version,
        "name": name,
        "static_kwargs": dict(kwargs),
        "components": components or {},
        "build_module_src": "raise SystemExit('never run')\n" * 100,
        "build_func_name": function,
        "variables": [(key, value[()] if value.ndim == 0 else value) for key, value in variables],
    }
    if kind is OldNetwork:
        del state["components"]
    return kind(state)


def options(row, which):
    """Options beyond the defaults of the golden network `which`, "G" or "D"."""
    return json.loads(str(golden.numbers(row)["meta_json"]))[f"{which}_kwargs"]


def stylegan_generator(row, name="Gs", *, version=3, lod=None, changes=None, values=None):
    """G or Gs of rows B to F: its own variables, and those of two components."""
    kwargs = {**options(row, "G"), **(changes or {})}
    variables = {**golden.variables(row, "G"), **(values or {})}
    if lod is not None:
        variables |= {"lod": np.float32(lod), "G_synthesis/lod": np.float32(lod)}
        variables = {key: np.asarray(value) for key, value in variables.items()}
    components = {}
    for part in ("synthesis", "mapping"):
        prefix = f"G_{part}/"
        inner = [(k.removeprefix(prefix), v) for k, v in variables.items() if k.startswith(prefix)]
        inner_kwargs = {
            k: v for k, v in kwargs.items() if "truncation" not in k and "mixing" not in k
        }
        if part == "mapping":
            inner_kwargs = {"dlatent_broadcast": 8, **inner_kwargs}
        components[part] = network(f"G_{part}", f"G_{part}", inner_kwargs, inner, version=version)
    own = [(key, value) for key, value in variables.items() if not key.startswith("G_")]
    return network(name, "G_style", kwargs, own, version=version, components=components)


def stylegan_discriminator(row, *, version=3, changes=None, values=None):
    """D of rows B to F."""
    variables = {**golden.variables(row, "D"), **(values or {})}
    kwargs = {**options(row, "D"), **(changes or {})}
    return network("D", "D_basic", kwargs, variables.items(), version=version)


def stylegan(row="F", **how):
    """(G, D, Gs)."""
    return (
        stylegan_generator(row, "G", **how),
        stylegan_discriminator(row, version=how.get("version", 3)),
        stylegan_generator(row, "Gs", **how),
    )


def progan(*, library="tfutil", changes=None):
    """(G, D, Gs) of row A: Progressive GAN's own layout, or that of StyleGAN's code base."""
    old = library == "tfutil"
    kind, version = (OldNetwork, 2) if old else (Network, 3)
    variables = {
        key: value.swapaxes(2, 3) if old and key.endswith("Conv0_up/weight") else value
        for key, value in golden.variables("A", "G").items()
    }
    made = []
    for name, function, found in (
        ("G", "G_paper", variables),
        ("D", "D_paper", golden.variables("A", "D")),
        ("Gs", "G_paper", variables),
    ):
        kwargs = {**options("A", name[0]), **(changes or {})}
        made.append(network(name, function, kwargs, found.items(), version=version, kind=kind))
    return tuple(made)
