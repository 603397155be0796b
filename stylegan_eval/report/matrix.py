"""Pictures in a table whose heads stay in sight, each of which can be enlarged."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.report import shell

_SIDE = 256  # pixels of an image within the page, at most
_EXACT = 128  # up to here as PNG, all pixels; above as JPEG
_QUALITY = 90
_SMALL = 64  # up to here pixels are shown as squares


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image on the page."""

    image: NDArray[np.uint8]  # uint8 [3, H, W]
    what: str  # What it shows, for people who do not see it and above the enlarged one
    caption: str = ""  # Below it


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Pictures one below the other, and what is said below them."""

    pictures: Sequence[Picture]
    lines: Sequence[str]
    at: str = ""  # Id within the page
    link: tuple[str, str] | None = None  # Id of another place of the page, and words for it


def gallery(figures: Sequence[Figure]) -> str:
    """Figures side by side, as HTML."""
    cells = []
    for figure in figures:
        lines = [*map(shell.text, figure.lines)]
        if figure.link is not None:
            place, words = figure.link
            lines.append(f'<a href="#{place}">{shell.text(words)}</a>')
        caption = f"<figcaption>{'<br>'.join(lines)}</figcaption>" if lines else ""
        name = f' id="{figure.at}"' if figure.at else ""
        cells.append(f"<figure{name}>{''.join(map(shown, figure.pictures))}{caption}</figure>")
    return f'<div class="gallery">{"".join(cells)}</div>'


def image_uri(image: NDArray[np.uint8]) -> str:
    """One image [3, H, W] as a data URI; smaller where it is larger than a page needs."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    file = io.BytesIO()
    if max(picture.size) <= _EXACT:
        picture.save(file, "PNG", optimize=True)
        return shell.data_uri(file.getvalue())
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    picture.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return shell.data_uri(file.getvalue(), "jpeg")


def shown(picture: Picture) -> str:
    """The image with its caption, as HTML."""
    kind = ' class="pixels"' if picture.image.shape[-1] <= _SMALL else ""
    caption = f"<span>{shell.text(picture.caption)}</span>" if picture.caption else ""
    return (
        f'<img{kind} src="{image_uri(picture.image)}" alt="{shell.text(picture.what)}"'
        f" data-zoom>{caption}"
    )


def matrix(
    at: str,
    label: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Sequence[Picture]]]],
) -> str:
    """A table of images, as HTML.

    Parameters
    ----------
    at, label : str
        Id of the table, and what people read instead.
    rows : sequence of (str, sequence)
        Name of each row, and for each column its images, one below the other.
    """
    heads = "".join(f'<th scope="col">{shell.text(name)}</th>' for name in columns)
    body = "\n".join(
        f'<tr><th scope="row">{shell.text(name)}</th>'
        + "".join(f"<td>{''.join(map(shown, pictures))}</td>" for pictures in cells)
        + "</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="scroll tall" role="region" aria-label="{shell.text(label)}" tabindex="0">'
        f'<table class="matrix" id="{at}"><thead><tr><td></td>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
