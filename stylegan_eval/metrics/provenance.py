"""What a row says beside its number: generator, device, time."""

from collections.abc import Mapping
from typing import Any

import torch

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.metrics.naming import Value
from stylegan_eval.metrics.sources import Fakes
from stylegan_eval.results.results import Row, one_note
from stylegan_eval.settings.common import Inputs


def about_fakes(fakes: Fakes | StoredStats | None, inputs: Inputs) -> dict[str, Any]:
    """What a row says of the generator."""
    if fakes is None:
        return {}
    if isinstance(fakes, StoredStats):
        return {
            "generator": str(inputs.images),
            "generator_digest": fakes.content,
            "description": "statistics",
        }
    return {
        "generator": fakes.name,
        "generator_digest": fakes.digest,
        "description": fakes.description,
        "note": fakes.note,
        "details": fakes.details,
    }


def where(run: Run) -> dict[str, Any]:
    """Device and number of processes, for a row."""
    device = run.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "processes": run.processes.world}


def make_row(value: Value, about: Mapping[str, Any]) -> Row:
    """Row of a value; its time is set later. Note and details of `about` join the value's."""
    protocol = {**about["protocol"], **value.protocol}
    note = one_note(about.get("note", ""), *value.notes)
    details = {**about.get("details", {}), **value.details}
    return Row(
        metric=value.name,
        value=value.value,
        stderr=value.stderr,
        seconds=0.0,
        **{**about, "protocol": protocol, "details": details, "note": note},
    )
