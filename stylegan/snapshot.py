"""What networks say of their making, beside the configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where networks come from."""

    seed: int  # Seed of the run
    data: str  # Content key of the training images
    version: str  # Version of this package
    execution: tuple[tuple[int, str], ...] = ((0, "fp32"),)
    """How it was computed, ((images shown before, 'fp32'), ...): one entry per change."""
    init: str = ""  # SHA-256 of the file whose networks were the first ones; empty for fresh ones

    def going_on(self, nimg: int, execution: str) -> "Provenance":
        """The same, computed in this way from image `nimg` on."""
        if self.execution[-1][1] == execution:
            return self
        return replace(self, execution=(*self.execution, (nimg, execution)))


def provenance_to_dict(provenance: Provenance) -> dict[str, Any]:
    """Plain dictionary; `provenance_from_dict` reads it back, also after JSON."""
    return asdict(provenance)


def provenance_from_dict(tree: Mapping[str, Any]) -> Provenance:
    """Read `provenance_to_dict`'s dictionary, as data from a file that nobody vouches for.

    Raises
    ------
    ValueError
        A key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(tree, Mapping):
        raise ValueError("the provenance is no mapping")
    tree = {"execution": [(0, "fp32")], "init": "", **tree}
    kinds: dict[str, type | tuple[type, ...]] = {
        "seed": int, "data": str, "version": str, "execution": (list, tuple), "init": str
    }  # fmt: skip
    if tree.keys() != kinds.keys():
        raise ValueError(f"the provenance has other keys than {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(tree[key], kind):
            raise ValueError(f"the provenance's {key} has the wrong type")
    if not 0 <= tree["seed"] < 2**63:
        raise ValueError("the provenance's seed is not from 0 to 2^63 - 1")
    changes = [tuple(change) for change in tree["execution"]]
    if not changes or any([type(x) for x in change] != [int, str] for change in changes):
        raise ValueError("the provenance's execution is not [[images, name], ...]")
    return Provenance(**{**tree, "execution": tuple(changes)})
