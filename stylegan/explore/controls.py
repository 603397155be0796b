"""The controls of the page, the recipe they set, and those of recipes that two networks draw."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from nicegui import ui

from stylegan.explore.attributes import AttributeControls
from stylegan.explore.studio import Studio
from stylegan.explore.widgets import (
    Changed,
    Choice,
    ClassSelect,
    Seed,
    Signal,
    Slider,
    flat_button,
    layers_slider,
    section,
)
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import CUTOFF, NOISE, Mix, Recipe, layer_word

PSI = (-1.0, 1.5)
_NO_W = (
    "This network has no mapping network, hence no W: there is nothing to truncate, to mix or to"
    " move in."
)


class Group(Protocol):
    """Controls that set some fields of a recipe."""

    def get(self) -> dict[str, Any]:
        """Values of the fields."""

    def set(self, recipe: Recipe) -> None:
        """Show a recipe."""


Built = tuple["LatentControls", Sequence[Group]]  # all groups, that of the seed first


class Controls:
    """Elements made by `build`; `changed` is called when the recipe changes."""

    def __init__(
        self, build: Callable[[Changed], Built], changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._changed, self._signal = changed, Signal(changed)
        latent, others = build(self._signal)
        self.seed = latent.seed
        self._groups: list[Group] = [latent, *others]

    def recipe(self) -> Recipe:
        """The recipe they set, with defaults for what has no control."""
        values: dict[str, Any] = {}
        for group in self._groups:
            values |= group.get()
        return Recipe(**values)

    async def show(self, recipe: Recipe) -> None:
        """Set all controls to a recipe."""
        with self._signal.silent():
            for group in self._groups:
                group.set(recipe)
        await self._changed()


def all_controls(studio: Studio, changed: Changed) -> Built:
    """All controls that a network has a use for."""
    subject = studio.subject
    latent = LatentControls(subject.painter if subject.classes else None, changed)
    others: list[Group] = []
    if not subject.painter.maps:
        ui.label(_NO_W).classes("remark")
    else:
        others.append(TruncationControls(subject, changed))
        if subject.num_layers > 1:
            others.append(MixingControls(subject, changed))
    if subject.has_noise:
        others.append(NoiseControls(changed))
    if subject.painter.maps:
        others.append(AttributeControls(studio, changed))
    return latent, others


class LatentControls:
    """Seed, and class where a network has some; or a w that takes their place."""

    def __init__(self, conditional: Painter | None, changed: Changed) -> None:
        self._changed = changed
        self._class: ClassSelect | None = None
        self._saved = ""
        with section("Latent"):
            self._seeds = ui.element("div").classes("more")
            with self._seeds:
                self.seed = Seed("Seed", self._leave_w)
                if conditional is not None:
                    self._class = ClassSelect(conditional, changed)
            with ui.element("div").classes("more") as self._in_place:
                self._which = ui.label()
                flat_button("Back to seeds", "undo", self._leave_w)
        self._show("")

    def _show(self, saved: str) -> None:
        self._saved = saved
        self._which.set_text(f"Starts from the w {saved}, which is held here.")
        self._in_place.set_visibility(bool(saved))
        self._seeds.set_visibility(not saved)

    def _leave_w(self) -> Awaitable[None] | None:
        self._show("")
        return self._changed()

    def get(self) -> dict[str, Any]:
        """Seed, and class; None draws it from the latent."""
        if self._saved:
            return {"saved": self._saved}
        return {"seed": self.seed.get(), "number": self._class.get() if self._class else None}

    def set(self, recipe: Recipe) -> None:
        """Show seed and class, or the w."""
        self.seed.set(recipe.seed)
        if self._class:
            self._class.set(recipe.number)
        self._show(recipe.saved or "")


class TruncationControls:
    """psi, and the layers that it touches."""

    def __init__(self, subject: OpenedGenerator, changed: Changed) -> None:
        layers = subject.num_layers
        with section("Truncation"):
            low, high = PSI
            self._psi = Slider(
                "ψ (psi)", ["Truncation psi"], [1], low=low, high=high, step=0.05, changed=changed
            )
            # Where all layers are fewer than the default, the default is all of them.
            self._default = min(CUTOFF, layers)
            texts = ["no layer"]
            texts += [f"{n} of {layers}, {layer_word(0, n - 1)}" for n in range(1, layers + 1)]
            self._cutoff = Slider(
                "Layers touched",
                ["Number of layers that truncation touches"],
                [self._default],
                low=0,
                high=layers,
                step=1,
                texts=texts,
                changed=changed,
            )

    def get(self) -> dict[str, Any]:
        """Psi, and cutoff as commands have it."""
        cutoff = int(self._cutoff.numbers()[0])
        return {
            "psi": self._psi.numbers()[0],
            "cutoff": CUTOFF if cutoff == self._default else cutoff,
        }

    def set(self, recipe: Recipe) -> None:
        """Show them."""
        self._psi.set_value([recipe.psi])
        self._cutoff.set_value([self._default if recipe.cutoff == CUTOFF else recipe.cutoff])


class MixingControls:
    """Another latent in a range of layers."""

    def __init__(self, subject: OpenedGenerator, changed: Changed) -> None:
        last = subject.num_layers - 1
        with section("Style mixing"):
            self._on = ui.switch("Mix in another latent", on_change=lambda _: changed())
            with ui.element("div").classes("more").bind_visibility_from(self._on, "value"):
                self._seed = Seed("Second seed", changed, start=1)
                names = ["First layer mixed in", "Last layer mixed in"]
                default = (min(2, last), last)
                self._layers = layers_slider("From it", names, default, last + 1, changed)

    def get(self) -> dict[str, Any]:
        """The mixed latent."""
        if not self._on.value:
            return {}
        first, last = self._layers.ends()
        return {"mix": Mix(seed=self._seed.get(), first=first, last=last)}

    def set(self, recipe: Recipe) -> None:
        """Show it; seed and layers stay, for another time, where there is none."""
        self._on.set_value(recipe.mix is not None)
        if recipe.mix is not None:
            self._seed.set(recipe.mix.seed)
            self._layers.set_value([recipe.mix.first, recipe.mix.last])


class NoiseControls:
    """Kind of noise, and its seed."""

    def __init__(self, changed: Changed) -> None:
        names: dict[str, str] = dict(zip(NOISE, ("Fixed", "Random", "Off"), strict=True))
        with section("Noise"):
            self._kind = Choice("Noise inputs", names, changed)
            shown = ui.element("div").classes("more")
            shown.bind_visibility_from(self._kind, "value", backward=lambda kind: kind == "random")
            with shown:
                self._seed = Seed("Noise seed", changed)

    def get(self) -> dict[str, Any]:
        """Kind and seed."""
        kind = self._kind.value or NOISE[0]
        return {"noise": kind, "noise_seed": self._seed.get() if kind == "random" else 0}

    def set(self, recipe: Recipe) -> None:
        """Show them."""
        self._kind.set_value(recipe.noise)
        self._seed.set(recipe.noise_seed)


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
