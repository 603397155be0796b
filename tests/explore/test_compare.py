"""Two networks side by side: what is shown, linked controls, address, files."""

import shlex
import urllib.error
import urllib.request
from urllib.parse import urlencode

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.sample.cli import main as sample
from stylegan.sample.difference import difference, enlarged, in_words
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.recipe import Mix, Recipe
from tests.explore.driving import COMPARED, check_access, drag, pixels, press_button
from tests.explore.networks import CPU
from tests.explore.served import serving

NETWORKS = ("F", "growing")
NUMBERS = "document.querySelector('.compared [role=status]').textContent"


def wait_for_pair(page, recipe):
    """Wait until both networks show a recipe, and their difference."""
    words = " ".join(recipe.words())
    page.wait_until(f"String({COMPARED}) === '{words},{words},{words}'")


def visit_pair(opened, url, words="", recipe=None):
    opened.open("about:blank")  # a page whose server has gone asks for it again and again
    opened.events.clear()
    opened.open(f"{url}?{urlencode({'view': 'compare'} | ({'compare': words} if words else {}))}")
    wait_for_pair(opened, recipe or Recipe())


def wait_for_words(page, words):
    query = urlencode({"view": "compare"} | ({"compare": words} if words else {}))
    page.wait_until(f"location.search === '?{query}'")


@pytest.fixture(scope="module")
def paired(files):
    """Address of a page of two networks."""
    args = [word for name in NETWORKS for word in ("--ckpt", files[name])]
    with serving(*args, "--device", "cpu") as (_, url):
        yield url


@pytest.fixture
def pair(paired, opened):
    """The view as it opens."""
    visit_pair(opened, paired)
    return opened


def check_pair(page, recipe, files, times=1):
    wait_for_pair(page, recipe)
    drawn = [draw_recipe(recipe, open_generator(files[name], CPU, None)) for name in NETWORKS]
    places = [f".compared figure:nth-child({k}) img" for k in (1, 2, 3)]
    shown = [pixels(page, place) for place in places]
    assert np.array_equal(shown[0], drawn[0])
    assert np.array_equal(shown[1], drawn[1])
    levels = difference(*drawn)
    assert levels.any()
    assert np.array_equal(shown[2], enlarged(levels, times))
    assert page.run(NUMBERS) == in_words(levels)


def test_each_image_is_that_of_its_network_and_the_difference_that_of_both(pair, paired, files):
    check_pair(pair, Recipe(), files)
    captions = pair.run(
        "[...document.querySelectorAll('.compared figcaption')].map(c => c.textContent)"
    )
    for name, caption in zip(NETWORKS, captions, strict=False):
        assert str(files[name]) in caption
        assert "1.0 kimg" in caption
    titles = "[...document.querySelectorAll('[role=tab]')].map((tab) => tab.textContent.trim())"
    assert pair.run(titles)[-1] == "Compare"
    assert pair.complaints == []
    assert all(url.startswith(paired) for url in pair.requests)


def test_one_set_of_controls_is_of_both_and_the_address_holds_it(pair, paired, files):
    pair.press("ArrowRight")
    wait_for_pair(pair, Recipe(seed=1))
    wait_for_words(pair, "--seed 1")
    visible = "[...document.querySelectorAll('.linked input')].filter(e => e.checkVisibility())"
    drag(pair, "Truncation psi", 0.5)
    wait_for_pair(pair, Recipe(seed=1, psi=0.5))
    pair.run("document.querySelector('.linked [role=switch]').click()")
    # Of the layers that both have, the last is the fifth.
    mixed = Recipe(seed=1, psi=0.5, mix=Mix(seed=1, first=2, last=5))
    wait_for_pair(pair, mixed)
    assert pair.run(f"{visible}.some((each) => each.ariaLabel === 'Last layer mixed in')")
    pair.run("document.querySelectorAll('.compared input[type=radio]')[2].click()")
    wait_for_words(pair, "--times 16 --seed 1 --psi 0.5 --mix 1:2-5")
    pair.wait_until("document.querySelectorAll('.compared img')[2].src.includes('times=16')")
    check_pair(pair, mixed, files, times=16)
    pair.open(pair.run("location.href"))
    check_pair(pair, mixed, files, times=16)
    pair.press("ArrowRight")
    wait_for_words(pair, "--times 16 --seed 2 --psi 0.5 --mix 1:2-5")
    pair.run("history.back()")
    wait_for_pair(pair, mixed)
    press_button(pair, "Reset")
    wait_for_pair(pair, Recipe())
    wait_for_words(pair, "")
    visit_pair(pair, paired, "--times 4 --seed 9 --mix 1:0-7")
    pair.wait_until("document.body.textContent.includes('has layers 0 to 5')")
    assert pair.complaints == []


def test_each_file_is_that_of_its_command(paired, opened, tmp_path, monkeypatch):
    visit_pair(opened, paired, "--times 4 --seed 1", Recipe(seed=1))
    monkeypatch.chdir(tmp_path)
    for place, expected in enumerate(("seed-1", "seed-1-second", "seed-1-difference"), 1):
        row = f"document.querySelector('.files .file:nth-child({place})')"
        program, *args = shlex.split(opened.run(f"{row}.querySelector('code').textContent"))
        assert program == "stylegan-sample"
        result = CliRunner().invoke(sample, args)
        assert result.exit_code == 0, result.output
        link = f"(({{href, download}}) => [href, download])({row}.querySelector('a'))"
        href, name = opened.run(link)
        assert name == args[-1] == f"{expected}.png"
        with urllib.request.urlopen(href) as answer:
            assert f'filename="{name}"' in answer.headers["Content-Disposition"]
            same = answer.read() == (tmp_path / name).read_bytes()
        assert same
    assert opened.run(NUMBERS) == result.stdout.splitlines()[0]


def test_what_one_network_lacks_has_a_reason_in_place_of_a_control(files, opened):
    ckpts = ("--ckpt", files["conditional"], "--ckpt", files["A"])
    with serving(*ckpts, "--device", "cpu") as (_, url):
        visit_pair(opened, url)
        remarks = opened.run("document.querySelector('.linked').textContent")
        for words in ("classes differ", "nothing to truncate", "nothing to mix", "no noise inputs"):
            assert words in remarks
        controls = "document.querySelectorAll('.linked :is(input, [role=switch])').length"
        assert opened.run(controls) == 1  # the seed
        opened.press("r")
        opened.wait_until("!location.search.endsWith('compare')")
        assert opened.violations() == []
        assert opened.complaints == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"times": "2", "recipe": "--seed 1"}, "--times must be one of 1, 4, 16"),
        ({"times": "4", "recipe": "--seed 1 --move smiling=1"}, "of one network"),
        ({"times": "4", "recipe": "--seed '1"}, "quotation"),
    ],
)
def test_a_difference_that_cannot_be_drawn_is_refused_in_a_line(query, message, paired):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{paired}difference?{urlencode(query)}")
    body = caught.value.read().decode()
    assert caught.value.code == 400
    assert message in body
    assert body.count("\n") == 1


def test_the_view_is_not_there_for_one_network(served):
    for where in ("difference?times=1&recipe=", "image?network=second&recipe=--seed+1"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(served + where)
        assert caught.value.code == 400
        caught.value.close()


def test_everybody_can_compare(pair):
    check_access(pair)
