"""The view of what the layers do for the image that the view Image shows."""

from collections.abc import Sequence
from html import escape

from nicegui import ui

from stylegan.explore.findings import inside_command, inside_of
from stylegan.explore.studio import address
from stylegan.explore.view import Desk, Shortcut
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import CommandLine
from stylegan.explore.wording import opening_recipe, recipe_of
from stylegan.sample.inside import LayerFigures
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

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with ui.element("div").classes("inside"):
            with ui.element("div").classes("of"):
                self._picture = Picture(desk.studio.subject.painter.network.resolution)
            with ui.element("div").classes("more"):
                ui.label(_ABOUT).classes("remark")
                self._error = ui.label().props("role=alert").classes("error")
                self._table = ui.html()
                self._command = CommandLine()

    async def show(self, words: str) -> None:
        """Look into the image of the view Image."""
        del words  # there are none
        self._desk.record(NAME, "")
        studio = self._desk.studio
        self._error.set_text("")
        try:
            of_image = self._desk.words("image")
            recipe = opening_recipe(studio.subject)
            if of_image:
                recipe = await recipe_of(of_image, studio)
            figures = await inside_of(studio, recipe)
        except UserError as error:
            self._error.set_text(str(error))
            self._table.set_content("")
            self._command.enable(value=False)
            return
        self._picture.show(address(recipe), "The image that the view Image shows")
        self._table.set_content(table_of(figures))
        self._command.set(inside_command(studio, recipe))
        self._command.enable(value=True)


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
