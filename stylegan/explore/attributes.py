"""Controls of moves in W: a slider for each direction, its layers, and sums as new directions."""

import re
import shlex
from typing import Any

from nicegui import ui

from stylegan.explore.studio import Studio
from stylegan.explore.widgets import (
    Changed,
    Live,
    Slider,
    error_label,
    flat_button,
    layers_slider,
    section,
)
from stylegan.sample.directions import combined, covariance_in
from stylegan.sample.recipe import Move, Recipe
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import Directions, Span, file_of

FARTHEST = 4.0  # standard deviations that a slider moves; a command takes more


class Attribute:
    """A slider for one direction, with a second one for its layers behind a button."""

    def __init__(
        self, name: str, remark: str, span: Span | None, num_layers: int, changed: Changed
    ) -> None:
        self.name = name
        self._changed = changed
        self._own = span or (0, num_layers - 1)  # layers that no recipe need name
        self._layers: Slider | None = None
        with ui.element("div").classes("attribute"):
            label, high = name.replace("_", " "), FARTHEST
            self._amount = Slider(
                label, [name], [0], low=-high, high=high, step=0.1, changed=changed
            )
            if remark:
                self._amount.props["title"] = remark
            if num_layers > 1:
                self._add_layers(num_layers)

    def _add_layers(self, num_layers: int) -> None:
        with ui.element("button").props("type=button").classes("reset-one") as self._button:
            ui.icon("layers").props("aria-hidden=true")
        with ui.element("div").classes("layers") as self._shown:
            names = [f"First layer of {self.name}", f"Last layer of {self.name}"]
            self._layers = layers_slider("Layers", names, self._own, num_layers, self._changed)
        self._button.props["aria-label"] = self._button.props["title"] = f"Layers of {self.name}"
        self._button.on("click", lambda: self._open(value=not self._shown.visible))
        self._open(value=False)

    def _open(self, *, value: bool) -> None:
        self._shown.set_visibility(value)
        self._button.props["aria-expanded"] = "true" if value else "false"

    def move(self) -> Move | None:
        """The move that is set; None of 0."""
        amount = self._amount.numbers()[0]
        first, last = self._own if self._layers is None else self._layers.ends()
        layers = None if (first, last) == self._own else range(first, last + 1)
        return Move(name=self.name, amount=amount, layers=layers) if amount else None

    def show(self, move: Move | None) -> None:
        """Show a move, or none."""
        self._amount.set_value([0 if move is None else move.amount])
        if self._layers is not None:
            given = None if move is None else move.layers
            self._layers.set_value([*self._own] if given is None else [given[0], given[-1]])
            if given is not None:
                self._open(value=True)


class AttributeControls:
    """Moves along the directions of a network, or how to come by some."""

    def __init__(self, studio: Studio, changed: Changed) -> None:
        self._studio = studio
        self._changed = changed
        self._attributes: list[Attribute] = []
        with section("Attributes"):
            self._place = ui.element("div").classes("more")
        self.fill()

    def fill(self) -> None:
        """Show what the network has: directions, or how they are found."""
        self._place.clear()
        with self._place:
            if self._studio.subject.directions is None:
                self._offer()
            else:
                self._list()

    def _offer(self) -> None:
        ui.label(
            "No directions are known for this network. Those in which w varies most are found in"
            " seconds, without labels:"
        ).classes("remark")
        self._find = flat_button("Find components", "explore", self._find_components)
        self._error = error_label()
        ui.label("This finds those of attributes:").classes("remark")
        known = ["stylegan-eval", "directions", "--ckpt", shlex.quote(self._studio.source.name)]
        Live("code").say([*known, "--classifiers", "C", "--out", "FILE"])
        ui.label("Then start again with --directions FILE.").classes("remark")

    async def _find_components(self) -> None:
        self._find.set_enabled(False)
        try:
            await self._studio.find_components()
        except UserError as error:
            self._error.set_text(str(error))
            self._find.set_enabled(True)
        else:
            self.fill()

    def _list(self) -> None:
        subject = self._studio.subject
        directions = subject.directions
        assert directions is not None
        ui.label("Standard deviations of w along the normal of each.").classes("remark")
        self._attributes = [
            Attribute(
                name,
                directions.remarks[name],
                directions.spans[name],
                subject.num_layers,
                self._changed,
            )
            for name in directions.names
        ]
        with ui.element("details").classes("save"):
            ui.html("Save these moves as one", tag="summary")
            with ui.element("div").classes("more"):
                ui.label(
                    "The sum of the moves, with a name: a file of it and of the directions above."
                ).classes("remark")
                with ui.element("div").classes("seed"):
                    self._name = ui.input("Name").props("outlined dense hide-bottom-space")
                    flat_button("Save", "save", self._save)
                self._error = error_label()
                self._use = ui.element("div").classes("more").props("role=status")

    async def _save(self) -> None:
        name, studio = self._name.value.strip(), self._studio
        moves, directions = self.get()["moves"], studio.subject.directions
        assert directions is not None
        self._use.clear()
        self._error.set_text("")

        def combine() -> tuple[Directions, Move]:
            covariance = covariance_in(studio.sample, studio.subject.file)
            return combined(moves, directions, name, covariance)

        try:
            made, move = await studio.compute(combine)
        except UserError as error:
            self._error.set_text(str(error))
            return
        file = re.sub(r"[^\w.-]+", "-", name) + ".safetensors"
        ui.download.content(file_of(made), file)
        with self._use:
            ui.label(f"{name} {move.amount:.3g} is what the sliders show. Use it with:").classes(
                "remark"
            )
            words = ["stylegan-explore", "--ckpt", studio.source.name, "--directions", file]
            Live("code").say([shlex.quote(word) for word in words])

    def get(self) -> dict[str, Any]:
        """Moves other than 0."""
        moves = [attribute.move() for attribute in self._attributes]
        return {"moves": tuple(move for move in moves if move is not None)}

    def set(self, recipe: Recipe) -> None:
        """Show them."""
        if not self._attributes and self._studio.subject.directions is not None:
            self.fill()  # another tab has found some
        moves = {move.name: move for move in recipe.moves}
        for attribute in self._attributes:
            attribute.show(moves.get(attribute.name))
