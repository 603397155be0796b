"""The report as one HTML page that needs no other file and asks nothing of the network."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template

from benchmarks.report.findings import family, findings
from benchmarks.report.pictures import Picture, Pictures, slugs
from benchmarks.report.tables import Cell, Line, Section
from benchmarks.report.words import (
    cell_troubles,
    cell_value,
    facts,
    legend,
    published_words,
)

_TITLE = "The paper's tables, measured"
# Nothing may be fetched; of scripts and styles only the two that are written here may act.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src '$style_hash'; script-src '$script_hash'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="note">Karras, Laine, Aila: <cite>A Style-Based Generator Architecture for Generative \
Adversarial Networks</cite>, CVPR 2019. Click a column's heading to sort by it.</p>
$contents
</header>
<main>
$sections
</main>
<footer><p>The same in tables.csv (one row per cell), results.csv (one row per cell and seed) and \
report.md.</p></footer>
<script>$script</script>
</body>
</html>
""")


def page(parts: Sequence[Section], pictures: Sequence[Pictures]) -> str:
    """The whole page.

    Parameters
    ----------
    parts : sequence of Section
        Its sections.
    pictures : sequence of Pictures
        Those of each section.
    """
    style, script = _resource("page.css"), _resource("page.js")
    names = slugs(parts)
    return _PAGE.substitute(
        title=_text(_TITLE),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        contents=_contents(parts, names),
        sections="\n".join(map(_section, parts, names, pictures)),
    )


def _resource(name: str) -> str:
    text = resources.files("benchmarks.report").joinpath(name).read_text(encoding="utf-8")
    return "\n" + text


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _contents(parts: Sequence[Section], names: Sequence[str]) -> str:
    if len(parts) < 2:
        return "" if parts else "<p>Nothing is measured yet.</p>"
    items = (
        f'<li><a href="#{name}">{_text(part.request.title)}</a>, {_text(part.request.scale)}</li>'
        for part, name in zip(parts, names, strict=True)
    )
    return '<nav aria-label="Tables"><ul>' + "".join(items) + "</ul></nav>"


def _section(section: Section, name: str, pictures: Pictures) -> str:
    request = section.request
    terms = "".join(f"<dt>{_text(a)}</dt><dd>{_text(b)}</dd>" for a, b in facts(section))
    return "\n".join(
        [
            f'<section aria-labelledby="{name}">',
            f'<h2 id="{name}">{_text(request.title)}</h2>',
            f"<pre><code>{_text(request.command)}</code></pre>",
            f"<dl>{terms}</dl>",
            _table(section),
            *(f'<p class="note">{_text(said)}</p>' for said in legend(section)),
            _findings(section),
            _samples(pictures),
            _curves(pictures),
            "</section>",
        ]
    )


def _table(section: Section) -> str:
    shown = [published_words(section, at) for at in range(len(section.columns))]
    heads = ['<th scope="col" data-number>line</th>', '<th scope="col">as the paper calls it</th>']
    for column, published in zip(section.columns, shown, strict=True):
        heads.append(f'<th scope="col" class="number" data-number>{_text(column.heading)}</th>')
        if published:
            heads.append(
                '<th scope="col" class="number published" data-number>'
                f"{_text(column.paper_heading)}</th>"
            )
    rows = "\n".join(
        _row(at, line, shown, section.common_n) for at, line in enumerate(section.lines)
    )
    name = _text(section.request.title)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table><thead>'
        f"<tr>{''.join(heads)}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(at: int, line: Line, shown: Sequence[Mapping[str, str]], common_n: int | None) -> str:
    space = f" <span>in {_text(line.space)}</span>" if line.space else ""
    cells = [
        f'<th scope="row" data-sort="{at}">{_text(line.key)}</th>',
        f'<td class="label" data-sort="{_text(line.label)}">{_text(line.label)}{space}</td>',
    ]
    for cell, published in zip(line.cells, shown, strict=True):
        cells.append(_measured(cell, common_n))
        if published:
            words = published.get(line.key, "")
            cells.append(f'<td class="number published" data-sort="{words}">{words}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _measured(cell: Cell | None, common_n: int | None) -> str:
    if cell is None:
        return '<td class="number" data-sort=""></td>'
    key = "" if cell.sample is None else repr(cell.sample.mean)
    value = cell_value(cell, common_n)
    said = [f'<span class="value">{_text(value)}</span>'] if value else []
    said += [f'<span class="{state}">{_text(words)}</span>' for state, words in cell_troubles(cell)]
    return f'<td class="number" data-sort="{key}">{"".join(said)}</td>'


def _findings(section: Section) -> str:
    found = findings(section)
    if not found:
        return ""
    parts = ["<h3>What differs by more than noise</h3>"]
    parts += [f'<p class="note">{_text(family(section))}</p>'] if family(section) else []
    for column in found:
        parts.append(f"<h4>{_text(column.heading)}</h4>")
        parts.append(f"<p>From best to worst: {_text(column.order)}</p>")
        items = "".join(f"<li>{_text(said)}</li>" for said in column.sentences)
        parts.append(f"<ul>{items}</ul>")
    return "\n".join(parts)


def _samples(pictures: Pictures) -> str:
    if not pictures.samples:
        return ""
    shown = "\n".join(_figure(picture, "samples") for picture in pictures.samples)
    return (
        "<h3>Samples</h3>\n"
        '<p class="note">The same latents for each network, not truncated (psi 1), uncurated.</p>\n'
        f'<div class="sheets">{shown}</div>'
    )


def _curves(pictures: Pictures) -> str:
    if not pictures.curves:
        return ""
    shown = "\n".join(_figure(picture, "curves") for picture in pictures.curves)
    return f"<h3>Training</h3>\n{shown}"


def _figure(picture: Picture, kind: str) -> str:
    caption = f"<figcaption>{_text(picture.caption)}</figcaption>"
    if picture.png is None:
        return (
            f'<figure class="{kind}">{caption}<p class="failed">{_text(picture.alt)}</p></figure>'
        )
    image = f'<img src="{picture.uri}" alt="{_text(picture.alt)}">'
    return f'<figure class="{kind}">{caption}{image}</figure>'
