"""What a report does in a browser: copies, enlarges, folds, smooths and tells values."""

import json
import re

import numpy as np
import pytest

from stylegan_eval.results.results import append_csv
from tests.eval.report_fakes import row, write_run
from tests.eval.report_pages import run

KEYS = {"Enter": 13, "Escape": 27, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
        "ArrowDown": 40}  # fmt: skip


@pytest.fixture(scope="module")
def one(chromium):
    with chromium.borrowed() as tab:
        yield tab


@pytest.fixture
def opened(one, page):
    """The page with everything on it, as if opened for the first time."""
    one.open(page)
    one.run("localStorage.clear()")
    one.open(page)
    yield one
    assert one.complaints == []
    assert {url.rsplit("/", 1)[1].partition("#")[0] for url in one.requests} <= {
        *("report.html", "long.html", "wide.html"),
    }


def press(opened, *keys):
    for key in keys:
        opened.press(key, KEYS[key])


def test_three_sentences_stand_before_all_else(opened):
    first = "document.querySelector('header > :not(h1)')"
    assert opened.run(f"{first}.className") == "verdict"
    said = opened.run(f"[...{first}.querySelectorAll('p')].map(p => p.textContent)")
    assert len(said) == 3
    assert said[0].startswith("By more than the noise of measuring, B is the better in fd_x; F is")
    assert "Within the noise of the best: ppl_wend[x]" in said[1]
    assert said[2].startswith("Not to be quoted without its note below: fd_x;")


def test_the_table_is_copied_in_three_formats(opened):
    """Without leave to write to the clipboard: the text is shown, and selected."""
    opened.ask("Browser.setPermission", permission={"name": "clipboard-write"}, setting="denied")
    opened.run("document.execCommand = () => false")
    opened.run("document.querySelector('.copies').open = true")
    shown = "[...document.querySelectorAll('.copies textarea')].filter(x => x.checkVisibility())"
    assert opened.run(f"{shown}.length") == 0
    words = []
    for at in range(3):
        opened.run(f"document.querySelectorAll('.copies button')[{at}].click()")
        state = "document.querySelector('.copies output').textContent"
        assert "press Ctrl+C" in opened.wait_until(state)
        assert opened.run(f"{shown}.length") == 1
        area = "document.activeElement"
        words.append(opened.run(f"{area}.value.slice({area}.selectionStart, {area}.selectionEnd)"))
        opened.run(f"{state} = ''")
    assert words[0].startswith("| metric | B | F | difference | in errors |")
    assert words[1].startswith("\\begin{tabular}")
    assert words[2].startswith("metric,B,B ±,F,F ±,difference")
    opened.ask("Browser.resetPermissions")


def test_a_browser_that_may_copies_at_once(opened):
    opened.run("document.querySelector('.copies').open = true")
    opened.run("window.kept = ''; document.execCommand = () => true")
    opened.run("document.querySelectorAll('.copies button')[1].click()")
    state = "document.querySelector('.copies output').textContent"
    assert opened.wait_until(state) == "copied"


ABOUT = "document.querySelector('dialog[open] p')?.textContent"


def test_an_image_is_enlarged_and_arrows_go_to_its_neighbours(opened):
    opened.run("document.querySelector('#matrix button').focus()")
    press(opened, "Enter")
    assert opened.run(ABOUT) == "sample 0 of B"
    for key, about in [
        ("ArrowDown", "sample 1 of B"),
        ("ArrowUp", "sample 0 of B"),
        ("ArrowUp", "sample 0 of B"),
        ("ArrowLeft", "sample 0 of B"),
    ]:
        press(opened, key)
        assert opened.run(ABOUT) == about
    press(opened, "ArrowRight")
    assert opened.run(ABOUT).startswith("nearest real image of sample 0 of B: ")
    press(opened, "ArrowRight")
    assert opened.run(ABOUT) == "sample 0 of F"
    width = opened.run("document.querySelector('dialog .large').getBoundingClientRect().width")
    assert width > 200
    assert opened.violations() == []
    press(opened, "Escape")
    assert opened.run(ABOUT) is None
    assert opened.run("document.activeElement.firstChild.alt") == "sample 0 of F"


def test_samples_are_a_table_of_seeds_and_generators(opened):
    heads = "[...document.querySelectorAll('#matrix {}')].map(x => x.textContent)"
    assert opened.run(heads.format("thead th")) == ["B", "F"]
    assert opened.run(heads.format("tbody th")) == [f"sample {at}" for at in range(4)]
    alts = "[...document.querySelectorAll('#matrix tbody tr')[2].cells[2].querySelectorAll('img')]"
    assert opened.run(f"{alts}[0].alt") == "sample 2 of F"


def test_images_over_time_have_a_row_for_each_time(opened):
    rows = opened.run("[...document.querySelectorAll('#time-0 tbody th')].map(x => x.textContent)")
    assert rows == ["0 kimg", "1 kimg", "2 kimg"]
    assert opened.run("document.querySelector('#time-0 img').alt") == "sample 0 of B after 0 kimg"


TIP = "document.querySelectorAll('.chart .tip')[0].textContent"


def test_a_chart_tells_its_values_to_keyboard_and_pointer(opened):
    opened.run("document.querySelectorAll('.chart')[0].focus()")
    assert opened.run("document.activeElement.getAttribute('role')") == "group"
    press(opened, "ArrowRight")
    assert opened.run(TIP) == "B: 900.0 ± 1.0 at 0.5 kimg"
    press(opened, "ArrowRight")
    assert opened.run(TIP) == "B: 450.0 ± 1.0 at 1 kimg"
    press(opened, "Escape")
    assert opened.run(TIP) == ""
    opened.run("document.querySelectorAll('.chart')[0].scrollIntoView()")
    x, y = opened.run(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
        "(document.querySelectorAll('.chart .marks circle')[1].getBoundingClientRect())"
    )
    opened.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x + 3, y=y + 3)
    assert opened.run(TIP) == "B: 450.0 ± 1.0 at 1 kimg"
    opened.ask("Input.dispatchMouseEvent", type="mouseMoved", x=0, y=0)
    assert opened.run(TIP) == ""


def test_every_kind_of_chart_tells_values(opened):
    counts = opened.run(
        "[...document.querySelectorAll('.chart')]"
        ".map(chart => chart.querySelectorAll('.marks circle').length)"
    )
    assert min(counts) > 0
    assert len(counts) == 1 + 4 + 2 + 1


def numbers(path):
    return [float(x) for x in re.findall(r"[-\d.]+", path)]


def test_the_slider_smooths_and_leaves_what_was_logged(opened):
    """As Python draws it at 5 %; nothing at 0; and ever flatter."""
    path = "document.querySelectorAll('.chart:has(.smooth)')[0].querySelector('.{} path')"
    raw, smooth = (path.format(kind) + ".getAttribute('d')" for kind in ("raw", "smooth"))
    logged, drawn = numbers(opened.run(raw)), numbers(opened.run(smooth))

    def slide(value):
        opened.run(f"document.querySelector('.slider input').value = {value}")
        opened.run("document.querySelector('.slider input').dispatchEvent(new Event('input'))")
        return numbers(opened.run(smooth))

    assert slide(0) == pytest.approx(logged, abs=2e-3)
    assert slide(3) == pytest.approx(drawn, abs=2e-3)
    spreads = [np.ptp(heights[1::2]) for heights in (logged, drawn, slide(5))]
    assert spreads[0] > spreads[1] > spreads[2] > 0
    assert numbers(opened.run(raw)) == logged
    assert opened.run("document.querySelector('.slider output').textContent") == "20 %"


def test_parts_fold_and_stay_folded(opened, page):
    part = "document.getElementById('{}').closest('details').open"
    opened.run("document.getElementById('samples').closest('summary').click()")
    opened.wait_until("localStorage.length")
    opened.open(page)
    assert opened.run(part.format("samples")) is False
    opened.run("location.hash = '%'")  # which no part is named
    assert opened.run(part.format("results")) is True
    opened.run("document.querySelector('nav a[href=\"#samples\"]').click()")
    assert opened.wait_until(part.format("samples"))
    assert opened.run("getComputedStyle(document.querySelector('summary')).cursor") == "pointer"


def test_paper_shows_folded_parts(opened):
    opened.run("document.getElementById('samples').closest('summary').click()")
    part = "document.getElementById('samples').closest('details').open"
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert opened.run(part) is True
    opened.run("dispatchEvent(new Event('afterprint'))")
    assert opened.run(part) is False


def test_single_images_are_linked_with_each_other_and_with_their_numbers(opened):
    """Of images 3, 1, 0 that cost most and the pairs of 2, 3, image 3 is in both galleries."""
    for table in ("influence", "pairs"):
        link = f"table a[href^='#{table}-']"
        target = opened.run(f"document.querySelector(\"{link}\").getAttribute('href').slice(1)")
        head = opened.run(f"document.getElementById('{target}').textContent")
        assert head.startswith(f"B: of_{table}")
    links = "[...document.querySelectorAll('.gallery a')].map(a => [a.textContent, a.hash])"
    (to_pair, pair), (to_cost, cost) = opened.run(links)
    assert (to_pair, to_cost) == ("nearest training image", "what it costs")
    alt = "document.querySelector('{} img').alt"
    assert opened.run(alt.format(pair)) == "generated image 3"
    assert opened.run(alt.format(cost)) == "generated image 3"


def test_a_page_that_is_mailed_names_no_folder_of_the_machine(page, opened):
    """Neither where the page lies, nor the temporary folder that it lies in."""
    text = re.sub(r"data:image/[^\"]*", "", page.read_text())
    assert str(page.parent) not in text
    assert "/tmp/" not in text
    words = opened.run("document.getElementById('provenance').closest('section').textContent")
    assert "results fromresults.csv, B/metrics.jsonl" in words.replace("\n", "")


def test_a_training_with_a_long_log_is_smoothed(one, tmp_path):
    folder = write_run(tmp_path / "F").folder
    rows = [{"nimg": at * 1000, "loss_D": 1.0 + at % 2} for at in range(1, 3001)]
    (folder / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert run(folder, "--samples", 0, "-o", tmp_path / "long.html").exit_code == 0
    one.open(tmp_path / "long.html")
    raw = "document.querySelector('.raw path').getAttribute('d')"
    assert len(set(numbers(one.run(raw))[::2])) == 1000
    assert (tmp_path / "long.html").stat().st_size < 400_000


@pytest.fixture(scope="module", params=[1, 2, 5, 12])
def wide(request, one, tmp_path_factory):
    """How many generators, and their page."""
    folder, count = tmp_path_factory.mktemp("wide"), request.param
    rows = [
        row(f"runs-of-a-long-name/N{at}", metric, 10.0 + at, 0.6, generator_digest=f"{at:064d}")
        for at in range(count)
        for metric in ("fd_x", "is_x", "ppl_wfull[st-lpips-alex,nocrop]")
    ]
    append_csv(folder / "results.csv", rows)
    done = run(folder / "results.csv", "--samples", 0, "-o", folder / "wide.html")
    assert done.exit_code == 0, done.stderr
    return count, folder / "wide.html"


@pytest.mark.parametrize(("mode", "width"), [("light", 320), ("dark", 1280)])
def test_any_number_of_generators_fits_any_screen(one, wide, mode, width):
    """Nothing beside the page, and WCAG AA; heads and names stay in sight of a large table."""
    count, path = wide
    feature = {"name": "prefers-color-scheme", "value": mode}
    one.ask("Emulation.setEmulatedMedia", features=[feature])
    one.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=400, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    one.open(path)
    assert one.violations() == []
    assert one.run("document.documentElement.scrollWidth") <= width
    outside = (
        "[...document.querySelectorAll('.dots text')].filter(x => {"
        " const a = x.getBoundingClientRect(), b = x.closest('figure').getBoundingClientRect();"
        " return a.left < b.left - 1 || a.right > b.right + 1; }).length"
    )
    assert one.run(outside) == 0
    assert one.run("document.querySelectorAll('.dots').length") == (3 if count > 1 else 0)
    assert one.run("document.querySelectorAll('.tall').length") == (count > 4)
    if count == 12:
        one.run("document.querySelector('.tall').scrollTo(999, 300)")
        place = "(({{x, y}}) => [x, y])(document.querySelector('{}').getBoundingClientRect())"
        assert one.run(place.format(".tall th")) == one.run(place.format(".tall"))
    one.ask("Emulation.setEmulatedMedia", features=[])
    one.ask("Emulation.clearDeviceMetricsOverride")
