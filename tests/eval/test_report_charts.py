"""Charts of a report: what they draw, and that a page with a strict policy may hold them."""

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

import stylegan_eval.report
from stylegan_eval.report import charts as module
from stylegan_eval.report.charts import Curve, Values, bars, curves, histogram
from stylegan_eval.report.svg import INK
from stylegan_eval.results.plotting import STYLES, running_mean

CSS = (Path(stylegan_eval.report.__file__).parent / "page.css").read_text()
NUMBERS = np.array([1.0, 2.0, 3.0, 100.0])


def drawn():
    """One chart of each kind."""
    x = [1.0, 2.0, 3.0]
    return {
        "curves": curves(
            "a", 'Title "<b>"', [Curve(label="x", style=0, x=x, y=x, error=x)], log=True
        ),
        "bars": bars(
            "b", "Bars", ["hat", "hair & <x>"],
            [Values(label=str(k), style=k, numbers=np.array([0.5, math.nan])) for k in range(2)],
            1.0,
        ),
        "histogram": histogram(
            "c", "Lengths", [Values(label=str(k), style=k, numbers=NUMBERS) for k in range(8)],
            {"0": 2.0},
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def charts():
    return {name: ET.fromstring(html)[0] for name, html in drawn().items()}


def test_charts_have_nothing_that_the_policy_forbids(charts):
    for svg in charts.values():
        elements = list(svg.iter())
        assert not {"style", "script", "metadata", "image"} & {element.tag for element in elements}
        assert not any("style" in element.attrib for element in elements)
        assert not any(key.startswith("on") for element in elements for key in element.attrib)


def test_charts_refer_to_themselves_alone(charts):
    ids: list[str] = []
    for svg in charts.values():
        own = [element.attrib["id"] for element in svg.iter() if "id" in element.attrib]
        values = [value for element in svg.iter() for value in element.attrib.values()]
        wanted = {name for value in values for name in re.findall(r"#([\w-]+)\)", value)}
        wanted |= {e.attrib["href"][1:] for e in svg.iter() if "href" in e.attrib}
        assert wanted == set(own)
        ids += own
    assert len(ids) == len(set(ids))


def test_charts_take_the_ink_of_the_page(charts):
    for svg in charts.values():
        colours = {e.attrib.get(key) for e in svg.iter() for key in ("fill", "stroke")}
        assert INK not in colours
        assert "#ffffff" not in colours  # no ground of its own
        assert svg.attrib["fill"] == "currentColor"
    assert STYLES[6][0] == INK


def test_a_curve_that_is_smoothed_keeps_its_points():
    """The page's slider smooths over a number of them; Matplotlib would leave out flat parts."""
    x = [float(at) for at in range(300)]
    y = [float(at > 200 and at % 7) for at in range(300)]
    curve = Curve(label="x", style=0, x=x, y=y, smooth=running_mean(y, 15))
    svg = ET.fromstring(curves("a", "Losses", [curve]))[0]
    [raw] = [group for group in svg.iter("g") if group.get("class") == "raw"]
    assert len(re.findall("[ML]", raw[0].get("d"))) == 300


def test_words_of_charts_stay_words(charts):
    words = ["".join(svg.itertext()) for svg in charts.values()]
    assert 'Title "<b>"' in words[0]
    assert "hair & <x>" in words[1]
    assert "share of pairs" in words[2]
    assert charts["curves"].attrib["role"] == "img"
    assert charts["curves"].attrib["aria-label"].startswith('Title "<b>", x. Curves of x')


def test_numbers_of_a_broken_run_leave_a_chart():
    """Not finite, too large for an axis, or too small for a logarithmic one."""
    odd = [math.nan, math.inf, -math.inf, 1e300, 1e-300, 0.0]
    curve = Curve(label="x", style=0, x=odd, y=odd[::-1], error=odd)
    values = [Values(label="x", style=0, numbers=np.array(odd))]
    for html in (
        curves("a", "Curves", [curve], log=True),
        curves("a", "Nothing", [Curve(label="x", style=0, x=[1.0], y=[math.nan])], log=True),
        bars("b", "Bars", list("abcdef"), values, 1.0),
        histogram("c", "Lengths", values, {"x": math.inf}),
    ):
        assert ET.fromstring(html)[0].tag == "svg"


@settings(max_examples=8)
@given(st.text(min_size=1, max_size=12))
@example("$x$ y")
@example("_hidden")
@example("\x00\udcff\n]]>")
@example("人 <b>")
def test_any_name_can_be_drawn(name):
    """Names come from folders and tables: no formula, no markup, no end of the drawing."""
    values = [Values(label=label, style=0, numbers=np.ones(1)) for label in (name, "other")]
    svg = ET.fromstring(bars("n", "Bars", [name], values, 1.0))[0]
    words = [element.text or "" for element in svg.iter("text")]
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
    assert [word.strip() for word in words].count(shown.strip()) >= 2  # beside the bar, and below
    assert "other" in words


def test_the_same_numbers_give_the_same_chart():
    assert drawn() == drawn()


def test_a_single_generator_needs_no_legend(charts):
    """Of eight, each has a name; of one, it stands in the title."""
    words = [element.text for element in charts["histogram"].iter("text")]
    assert set("01234567") <= set(words)
    assert "x" not in [element.text for element in charts["curves"].iter("text")]


def test_a_bar_is_as_long_as_its_number(charts):
    """0.5 of an axis that ends at 1, and a cross in the place of no number."""
    paths = [
        e.attrib["d"] for e in charts["bars"].iter("path") if e.get("fill") == STYLES[0][0].lower()
    ]
    xs = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", paths[0])]
    spines = [e.attrib["d"] for e in charts["bars"].iter("path") if "L" in e.attrib["d"]]
    axis = max(float(x) for d in spines for x in re.findall(r"[ML] ([\d.]+) ", d))
    left = min(xs)
    assert (max(xs) - left) / (axis - left) == pytest.approx(0.5, abs=0.02)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_stand_out_from_both_grounds():
    """WCAG 2 asks for 3 to 1 of what must be seen to understand a picture."""
    grounds = re.findall(r"--paper: (#[0-9a-f]{6})", CSS)
    assert len(grounds) == 2
    for colour, _ in STYLES:
        if colour != INK:
            assert min(contrast(colour, ground) for ground in grounds) >= 3, colour


def test_lines_of_equal_dashes_have_unlike_colours():
    """The two blues, 57 apart of 255 in each channel, are told apart by their dashes alone."""
    for (one, dashes), (other, others) in itertools.combinations(STYLES, 2):
        if dashes == others:
            rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (one, other)])
            assert np.linalg.norm(rgb[0] - rgb[1]) > 100, (one, other)


@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize("low", [0.0123, 1.0, 37.0])
@pytest.mark.parametrize("ratio", [1.05, 1.5, 4.0, 9.0, 60.0, 900.0, 1e5, 1e9])
def test_numbers_of_a_logarithmic_axis_do_not_overprint(which, low, ratio):
    chart = module._Chart("", [], 2.6)
    figure, axes = chart.figure, chart.axes
    ends = [low, low * ratio]
    axes.plot(*(ends, [0, 1]) if which == "x" else ([0, 1], ends))
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    module._plain_ticks(axis)
    FigureCanvasAgg(figure).draw()
    first, last = axis.get_view_interval()
    labels = [
        label.get_window_extent()
        for at, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        if first <= at <= last and label.get_text()
    ]
    assert len(labels) >= 2
    for a, b in itertools.pairwise(labels):
        assert (a.x1 < b.x0) if which == "x" else (a.y1 < b.y0)


@pytest.mark.parametrize(("count", "bins"), [(8, 5), (60, 8), (1000, 20), (10**6, 60)])
def test_few_lengths_have_few_bars(count, bins, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.stairs", lambda _axes, heights, *_, **__: seen.append(heights)
    )
    lengths = np.random.default_rng(0).lognormal(size=count)
    histogram("h", "Lengths", [Values(label="x", style=0, numbers=lengths)], {})
    assert len(seen[0]) == bins
    assert sum(seen[0]) == pytest.approx(1)
