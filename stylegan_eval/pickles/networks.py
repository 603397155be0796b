"""Networks of NVIDIA's pickles: what builds each, and its variables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import read_pickle
from stylegan_eval.pickles.values import NETWORKS, Array, Stub

Variables = Mapping[str, NDArray[Any]]
Option = bool | int | float | str | None

VERSIONS = (2, 3, 4)
_COMPONENTS = ("synthesis", "mapping")
_MOST_NETWORKS = 3
# Of an option or a name; source code is dropped unseen.
_LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class PickledNetwork:
    """A network as the file describes it, in plain values."""

    library: str
    """Package of its class: "dnnlib" (StyleGAN and later) or "tfutil" (Progressive GAN)."""
    version: int  # Of the layout
    name: str  # What it is called: "G", "D", "Gs"
    function: str  # What built it: "G_style", "D_basic", ...; never called
    options: Mapping[str, Any]  # The arguments of that function
    components: Mapping[str, "PickledNetwork"]
    """Its parts, "synthesis" and "mapping", which have no parts."""
    own: Variables  # Its own variables by their names, numbers in float32 or what the file has

    @property
    def variables(self) -> Variables:
        """All, those of components under ``G_synthesis/`` and ``G_mapping/``."""
        parts = {
            f"G_{part}/{name}": value
            for part, network in self.components.items()
            for name, value in network.own.items()
        }
        return {**self.own, **parts}


def read_networks(path: Path) -> tuple[PickledNetwork, ...]:
    """Read the networks of a pickle: one, or a tuple of up to three."""
    made = read_pickle(path)
    values = made if isinstance(made, tuple | list) else (made,)
    if not 1 <= len(values) <= _MOST_NETWORKS or not all(isinstance(each, Stub) for each in values):
        raise UserError(f"{path}: holds no network, nor a tuple of up to {_MOST_NETWORKS}")
    try:
        networks = tuple(_network(each, _COMPONENTS) for each in values)
        for network in networks:  # which may share arrays
            if sum(value.nbytes for value in network.variables.values()) > path.stat().st_size:
                raise UserError(f"network {network.name} lists one array under many names")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return networks


def _network(made: Any, parts: tuple[str, ...]) -> PickledNetwork:
    if not isinstance(made, Stub) or made.made_by not in NETWORKS or made.state is None:
        raise UserError("holds something else where a network is expected")
    state = made.state
    version = state.get("version")
    if type(version) is not int or version not in VERSIONS:
        shown = version if type(version) is int and abs(version) < 2**31 else "unknown"
        known = f"{', '.join(map(str, VERSIONS[:-1]))} or {VERSIONS[-1]}"
        raise UserError(f"holds a network of layout {shown}, expected {known}")
    name = _text(state, "name")
    components = state.get("components", {})
    if not isinstance(components, dict) or not components.keys() <= set(parts):
        raise UserError(f"network {name} has other components than {' and '.join(_COMPONENTS)}")
    return PickledNetwork(
        library=made.made_by.module.partition(".")[0],
        version=version,
        name=name,
        function=_text(state, "build_func_name"),
        options=_options(name, state.get("static_kwargs")),
        components={key: _network(part, ()) for key, part in components.items()},
        own=dict(_variables(name, state.get("variables"))),
    )


def _text(state: Mapping[str, Any], key: str) -> str:
    value = state.get(key)
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise UserError(f"holds a network whose {key} is no line of text")
    return value


def _options(name: str, options: Any) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise UserError(f"network {name} lacks its static_kwargs")
    for key, value in options.items():
        if len(key) > _LONGEST or not key.isprintable():
            raise UserError(f"network {name} has an option whose name is no line of text")
        listed = value if isinstance(value, list | tuple) else [value]
        if len(listed) > _LONGEST or not all(_is_plain(each) for each in listed):
            raise UserError(f"network {name} has an option {key} of no plain kind")
    return options


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST and value.isprintable()
    if isinstance(value, int | float):
        return abs(value) < 2**53  # and no NaN
    return value is None


def _variables(network: str, variables: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    if not isinstance(variables, list):
        raise UserError(f"network {network} lacks its list of variables")
    seen: set[str] = set()
    for entry in variables:
        name, array = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, None)
        if not isinstance(name, str) or len(name) > _LONGEST or not name.isprintable():
            raise UserError(f"network {network} has a variable without a name")
        if name in seen:
            raise UserError(f"network {network} has the variable {name} twice")
        value = array.value if isinstance(array, Array) else _number(array)
        if value is None:
            raise UserError(f"network {network} has no numbers for the variable {name}")
        if not np.isfinite(value).all():
            raise UserError(f"variable {name} of network {network} holds NaN or infinity")
        seen.add(name)
        yield name, value


def _number(value: Any) -> NDArray[Any] | None:
    return np.array(value, np.float32) if type(value) in (int, float) else None
