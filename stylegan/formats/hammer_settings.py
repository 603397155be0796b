"""What a Hammer checkpoint says of how its generator was built, where names and shapes cannot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan_eval.errors import UserError

# Settings that make the generator another function than any of ours, and what they must be.
_FIXED: Mapping[str, Any] = {
    "final_tanh": False,
    "use_wscale": True,
    "mapping_use_wscale": True,
    "noise_type": "spatial",
}
_BEYOND_ALL = 2**15


def read_settings(kwargs: Any, path: Path) -> dict[str, Any]:
    """Fields of `NetworkConfig` that the file gives.

    Parameters
    ----------
    kwargs : object
        The file's ``model_kwargs_init``: settings by network. Where the generator's are not
        there, the layout's defaults hold.
    path : Path
        File, for messages.

    Raises
    ------
    UserError
        A setting is of another kind of network.
    """
    given = kwargs.get("generator") if isinstance(kwargs, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    for name, expected in _FIXED.items():
        value = given.get(name, expected)
        if type(value) is not type(expected) or value != expected:
            raise UserError(
                f"{path}: generator was built with {name}={_said(value)}, and only"
                f" {expected!r} can be had here"
            )
    fields: dict[str, Any] = {}
    fused = given.get("fused_scale", "auto")
    if fused is True or fused is False:
        fields["fused_from"] = 4 if fused else _BEYOND_ALL
    elif not isinstance(fused, str) or fused != "auto":
        raise UserError(f"{path}: fused_scale is {_said(fused)}, expected True, False or 'auto'")
    lrmul = given.get("mapping_lr_mul", 0.01)
    if type(lrmul) not in (int, float) or not 0 < lrmul <= 1:
        raise UserError(f"{path}: mapping_lr_mul is {_said(lrmul)}, expected a number up to 1")
    fields["mapping_lrmul"] = float(lrmul)
    return fields


def _said(value: Any) -> str:
    plain = isinstance(value, bool | int | float | str)
    return repr(value)[:40] if plain else type(value).__name__
