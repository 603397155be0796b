"""The page of `stylegan-eval report`, also in a browser: what it shows, escapes and refuses."""

import re
import subprocess
import sys

import pytest

from stylegan_eval.report.parts import summary_part
from stylegan_eval.report.tables import lines_of
from stylegan_eval.results.results import append_csv
from tests.bench.report_fakes import untrained
from tests.elements import Elements
from tests.eval.report_fakes import row, subjects, write_run
from tests.eval.report_pages import run


def test_every_part_is_there(page):
    found = Elements(page.read_text())
    ids = [attrs["id"] for tag, attrs in found.tags if tag == "h2"]
    assert ids == [
        *("results", "paper", "training", "attributes", "lengths", "samples", "time"),
        *("influence", "pairs", "settings", "provenance"),
    ]
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert links[: len(ids)] == [f"#{at}" for at in ids]
    known = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    assert {link[1:] for link in links} <= known
    words = " ".join(found.words)
    assert "loss.r1_gamma" in words  # the configurations differ in it
    assert "few images" in words
    assert "trained" in words  # told by the checkpoint
    assert "score is 2 to the sum over attributes" in words
    assert len([tag for tag, _ in found.tags if tag == "svg"]) == 1 + 4 + 2 + 1 + 6


def test_nothing_is_fetched(page):
    found = Elements(page.read_text())
    addresses = [attrs[key] for _, attrs in found.tags for key in ("src", "href") if key in attrs]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"url\((?!#)|@import|https?:", page.read_text())


@pytest.fixture(scope="module")
def opened(page, chromium):
    with chromium.borrowed() as one:
        one.open(page)
        yield one


def test_the_browser_has_nothing_to_complain_of(opened):
    assert opened.complaints == []
    assert [url.rsplit("/", 1)[1] for url in opened.requests] == ["report.html"]


def test_the_browser_shows_every_picture(opened):
    widths = opened.run("[...document.images].map(image => image.naturalWidth)")
    # Of two generators, each with its nearest real image; over time; costly ones and pairs.
    assert widths == [16] * (2 * 4 * 2 + 3 * 6 + 3 + 2 * 2)
    assert opened.run("[...document.images].every(image => image.alt.length > 5)")


COLUMNS = "[...document.querySelectorAll('thead tr')[0].cells].map(c => c.textContent)"
ROWS = "[...document.querySelectorAll('table')[0].tBodies[0].rows].map(r => r.cells[0].innerText)"
PRESS = "document.querySelector({!r}).click()"


def test_pressing_a_metric_orders_the_generators(opened):
    names = [cell[0] for cell in opened.run(COLUMNS)[1:3]]
    assert names == ["B", "F"]
    press = "document.querySelectorAll('tbody th button')[0].click()"
    cells = "[...document.querySelectorAll('tbody tr')[0].cells].map(c => c.dataset.key ?? '')"
    before = opened.run(cells)[1:3]
    opened.run(press)
    assert [cell[0] for cell in opened.run(COLUMNS)[1:3]] == ["B", "F"]  # 9 and 109
    opened.run(press)
    assert [cell[0] for cell in opened.run(COLUMNS)[1:3]] == ["F", "B"]
    assert opened.run(cells)[1:3] == before[::-1]  # the cells went with their heads
    sorts = "[...document.querySelectorAll('tbody th')].map(c => c.getAttribute('aria-sort'))"
    assert opened.run(sorts)[:2] == ["descending", None]


def test_headings_are_reached_and_pressed_by_keyboard(opened):
    opened.run("document.querySelector('nav a:last-child').focus()")
    opened.run("document.querySelector('thead button').focus()")
    opened.press("Enter", 13)
    up = opened.run(ROWS)
    opened.press("Enter", 13)
    down = opened.run(ROWS)
    assert up == sorted(up)
    assert down == up[::-1]
    opened.run("document.querySelector('.scroll').focus()")
    opened.press("Tab", 9)
    assert opened.run("document.activeElement.tagName") == "BUTTON"


def test_many_generators_are_rows_with_their_place_in_each_order(tmp_path):
    rows = [
        row(f"N{at}", metric, float(at), 0.1, generator_digest=f"{at:064d}")
        for at in range(1, 13)
        for metric in ("fd_x", "is_x")
    ]
    found = subjects(tmp_path, *rows)
    html = summary_part(found, lines_of(found), {f"N{at}": at for at in range(1, 13)})
    table = html.partition("<table>")[2].partition("</table>")[0]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in table.split("</tr>")[:13]]
    words = [[re.sub("<.*?>", " ", cell).split() for cell in line] for line in cells]
    assert [line[0] for line in words[0]] == ["generator", "fd_x", "is_x"]
    assert [line[0][0] for line in words[1:]] == [f"N{at}" for at in range(1, 13)]
    assert [[cell[-1] for cell in line[1:]] for line in words[1:]] == [
        [f"{at}.", f"{13 - at}."] for at in range(1, 13)
    ]
    assert sum(cell.count("<b>") for line in cells for cell in line[1:]) == 2  # the best of each


@pytest.mark.parametrize(("mode", "width"), [("light", 320), ("dark", 1280)])
def test_everybody_can_use_it(opened, page, mode, width):
    """WCAG AA: contrast depends on the mode, sizes and places on the width."""
    feature = {"name": "prefers-color-scheme", "value": mode}
    opened.ask("Emulation.setEmulatedMedia", features=[feature])
    opened.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=400, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    opened.open(page)
    assert opened.violations() == []
    assert opened.run("document.documentElement.scrollWidth") <= width
    opened.ask("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_itself_does_not_scroll_sideways(opened, width):
    opened.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip
    assert opened.run("document.documentElement.scrollWidth") <= width


# The ratio of each text's colour to the ground that it stands on, by WCAG 2.
CONTRASTS = """(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = parse(colour).map((x) => x / 255)
      .map((x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parse(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [x, y] = [luminance(colour), luminance(ground(element))].sort((a, b) => b - a);
    found.push((x + 0.05) / (y + 0.05));
  }
  return found;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_can_be_read_by_day_and_night(opened, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.ask("Emulation.setEmulatedMedia", features=[feature])
    ground = opened.run("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 3 * 128
    assert light == (scheme == "light")
    found = opened.run(CONTRASTS)
    assert len(found) > 100
    assert min(found) >= 4.5
    opened.ask("Emulation.setEmulatedMedia", features=[])


def test_paper_shows_all_of_a_table(opened):
    opened.ask("Emulation.setEmulatedMedia", media="print")
    styles = "[...document.querySelectorAll('.scroll')].map(x => getComputedStyle(x).overflowX)"
    assert set(opened.run(styles)) == {"visible"}
    assert opened.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    opened.ask("Emulation.setEmulatedMedia", media="")


def test_what_the_policy_forbids_does_not_happen(opened):
    """The policy is in force: neither scripts nor styles that were not written with the page."""
    opened.run(
        "const added = document.createElement('script'); added.textContent = 'window.acted = 1';"
        " document.body.append(added);"
        " document.body.insertAdjacentHTML('beforeend', '<p id=x style=\"color: red\">x</p>')"
    )
    assert opened.run("window.acted === undefined")
    assert opened.run("getComputedStyle(document.getElementById('x')).color") != "rgb(255, 0, 0)"


HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "field", ["metric", "generator", "description", "detector", "data", "note", "date", "device"]
)
def test_words_of_a_table_stay_words(tmp_path, field):
    rows = [row("A"), row("B", **{field: HOSTILE})]
    append_csv(tmp_path / "results.csv", rows)
    done = run(tmp_path / "results.csv", "--samples", 0, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.stderr
    found = Elements((tmp_path / "r.html").read_text())
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "img" not in [tag for tag, _ in found.tags]
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)


def test_words_of_a_training_stay_words(tmp_path):
    write_run(tmp_path / "<b>run", hat=HOSTILE, name=HOSTILE)
    done = run(tmp_path / "<b>run", "--samples", 0, "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.stderr
    tags = [tag for tag, _ in Elements((tmp_path / "r.html").read_text()).tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert "b" not in tags[: tags.index("main")]


def test_a_generator_that_is_not_there_says_what_to_do(tmp_path):
    append_csv(tmp_path / "results.csv", [row("A", generator="gone.pt")])
    done = run(tmp_path / "results.csv", "-o", tmp_path / "r.html")
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "r.html").read_text()
    assert "No samples of gone.pt: gone.pt is not there: name its checkpoint with --ckpt" in text


def test_another_network_in_its_place_is_not_taken_for_it(tmp_path):
    trained = untrained("F", tmp_path / "F").folder
    append_csv(tmp_path / "results.csv", [row("A", generator=str(trained))])
    run(tmp_path / "results.csv", "-o", tmp_path / "r.html", "--samples", 2)
    assert "holds another network now" in (tmp_path / "r.html").read_text()


def test_a_checkpoint_alone_makes_a_report(tmp_path):
    trained = untrained("F", tmp_path / "F").folder
    done = run("--ckpt", trained, "-o", tmp_path / "r.html", "--samples", 3)
    assert done.exit_code == 0, done.stderr
    found = Elements((tmp_path / "r.html").read_text())
    assert [tag for tag, _ in found.tags].count("img") == 3
    assert "network.mapping_layers" in " ".join(found.words)


def test_what_cannot_be_reported_leaves_no_page(tmp_path):
    table = tmp_path / "results.csv"
    append_csv(table, [row("A")])
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n")
    (tmp_path / "bad.npz").write_bytes(b"PK")
    out = tmp_path / "new" / "r.html"
    for args, message in [
        ([tmp_path / "none"], "no such table or folder"),
        ([tmp_path / "bad.csv"], "columns are x,y"),
        ([tmp_path / "bad.npz"], "not a file of path lengths"),
        ([table, "--ckpt", tmp_path / "none.pt"], "no such checkpoint"),
        ([table, "--data", tmp_path / "none"], "does not exist"),
        ([table, "--data", tmp_path, "--samples", 0], "ask for some (--samples)"),
        ([table, "--device", "tpu"], "--device must be"),
        ([table, "--samples", 257], "--samples must be from 0 to 256, got 257"),
        ([table, "--seed", -1], "--seed must be 0 to"),
    ]:
        refused = run(*args, "-o", out)
        assert refused.exit_code == 1, args
        assert refused.stderr.splitlines()[-1].startswith("error: ")
        assert message in refused.stderr
        assert not out.exists()
    assert run("-o", out).exit_code == 2
    refused = run(table, "-o", table)
    assert refused.exit_code == 2
    assert "must end in .html or .htm" in refused.stderr
    assert run(table, "-o", tmp_path).exit_code == 1


def test_a_table_alone_needs_no_pytorch(tmp_path):
    """Which takes seconds to import."""
    append_csv(tmp_path / "results.csv", [row("A"), row("B")])
    program = (
        "import sys; from stylegan_eval.cli import main;"
        f"main(['report', {str(tmp_path / 'results.csv')!r}, '--samples', '0', '-o',"
        f" {str(tmp_path / 'r.html')!r}], standalone_mode=False);"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r.html").stat().st_size > 5000
