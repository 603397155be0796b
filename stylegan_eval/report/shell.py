"""Building blocks of HTML pages: frame with its security policy, tables and terms.

What is called `html` here is finished HTML; all else is plain text, which is escaped on its way.
"""

import base64
import hashlib
import html
import io
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BREAKS = str.maketrans({"[": "<wbr>[", ",": ",<wbr>", "/": "/<wbr>"})


Order = Literal["", "text", "number"]

# Nothing may be fetched; of scripts and styles only the two that are written here may act.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src '$style_hash'; script-src '$script_hash'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$intro
</header>
<main>
$main
</main>
<footer>$footer</footer>
<script>$script</script>
</body>
</html>
""")


def data_uri(content: bytes, kind: str = "png") -> str:
    """An image file as an address that holds it; `kind`: png or jpeg."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def page(title: str, *, intro: str, main: str, footer: str) -> str:
    """A whole page; `intro`, `main` and `footer` are HTML."""
    style, script = _resource("page.css"), _resource("page.js")
    return _PAGE.substitute(
        title=text(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        intro=intro,
        main=main,
        footer=footer,
    )


def _resource(name: str) -> str:
    found = resources.files("stylegan_eval.report").joinpath(name).read_text(encoding="utf-8")
    return "\n" + found


def _hash(content: str) -> str:
    """Hash by which a Content-Security-Policy allows an inline script or style."""
    digest = hashlib.sha256(content.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def text(words: str) -> str:
    """Plain text as HTML, also within an attribute."""
    return html.escape(words, quote=True)


def contents(label: str, entries: Iterable[tuple[str, str]]) -> str:
    """A list of links within the page: (id, HTML) pairs."""
    items = "".join(f'<li><a href="#{at}">{words}</a></li>' for at, words in entries)
    return f'<nav aria-label="{text(label)}"><ul>{items}</ul></nav>'


def section(at: str, title: str, *parts: str) -> str:
    """A part of the page that its heading folds; `parts` are HTML, empty ones are left out."""
    inner = "\n".join(part for part in parts if part)
    return (
        f'<section aria-labelledby="{at}"><details open>\n<summary><h2 id="{at}">{text(title)}</h2>'
        f"</summary>\n{inner}\n</details></section>"
    )


def note(words: str) -> str:
    """A remark."""
    return f'<p class="note">{text(words)}</p>' if words else ""


def failed(words: str) -> str:
    """Why something is not there."""
    return f'<p class="failed">{text(sentence(words, Path()))}</p>'


def terms(pairs: Iterable[tuple[str, str]]) -> str:
    """Words and what they stand for."""
    inner = "".join(f"<dt>{text(word)}</dt><dd>{text(content)}</dd>" for word, content in pairs)
    return f"<dl>{inner}</dl>"


def items(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{text(content)}</li>" for content in sentences) + "</ul>"


def head(html_words: str, order: Order = "", kind: str = "", *, moves: bool = False) -> str:
    """Heading of a column.

    `order`: how a press on it orders the rows; `kind`: classes of the style; `moves`: whether the
    column is among those that a press on a row's name orders.
    """
    marks = f' class="{kind}"' if kind else ""
    marks += f' data-order="{order}"' if order else ""
    return f'<th scope="col"{marks}{" data-moves" if moves else ""}>{html_words}</th>'


def row_name(html_words: str, key: str | None = None, *, orders: bool = False) -> str:
    """Name of a row, ordered by `key`; `orders`: a press on it orders the columns that move."""
    return f'<th scope="row"{_key(key)}{" data-orders" if orders else ""}>{html_words}</th>'


def cell(html_words: str, key: str | None = None, kind: str = "") -> str:
    """A cell: HTML, what it is ordered by (nothing goes last), and classes of the style."""
    marks = f' class="{kind}"' if kind else ""
    return f"<td{marks}{_key(key)}>{html_words}</td>"


def _key(key: str | None) -> str:
    return "" if key is None else f' data-key="{text(key)}"'


def table(
    label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, tall: bool = False
) -> str:
    """A table that scrolls by itself where it is wider than the page, or `tall` and higher."""
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    kind = "scroll tall" if tall else "scroll"
    return (
        f'<div class="{kind}" role="region" aria-label="{text(label)}" tabindex="0"><table><thead>'
        f"<tr>{''.join(heads)}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def command(line: str) -> str:
    """A command line, which scrolls by itself; the keyboard reaches it."""
    return f'<pre tabindex="0"><code>{text(line)}</code></pre>'


def code(name: str) -> str:
    """A name of a metric or a setting, which may be broken where it has joints."""
    return f"<code>{text(name).translate(_BREAKS)}</code>"


_HOME = r"(?:/home|/Users|/var/home)/[^/\s'\"<>&;]+|/root(?![\w.-])"
_TEMPORARY = r"/tmp|/var/tmp|/dev/shm|/(?:private/)?var/folders/[^/\s]+/[^/\s]+/T"
_REST = r"(?:/[^\s'\"<>&;,:)]*)?"
_PATH = re.compile(r"(?<![\w.~…/:-])/(?:[^\s/'\",;]+/)+[^\s/'\",;:)]+")
# Pictures are within the page, and may hold any letters.
_PICTURE = r"data:image/[^\"]*"


def place(path: Path | str, base: Path) -> str:
    """A path as a page in the folder `base` names it.

    What is written from the folder where a command ran stays; what lies in `base` is named from
    there; of anything else the last two parts.

    >>> place("runs/F", Path("/a")), place("/a/runs/F", Path("/a")), place("/b/c/d.csv", Path("/a"))
    ('runs/F', 'runs/F', '…/c/d.csv')
    """
    path = Path(path)
    if not path.is_absolute() and ".." not in path.parts:
        return str(path)
    if path.is_relative_to(base):
        return str(path.relative_to(base))
    names = [part for part in path.parts if part not in ("/", "..")]
    return "/".join(["…", *names[-2:]])


def sentence(words: str, base: Path) -> str:
    """A sentence whose absolute paths are named as by `place`.

    >>> sentence("/a/b/c.pt is not there: name it", Path("/x"))
    '…/b/c.pt is not there: name it'
    """
    return _PATH.sub(lambda match: place(match[0], base), words)


def without_private_folders(words: str) -> str:
    """A text or a page without the home folder, which becomes ~, and without temporary folders.

    Of a file in a temporary folder its name is left. The rest of a command stays as it was typed.

    >>> without_private_folders("stylegan-eval fid --csv /home/NAME/a.csv --data /tmp/x1/c.zip")
    'stylegan-eval fid --csv ~/a.csv --data …/c.zip'
    """
    home, temporary = (
        re.escape(folder) + r"(?![\w.-])" if len(folder) > 1 else r"(?!)"
        for folder in (str(Path.home()), tempfile.gettempdir())
    )
    pattern = re.compile(
        rf"({_PICTURE})|(?<![\w.~-])((?:{temporary}|{_TEMPORARY})(?![\w.-]){_REST})"
        rf"|(?<![\w.~-])(?:{home}|{_HOME})"
    )
    return pattern.sub(_shorter, words)


def _shorter(match: re.Match[str]) -> str:
    picture, temporary = match.groups()
    if picture:
        return picture
    return f"…/{Path(temporary).name}" if temporary else "~"


def charts(drawn: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


_SIDE = 256  # pixels of an image within the page, at most
_EXACT = 128  # up to here as PNG, all pixels; above as JPEG
_QUALITY = 90
_SMALL = 64  # up to here pixels are shown as squares


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image on the page."""

    image: "NDArray[np.uint8]"  # uint8 [3, H, W]
    what: str  # What it shows, for people who do not see it and above the enlarged one
    caption: str = ""  # Below it


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Pictures one below the other, with a caption."""

    pictures: Sequence[Picture]
    lines: Sequence[str]
    at: str = ""  # Id within the page
    link: tuple[str, str] | None = None  # Id of another place of the page, and words for it


def gallery(figures: Sequence[Figure]) -> str:
    """Figures side by side, as HTML."""
    cells = []
    for figure in figures:
        lines = [*map(text, figure.lines)]
        if figure.link is not None:
            place, words = figure.link
            lines.append(f'<a href="#{place}">{text(words)}</a>')
        caption = f"<figcaption>{'<br>'.join(lines)}</figcaption>" if lines else ""
        name = f' id="{figure.at}"' if figure.at else ""
        cells.append(f"<figure{name}>{''.join(map(shown, figure.pictures))}{caption}</figure>")
    return f'<div class="gallery">{"".join(cells)}</div>'


def image_uri(image: "NDArray[np.uint8]") -> str:
    """One image [3, H, W] as a data URI; smaller where it is larger than a page needs."""
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    file = io.BytesIO()
    if max(picture.size) <= _EXACT:
        picture.save(file, "PNG", optimize=True)
        return data_uri(file.getvalue())
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    picture.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return data_uri(file.getvalue(), "jpeg")


def shown(picture: Picture) -> str:
    """The image with its caption, as HTML."""
    kind = ' class="pixels"' if picture.image.shape[-1] <= _SMALL else ""
    caption = f"<span>{text(picture.caption)}</span>" if picture.caption else ""
    return (
        f'<img{kind} src="{image_uri(picture.image)}" alt="{text(picture.what)}"'
        f" data-zoom>{caption}"
    )


def matrix(
    at: str,
    label: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Sequence[Picture]]]],
) -> str:
    """A table of images, as HTML.

    `at`: its id; `label`: what people read instead; `rows`: the name of each, and for each column
    its images, one below the other.
    """
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "\n".join(
        f'<tr><th scope="row">{text(name)}</th>'
        + "".join(f"<td>{''.join(map(shown, pictures))}</td>" for pictures in cells)
        + "</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="scroll tall" role="region" aria-label="{text(label)}" tabindex="0">'
        f'<table class="matrix" id="{at}"><thead><tr><td></td>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
