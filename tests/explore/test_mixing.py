"""The matrix of style mixing: what it shows, opens and downloads."""

import shlex
import urllib.error
import urllib.request
from urllib.parse import urlencode

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.explore.matrix import Matrix
from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.recipe import Mix, Recipe
from stylegan_eval.errors import UserError
from tests.explore.driving import (
    MIXED,
    check_access,
    click,
    drag,
    drawn_tiles,
    pixels,
    press_button,
    visit_samples,
    wait_for,
)
from tests.explore.networks import CPU
from tests.explore.served import serving

COMMAND = "document.querySelector('.reset-all').closest('.files').querySelector('code').textContent"
TEXTS = "[...document.querySelectorAll('.matrix .number')].map((each) => each.textContent).join()"
FIELDS = "[...document.querySelectorAll('.toolbar .seed input')].map((each) => each.value).join()"
FOCUS = "[...document.querySelectorAll('.matrix .tile')].indexOf(document.activeElement)"
OTHER = "--sources 3,1 --destinations 9 --layers 2-6 --psi 0.5"


def visit_mixing(opened, url, words="", count=23):
    opened.open("about:blank")  # a page whose server has gone asks for it again and again
    opened.events.clear()
    opened.open(f"{url}?{urlencode({'view': 'mixing'} | ({'mixing': words} if words else {}))}")
    opened.wait_until(drawn_tiles(".matrix", count))


@pytest.fixture
def mixing(served, opened):
    """The view as it opens."""
    visit_mixing(opened, served)
    return opened


def wait_for_words(page, words):
    query = urlencode({"view": "mixing"} | ({"mixing": words} if words else {}))
    page.wait_until(f"location.search === '?{query}'")


def type_seeds(page, place, text):
    page.run(
        f"(() => {{ const field = document.querySelectorAll('.toolbar .seed input')[{place}];"
        f" field.value = '{text}'; field.dispatchEvent(new Event('input')) }})()"
    )


def mixed(row, column, layers, psi=0.7):
    return Recipe(seed=row, psi=psi, mix=Mix(seed=column, first=layers[0], last=layers[-1]))


def test_each_image_is_that_of_its_recipe(mixing, served, files):
    subject = open_generator(files["F"], CPU, None)
    alts = mixing.run("[...document.querySelectorAll('.matrix img')].map((each) => each.alt)")
    coarse = range(2)
    for place, recipe in (
        (0, Recipe(seed=0, psi=0.7)),
        (5, Recipe(seed=5, psi=0.7)),
        (6, mixed(5, 0, coarse)),
        (22, mixed(7, 4, coarse)),
    ):
        shown = pixels(mixing, f".matrix .tile:nth-child({place + 1}) img")
        assert np.array_equal(shown, draw_recipe(recipe, subject)), place
        assert alts[place] == "Sample of " + " ".join(recipe.words())
    assert mixing.run(TEXTS) == "0,1,2,3,4,5,6,7"
    corners = [
        mixing.run(
            f"(({{left, top}}) => [left, top].map(Math.round))(document.querySelectorAll("
            f"'.matrix .tile')[{place}].getBoundingClientRect())"
        )
        for place in (0, 5, 6)
    ]
    assert corners[0][0] == corners[2][0] > corners[1][0]
    assert corners[0][1] < corners[1][1] == corners[2][1]
    assert mixing.complaints == []
    assert all(url.startswith(served) for url in mixing.requests)


def test_an_image_opens_in_the_view_of_one_and_back_leads_back(mixing):
    mixing.run("document.querySelectorAll('.matrix .tile')[7].click()")
    wait_for(mixing, mixed(5, 1, range(2)))
    assert mixing.run("location.search") == "?recipe=--seed+5+--psi+0.7+--mix+1%3A0-1"
    mixing.run("history.back()")
    mixing.wait_until("document.querySelector('.matrix').checkVisibility()")
    wait_for_words(mixing, "")
    mixing.run("document.querySelector('.matrix .tile').focus()")
    for key, place in [("ArrowDown", 6), ("ArrowRight", 7), ("ArrowDown", 13), ("ArrowUp", 7)]:
        mixing.press(key)
        assert mixing.run(FOCUS) == place, key
    mixing.press("Home")
    mixing.press(" ")
    wait_for(mixing, Recipe(seed=0, psi=0.7))
    assert mixing.complaints == []


def test_seeds_layers_and_psi_are_chosen_and_stand_in_the_address(mixing, served, files):
    radio = "document.querySelectorAll('.styles input[type=radio]')"
    mixing.run(f"{radio}[1].click()")
    start = "--sources 0-4 --destinations 5-7 --layers"
    wait_for_words(mixing, f"{start} middle --psi 0.7")
    mixing.press("ArrowLeft")
    wait_for_words(mixing, "")
    mixing.press("ArrowLeft")
    drag(mixing, "First layer taken", 1)
    drag(mixing, "Last layer taken", 4)
    drag(mixing, "Psi of the matrix", 1)
    wait_for_words(mixing, f"{start} 1-4")
    type_seeds(mixing, 0, "8, 3-4,8")
    type_seeds(mixing, 1, "11")
    wait_for_words(mixing, "--sources 8,3-4 --destinations 11 --layers 1-4")
    mixing.wait_until(drawn_tiles(".matrix", 7))
    shown = pixels(mixing, ".matrix .tile:nth-child(6) img")
    subject = open_generator(files["F"], CPU, None)
    assert np.array_equal(shown, draw_recipe(mixed(11, 3, range(1, 5), psi=1), subject))
    type_seeds(mixing, 1, "0-10")
    mixing.wait_until("document.body.textContent.includes('expected 10 at most')")
    assert mixing.run(TEXTS) == "8,3,4,11"
    assert mixing.complaints == []


def test_an_address_leads_to_its_matrix_and_all_resets(mixing, served):
    visit_mixing(mixing, served, OTHER, count=5)
    assert mixing.run(TEXTS) == "3,1,9"
    assert mixing.run(FIELDS) == "3,1,9"
    assert mixing.run("document.querySelector('.styles .range').checkVisibility()")
    click(mixing, "Reset columns (sources)")
    wait_for_words(mixing, OTHER.replace("3,1", "0-4"))
    click(mixing, "Reset styles")
    wait_for_words(mixing, "--sources 0-4 --destinations 9 --layers coarse --psi 0.5")
    press_button(mixing, "Reset")
    wait_for_words(mixing, "")
    mixing.wait_until(MIXED)
    mixing.run("document.activeElement.blur()")
    mixing.press("r")
    mixing.wait_until(f"({TEXTS}) !== '0,1,2,3,4,5,6,7'")
    mixing.wait_until(MIXED)
    visit_mixing(mixing, served, "--sources 1 --destinations 2 --layers none")
    mixing.wait_until("document.body.textContent.includes('expected one or more of layers 0 to 7')")
    assert mixing.complaints == []


def check_file(page, folder, monkeypatch):
    """What is downloaded is what the command writes, byte for byte."""
    monkeypatch.chdir(folder)
    program, *args = shlex.split(page.run(COMMAND))
    assert program == "stylegan-sample"
    result = CliRunner().invoke(sample, args)
    assert result.exit_code == 0, result.output
    href, name = page.run(
        "(({href, download}) => [href, download])(document.querySelector('a[href*=\"matrix?\"]'))"
    )
    assert name == args[-1]
    with urllib.request.urlopen(href) as answer:
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
        same = answer.read() == (folder / name).read_bytes()
    assert same


def test_rows_have_layers_of_their_own_as_in_figure_3(mixing, served, files, tmp_path, monkeypatch):
    mixing.run("document.querySelectorAll('.styles input[type=radio]')[3].click()")
    words = "--sources 0-4 --destinations 5-7 --layers rows --psi 0.7"
    wait_for_words(mixing, words)
    mixing.wait_until(f"({TEXTS}).endsWith('5 coarse,6 middle,7 fine')")
    mixing.wait_until(MIXED)
    subject = open_generator(files["F"], CPU, None)
    for place, row, layers in ((6, 5, range(2)), (12, 6, range(2, 4)), (18, 7, range(4, 8))):
        shown = pixels(mixing, f".matrix .tile:nth-child({place + 1}) img")
        assert np.array_equal(shown, draw_recipe(mixed(row, 0, layers), subject)), place
    assert "--layers coarse,middle,fine --psi" in mixing.run(COMMAND)
    check_file(mixing, tmp_path, monkeypatch)
    visit_mixing(mixing, served, words)
    assert mixing.run("document.querySelectorAll('.styles input[type=radio]')[3].checked")
    assert mixing.complaints == []


def test_the_file_is_that_of_the_command(mixing, served, tmp_path, monkeypatch):
    check_file(mixing, tmp_path, monkeypatch)
    for words in (OTHER, "--sources 0-7 --destinations 7-8 --layers fine"):
        visit_mixing(mixing, served, words, count=5 if words == OTHER else 26)
        check_file(mixing, tmp_path, monkeypatch)


def test_a_matrix_of_a_class_and_of_a_network_that_grows(files, opened, tmp_path, monkeypatch):
    start = "--sources 0-1 --destinations 5 --layers middle --psi 0.7"
    with serving("--ckpt", files["conditional"], "--device", "cpu") as (_, url):
        visit_mixing(opened, url)
        check_file(opened, tmp_path, monkeypatch)
        visit_mixing(opened, url, f"{start} --class dog", count=5)
        check_file(opened, tmp_path, monkeypatch)
        opened.run("document.querySelectorAll('.matrix .tile')[4].click()")
        look = {"psi": 0.7, "number": "dog"}
        wait_for(opened, Recipe(seed=5, mix=Mix(seed=1, first=2, last=3), **look))
        assert opened.complaints == []
    with serving("--ckpt", files["growing"], "--device", "cpu") as (_, url):
        visit_mixing(opened, url, start, count=5)
        check_file(opened, tmp_path, monkeypatch)
        assert opened.complaints == []


def test_a_network_without_w_has_no_matrix(files, opened):
    with serving("--ckpt", files["A"], "--device", "cpu") as (_, url):
        visit_samples(opened, url)
        opened.run("document.getElementById('tab-mixing').click()")
        opened.wait_until("document.body.textContent.includes('no styles to mix')")
        wait_for_words(opened, "")
        assert opened.run("document.querySelectorAll('.matrix').length") == 0
        assert opened.complaints == []


def test_words_of_a_matrix_are_read_again(studio):
    for words in (
        OTHER,
        "--sources 5,0-3 --destinations 5 --layers fine",
        "--sources 1 --destinations 5-8 --layers rows",
    ):
        matrix = Matrix.parse(shlex.split(words), studio.subject)
        assert shlex.join(matrix.words()) == words
        keys = [tile.key for tile in matrix.tiles(8)]
        columns, rows = len(matrix.sources), len(matrix.destinations)
        assert len({*keys}) == len(keys) == columns + rows * (columns + 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--sources 1", "--destinations"),
        ("--sources 0-8 --destinations 1", "8 at most"),
        ("--sources x --destinations 1", "list of seeds"),
        ("--sources 4294967296 --destinations 1", "too large"),
        ("--sources 0 --destinations 1 --layers 7-8", "layers 0-7"),
        ("--sources 0 --destinations 1 --class 1", "unconditional"),
        ("--sources 0 --destinations 1 --noise none", "--noise"),
        ("--sources '0", "quotation"),
    ],
)
def test_a_matrix_that_cannot_be_drawn_is_refused_in_a_line(words, message, served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served}matrix?{urlencode({'mixing': words})}")
    body = caught.value.read().decode()
    assert caught.value.code == 400
    assert message in body
    assert body.count("\n") == 1


def test_a_matrix_needs_w(files):
    subject = open_generator(files["A"], CPU, None)
    with pytest.raises(UserError, match="needs a mapping network"):
        Matrix.parse(["--sources", "0", "--destinations", "1"], subject)


def test_everybody_can_use_the_matrix(mixing):
    mixing.run("document.querySelectorAll('.styles input[type=radio]')[4].click()")
    mixing.wait_until("document.querySelector('.styles .range').checkVisibility()")
    check_access(mixing)
