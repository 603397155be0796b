"""The view of what the layers do for the image that the view Image shows."""

import shlex
from collections.abc import Sequence
from functools import partial
from html import escape

from nicegui import ui

from stylegan.explore.page import Page, Shortcut
from stylegan.explore.studio import Studio, address
from stylegan.explore.uploads import typed_words
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import CommandLine, error_label
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.inside import LayerFigures, look_inside
from stylegan.sample.recipe import Recipe, class_word
from stylegan_eval.errors import UserError

NAME = "inside"
_ABOUT = (
    "Activation: standard deviation of a layer's maps before noise is added, over pixels. Noise:"
    " that of the noise, and its share of the activation. Distance: of the layer's w from the"
    " average w; 1 is the mean distance."
)


class Inside:
    """A row for each layer; there is no state but that of the image."""

    shortcuts: Sequence[Shortcut] = ()

    def __init__(self, page: Page) -> None:
        self._page = page
        with ui.element("div").classes("inside"):
            with ui.element("div").classes("of"):
                self._picture = Picture(page.studio.subject.painter.network.resolution)
            with ui.element("div").classes("more"):
                ui.label(_ABOUT).classes("remark")
                self._error = error_label()
                self._table = ui.html()
                self._command = CommandLine()

    async def show(self, words: str) -> None:
        """Look into the image of the view Image."""
        del words  # there are none
        self._page.record(NAME, "")
        studio = self._page.studio
        self._error.set_text("")
        try:
            of_image = self._page.words("image")
            recipe = opening_recipe(studio.subject)
            if of_image:
                recipe = await studio.recipe_of(of_image)
            figures = await studio.compute(partial(_look, studio, recipe))
        except UserError as error:
            self._error.set_text(str(error))
            self._table.set_content("")
            self._command.enable(value=False)
            return
        self._picture.show(address(recipe), "The image that the view Image shows")
        self._table.set_content(table_of(figures))
        start = studio.source.start("inside", moves=bool(recipe.moves))
        self._command.set(shlex.join([*start, *typed_words(recipe)]))
        self._command.enable(value=True)


def opening_recipe(subject: OpenedGenerator) -> Recipe:
    """The first recipe of the view Image: the first class if there are no labels to draw."""
    painter = subject.painter
    if not subject.classes or painter.label_rows is not None:
        return Recipe()
    return Recipe(number=class_word(0, painter.label_names))


def _look(studio: Studio, recipe: Recipe) -> list[LayerFigures]:
    return look_inside(recipe, studio.subject, studio.sample, studio.start_of(recipe))


def table_of(figures: Sequence[LayerFigures]) -> str:
    """A table in HTML, with bars in proportion to the largest number of a column."""
    columns: dict[str, list[float | None]] = {
        "Activation": [each.activation for each in figures],
        "Noise": [each.noise for each in figures],
        "Noise share": [each.noise_share for each in figures],
        "Distance of w": [each.distance for each in figures],
    }
    kept = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Layer", "Size", *kept))
    rows = [f'<table class="figures"><thead><tr>{heads}</tr></thead><tbody>']
    for place, each in enumerate(figures):
        cells = [f'<th scope="row">{each.layer}</th><td>{each.size}x{each.size}</td>']
        cells += [
            _cell(values, place, share=name == "Noise share") for name, values in kept.items()
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*rows, "</tbody></table>"])


def _cell(values: Sequence[float | None], place: int, *, share: bool) -> str:
    value = values[place]
    if value is None:
        return "<td>-</td>"
    largest = max(number for number in values if number is not None) or 1.0
    text = f"{value:.1%}" if share else f"{value:.3g}"
    return f'<td class="measured" style="--share: {value / largest:.4f}">{text}</td>'
