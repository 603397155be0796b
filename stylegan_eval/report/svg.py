"""A figure of Matplotlib as inline SVG that a page with a strict policy may hold."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from stylegan_eval.report.shell import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#000000"  # becomes the colour of the page's text, whatever that is
KIND = "kind:"  # begins a `gid`; what follows, up to a '-', becomes a class
_UNSEEN = {"fill": "none", "pointer-events": "all"}
_DROPPED = ("metadata", "style", "title")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_SIZE = re.compile(r"([\d.]+)px")


def inline_svg(figure: "Figure", name: str, label: str, marks: Mapping[str, Sequence[str]]) -> str:
    """A figure as an `svg` element that a page with a strict policy may hold.

    Styles become attributes, since the policy allows no others; black becomes the page's ink; words
    stay words; ids are the page's own.

    `name` begins each id in it: letters, digits and '-', different from other figures'; `label` is
    what people read instead. `marks`: for the id (`gid`) of a line drawn with markers alone, what
    each marker says; they become circles that are not seen and tell it.
    """
    import matplotlib as mpl

    file = io.BytesIO()
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": False}),
        warnings.catch_warnings(),
    ):
        # The page's reader has the glyphs that Matplotlib's font lacks, and draws the words.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(file.getvalue())
    _clean(root)
    _tell(root, marks)
    _name(root, name)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {
        "viewBox": box, "role": "img", "fill": "currentColor",
        "stroke-linejoin": "round", "stroke-linecap": "butt",
    }  # fmt: skip
    drawn = ET.tostring(root, encoding="unicode")
    return drawn.replace("<svg ", f'<svg aria-label="{text(_printable(label))}" ', 1)


def _circle(marker: ET.Element, words: str) -> ET.Element:
    x, y = marker.get("x", "0"), marker.get("y", "0")
    circle = ET.Element("circle", {"cx": x, "cy": y, "r": "4", **_UNSEEN})
    ET.SubElement(circle, "title").text = _printable(words)
    return circle


def _tell(root: ET.Element, marks: Mapping[str, Sequence[str]]) -> None:
    """Put circles with titles in the place of markers, and ids that are kinds into classes."""
    for element in root.iter("g"):
        at = element.get("id", "")
        if at in marks:
            used = list(element.iter("use"))
            element.clear()
            element.set("class", "marks")
            # A marker off the axes is left out: better no words than words beside another.
            words = marks[at] if len(used) == len(marks[at]) else ()
            element.extend(map(_circle, used, words))
        elif at.startswith(KIND):
            element.set("class", at.removeprefix(KIND).partition("-")[0])
            del element.attrib["id"]


def drawable(words: str) -> str:
    """Words that Matplotlib shows as they are: no formulas, nothing hidden or unprintable."""
    shown = _printable(words)
    # A label that begins with an underscore has no place in a legend.
    return f" {shown}".replace("$", r"\$") if shown.startswith("_") else shown.replace("$", r"\$")


def _printable(words: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in words)


def _clean(element: ET.Element) -> None:
    """Plain names, styles as attributes, and nothing that is not drawn."""
    element.tag = _plain(element.tag)
    for key in list(element.attrib):
        value = element.attrib.pop(key)
        if key == "style":
            element.attrib |= _attributes(value)
        else:
            element.set(_plain(key), value)
    for key, value in element.attrib.items():
        if key in ("fill", "stroke") and value == INK:
            element.set(key, "currentColor")
    for child in list(element):
        if _plain(child.tag) in _DROPPED:
            element.remove(child)
        else:
            _clean(child)


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _attributes(style: str) -> dict[str, str]:
    """'fill: none; font: 8px ...' as attributes."""
    found = {}
    for part in style.split(";"):
        key, _, value = (word.strip() for word in part.partition(":"))
        if key == "font":
            size = _FONT_SIZE.search(value)
            found["font-size"] = size[1] if size else "8"
        elif key:
            found[key] = value
    return found


def _name(root: ET.Element, name: str) -> None:
    """Keep the ids that are referred to, and make them the figure's own."""
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used |= set(_REFERENCE.findall(value))
            used |= {value[1:]} if value.startswith("#") else set()
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in used:
                    element.set(key, f"{name}-{value}")
                else:
                    del element.attrib[key]
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            else:
                element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
