"""Controls of recipes that several networks draw: where one cannot, a reason stands in place."""

from collections.abc import Mapping, Sequence

from nicegui import ui

from stylegan.explore.controls import (
    Built,
    Group,
    LatentControls,
    MixingControls,
    NoiseControls,
    TruncationControls,
)
from stylegan.explore.widgets import Changed, section
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.painter import Painter


def linked_controls(subjects: Sequence[OpenedGenerator], changed: Changed) -> Built:
    """Controls for all of some networks."""
    reasons = hindrances(subjects)
    # Layers are counted from 4x4 on, so those of the network with the fewest are in all; and
    # truncation of more than there are is of all.
    few, most = (end(subjects, key=lambda subject: subject.num_layers) for end in (min, max))
    latent = LatentControls(None if "Class" in reasons else _conditional(subjects), changed)
    others: list[Group] = []
    if "Truncation" not in reasons:
        others.append(TruncationControls(most, changed))
    if "Style mixing" not in reasons:
        others.append(MixingControls(few, changed))
    if "Noise" not in reasons:
        others.append(NoiseControls(changed))
    for title, reason in reasons.items():
        with section(title):
            ui.label(reason).classes("remark")
    return latent, others


def _conditional(subjects: Sequence[OpenedGenerator]) -> Painter | None:
    """Painter whose classes all have; one without labels to draw from, if there is one."""
    painters = [subject.painter for subject in subjects if subject.classes]
    lacking = [painter for painter in painters if painter.label_rows is None]
    return next(iter([*lacking, *painters]), None)


def hindrances(subjects: Sequence[OpenedGenerator]) -> Mapping[str, str]:
    """Why there are no controls of a kind, by its title; none of what all networks can do."""
    reasons = {}
    classes = {(subject.classes, tuple(subject.painter.label_names)) for subject in subjects}
    if len(classes) > 1:
        reasons["Class"] = (
            "Their classes differ: each draws its own, as often as in its training data."
        )
    unmapped = [subject for subject in subjects if not subject.painter.maps]
    if unmapped:
        no_w = f"{_names(unmapped)} no mapping network, hence no W:"
        reasons["Truncation"] = f"{no_w} nothing to truncate."
        reasons["Style mixing"] = f"{no_w} nothing to mix."
    elif flat := [subject for subject in subjects if subject.num_layers < 2]:
        reasons["Style mixing"] = f"{_names(flat)} one layer: nothing to mix."
    silent = [subject for subject in subjects if not subject.has_noise]
    if silent:
        reasons["Noise"] = f"{_names(silent)} no noise inputs."
    reasons["Attributes"] = (
        "A direction belongs to the network that it was found in: move in the view Image."
    )
    return reasons


def _names(subjects: Sequence[OpenedGenerator]) -> str:
    names = " and ".join(str(subject.ckpt) for subject in subjects)
    return f"{names} {'has' if len(subjects) == 1 else 'have'}"
