"""The page of a report: what it escapes, says and shows, also in a browser."""

import re

import pytest

from benchmarks.report.pictures import Pictures
from benchmarks.report.tables import sections
from benchmarks.report.write import page, write_report
from tests.bench.report_fakes import cells, outcome, request, untrained
from tests.elements import Elements

NOTHING = Pictures(samples=(), curves=())


def page_of(outcomes):
    parts = sections(outcomes)
    return page(parts, [NOTHING] * len(parts))


@pytest.mark.parametrize("field", ["label", "line", "reason", "space", "condition", "measured_as"])
def test_text_from_outside_stays_text(field):
    hostile = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"
    fields = {"state": "failed", "value": None, "reason": "x"} if field == "reason" else {}
    made = outcome(**({"line": "A", "value": 3.0} | fields | {field: hostile}))
    found = Elements(page_of([made]))
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "img" not in [tag for tag, _ in found.tags]
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)


@pytest.mark.parametrize("field", ["title", "scale", "dataset", "data", "command", "table"])
def test_text_of_a_request_stays_text(field):
    hostile = "</code></pre>\" onclick='x'><script>x</script>"
    made = [outcome("A", value=3.0, request=request(**{field: hostile})), outcome("A", value=2.0)]
    found = Elements(page_of(made))
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)


def test_nothing_is_fetched():
    found = Elements(page_of(cells(A=[3.0, 4.0], B=[2.0, 1.0])))
    addresses = [attrs[key] for _, attrs in found.tags for key in ("src", "href") if key in attrs]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"url\(|@import|https?:", page_of(cells(A=[3.0])))


def test_cells_without_a_value_say_why():
    made = [
        outcome("A", 0, 3.0),
        outcome("B", 0, state="failed", reason="training collapsed at kimg 43"),
        outcome("B", 1, state="running"),
        outcome("C", 0),
        outcome("C", 1),
    ]
    words = "\n".join(Elements(page_of(made)).words)
    assert "seed 0 failed: training collapsed at kimg 43" in words
    assert "running (seed 1)" in words
    assert "waiting (seeds 0, 1)" in words


def test_a_page_of_nothing_says_so():
    assert "Nothing is measured yet" in page_of([])


@pytest.fixture(scope="module")
def opened(tmp_path_factory, chromium):
    """A report in a browser: A is the smallest by text, not by number; B has failed."""
    folder = tmp_path_factory.mktemp("opened")
    trained = {name: untrained(name, folder / name) for name in ("A", "F")}
    made = cells(A=[1000.0], C=[90.0], F=[200.0], published={"A": 8.04, "C": 4.85, "F": 4.4})
    made = [
        outcome(o.line, 0, o.value, published=o.published, training=trained.get(o.line))
        for o in made
    ]
    made.insert(1, outcome("B", state="failed", reason="<b>diverged</b>", published=5.25))
    write_report(made, folder / "report")
    with chromium.borrowed() as page:
        page.open(folder / "report" / "index.html")
        yield page


ORDER = "[...document.querySelectorAll('tbody th')].map(cell => cell.textContent).join('')"
SORTS = "[...document.querySelectorAll('thead th')].map(head => head.getAttribute('aria-sort'))"


def test_the_browser_has_nothing_to_complain_of(opened):
    assert opened.complaints == []
    assert [url.rsplit("/", 1)[1] for url in opened.requests] == ["index.html"]


def test_the_browser_shows_every_picture(opened):
    widths = opened.run("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 2  # samples of A and F
    assert min(widths) > 0
    assert opened.run("[...document.images].every(image => image.alt.length > 10)")


def test_curves_are_in_the_ink_of_the_page_by_day_and_night(opened):
    """Distances of both networks, two charts of losses of each; none has its own ground."""
    assert opened.run("document.querySelectorAll('.chart svg').length") == 1 + 2 * 2
    for mode in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": mode}
        opened.ask("Emulation.setEmulatedMedia", features=[feature])
        ink, word, grounds = opened.run(
            "[getComputedStyle(document.body).color,"
            " getComputedStyle(document.querySelector('.chart text')).fill,"
            " document.querySelectorAll('.chart [fill=\"#ffffff\"]').length]"
        )
        assert (word, grounds) == (ink, 0)
        assert opened.violations() == []
    opened.ask("Emulation.setEmulatedMedia", features=[])


def test_a_sheet_of_samples_is_enlarged(opened):
    opened.run("document.querySelector('.samples button').click()")
    about = "document.querySelector('dialog[open] p')?.textContent"
    assert opened.run(about) == "16 samples of A in rows of 8, uncurated"
    width = "document.querySelector('dialog .large').getBoundingClientRect().width"
    assert opened.run(f"{width} / innerWidth") > 0.8
    opened.press("Escape", 27)
    assert opened.run(about) is None


def test_the_command_tells_nothing_of_the_machine():
    command = "python -m benchmarks run table1 --data /home/jane/av.zip --out /tmp/x/tables"
    text = page_of([outcome("A", value=3.0, request=request(command=command))])
    assert "--data ~/av.zip --out …/tables" in text


def test_a_click_on_a_heading_sorts_by_number_and_again_turns_round(opened):
    assert opened.run(ORDER) == "ABCF"
    click = "document.querySelectorAll('thead button')[2].click()"
    opened.run(click)
    assert (opened.run(ORDER), opened.run(SORTS)[2]) == ("CFAB", "ascending")
    opened.run(click)
    assert (opened.run(ORDER), opened.run(SORTS)[2]) == ("AFCB", "descending")


def test_headings_are_reached_and_pressed_by_keyboard(opened):
    opened.run("document.querySelectorAll('thead button')[2].focus()")
    opened.press("Tab", 9)
    opened.press("Enter", 13)
    assert opened.run(SORTS) == [None, None, None, "ascending"]
    assert opened.run(ORDER) == "FCBA"


def test_what_the_policy_forbids_does_not_happen(opened):
    """The policy is in force: a script that was not written with the page does not act."""
    opened.run(
        "const added = document.createElement('script'); added.textContent = 'window.acted = 1';"
        " document.body.append(added)"
    )
    assert opened.run("window.acted === undefined")
