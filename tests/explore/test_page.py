"""The page in a browser: what it shows is what its command draws."""

import base64
import io
import shlex
import signal
import time
import urllib.parse

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.png import KEYWORD
from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from tests.explore.driving import (
    COMMAND,
    SETTLED,
    button_of,
    check_access,
    click,
    download_to,
    drag,
    focus,
    pixels,
    press_button,
    recipe,
    visit,
    wait_for,
    wait_for_download,
)
from tests.explore.networks import CPU
from tests.explore.served import serving, stop

FETCHED = """(async () => {
  const answer = await fetch(document.querySelector('a.download').href);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
})()"""


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


def test_it_opens_with_the_first_image_and_asks_nobody_else(page, served, subject):
    assert np.array_equal(pixels(page), draw_recipe(Recipe(), subject))
    assert page.complaints == []
    assert len(page.requests) > 5
    assert all(url.startswith(served) for url in page.requests)
    sockets = [e["params"]["url"] for e in page.events if "webSocketCreated" in e.get("method", "")]
    assert sockets
    assert all(url.startswith(served.replace("http:", "ws:")) for url in sockets)


def test_a_slider_is_moved_by_keyboard_and_the_image_follows(page, subject):
    focus(page, "Truncation psi")
    for _ in range(6):
        page.press("ArrowLeft", 37)
    wanted = Recipe(psi=0.7)
    shown = wait_for(page, wanted)
    assert np.array_equal(shown, draw_recipe(wanted, subject))
    assert not np.array_equal(shown, draw_recipe(Recipe(), subject))
    assert page.complaints == []


def test_a_drag_does_not_render_the_whole_page_again(page):
    page.run("window.updates = 0; window.socket.on('update', () => { window.updates += 1 }); 0")
    for psi in (0.9, 0.8, 0.7, 0.6):
        drag(page, "Truncation psi", psi)
        wait_for(page, Recipe(psi=psi))
    assert page.run("window.updates") == 0
    click(page, "Next seed")  # whose field the server fills
    wait_for(page, Recipe(seed=1, psi=0.6))
    page.wait_until("window.updates > 0")


def test_every_control_says_its_part_of_the_recipe_and_reset_takes_it_back(page, subject):
    click(page, "Next seed")
    drag(page, "Truncation psi", 0.5)
    drag(page, "Number of layers that truncation touches", 3)
    page.run("document.querySelector('[role=switch]').click()")
    click(page, "Next second seed")
    drag(page, "First layer mixed in", 3)
    drag(page, "Last layer mixed in", 5)
    page.run("document.querySelectorAll('input[type=radio]')[1].click()")
    click(page, "Next noise seed")
    drag(page, "eyeglasses", 1.5)
    drag(page, "smiling", -2)
    wanted = parse_recipe(
        shlex.split(
            "--seed 1 --psi 0.5 --cutoff 3 --mix 2:3-5 --noise random --noise-seed 1"
            " --move eyeglasses=1.5 --move smiling=-2"
        )
    )
    assert np.array_equal(wait_for(page, wanted), draw_recipe(wanted, subject))
    press_button(page, "Reset")
    assert np.array_equal(wait_for(page, Recipe()), draw_recipe(Recipe(), subject))
    page.wait_until("document.querySelector('input[aria-label=eyeglasses]').value === '0'")
    assert page.complaints == []


def test_a_thumb_takes_the_other_along(page):
    page.run("document.querySelector('[role=switch]').click()")
    page.wait_until(f"{COMMAND}.includes('--mix 1:2-7')")
    drag(page, "Last layer mixed in", 1)
    page.wait_until(f"{COMMAND}.includes('--mix 1:1 ')")
    drag(page, "First layer mixed in", 4)
    page.wait_until(f"{COMMAND}.includes('--mix 1:4 ')")


def test_what_is_no_seed_is_told_and_changes_nothing(page):
    type_into = (
        "(value) => { const field = document.querySelector('input[type=number]');"
        " field.value = value; field.dispatchEvent(new Event('input')) }"
    )
    page.run(f"({type_into})('12')")
    wait_for(page, Recipe(seed=12))
    page.run(f"({type_into})('-3')")
    page.wait_until("document.body.textContent.includes('a whole number from 0')")
    assert recipe(page) == Recipe(seed=12)
    click(page, "Next seed")
    wait_for(page, Recipe(seed=13))


def test_the_download_is_the_file_that_its_command_writes(page, tmp_path):
    drag(page, "Truncation psi", 0.6)
    drag(page, "smiling", 1)
    wait_for(page, parse_recipe(["--psi", "0.6", "--move", "smiling=1"]))
    command = page.run(COMMAND)
    program, *args, name = shlex.split(command)
    assert (program, name) == ("stylegan-sample", "seed-0.png")
    folder = tmp_path / "downloads"
    download_to(page, folder)
    page.run("document.querySelector('a.download').click()")
    wait_for_download(page)
    assert CliRunner().invoke(sample, [*args, str(tmp_path / name)]).exit_code == 0
    data = (folder / name).read_bytes()
    assert data == (tmp_path / name).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert image.text == {KEYWORD: command}
        assert np.array_equal(np.asarray(image), pixels(page))
    fetched = page.ask(
        "Runtime.evaluate", expression=FETCHED, awaitPromise=True, returnByValue=True
    )
    assert base64.b64decode(fetched["result"]["value"]) == data


def test_tabs_know_nothing_of_each_other(page, served):
    first = page.tab
    drag(page, "Truncation psi", 0.5)
    wait_for(page, Recipe(psi=0.5))
    page.new_tab()
    visit(page, served)
    assert recipe(page) == Recipe()
    click(page, "Next seed")
    wait_for(page, Recipe(seed=1))
    page.use(first)
    assert recipe(page) == Recipe(psi=0.5)
    click(page, "Next seed")
    wait_for(page, Recipe(seed=1, psi=0.5))


def test_kept_images_lead_back_to_their_recipes(page):
    click(page, "Next seed")
    wait_for(page, Recipe(seed=1))
    press_button(page, "Keep")
    page.wait_until("document.querySelectorAll('.strip img').length === 1")
    drag(page, "Truncation psi", 0.5)
    wait_for(page, Recipe(seed=1, psi=0.5))
    page.run("document.querySelector('.strip button').click()")
    wait_for(page, Recipe(seed=1))
    page.wait_until("!location.search.includes('psi')")
    page.ask("Page.reload")
    page.wait_until("document.querySelectorAll('.strip img').length === 1")
    page.wait_until(SETTLED)
    assert recipe(page) == Recipe(seed=1)
    click(page, "Remove --seed 1")
    page.wait_until("document.querySelectorAll('.strip img').length === 0")
    page.wait_until("localStorage.getItem(localStorage.key(0)) === '[]'")


def test_the_address_is_the_recipe_and_back_and_undo_go_through_them(page, served, subject):
    drag(page, "Truncation psi", 0.5)
    wait_for(page, Recipe(psi=0.5))
    page.wait_until("location.search.includes('psi')")
    time.sleep(0.5)  # what follows sooner is of the same step
    click(page, "Next seed")
    page.wait_until("location.search.includes('seed+1')")
    link = page.run("location.href")
    page.run("history.back()")
    wait_for(page, Recipe(psi=0.5))
    press_button(page, "Undo")
    wait_for(page, Recipe())
    page.wait_until(f"{button_of('Undo')}.disabled")
    press_button(page, "Redo")
    wait_for(page, Recipe(psi=0.5))
    wanted = Recipe(seed=1, psi=0.5)
    visit(page, link.replace("0.5", "3"))
    wait_for(page, Recipe(seed=1, psi=3))  # beyond the slider, which stands at its end
    visit(page, link)
    assert np.array_equal(wait_for(page, wanted), draw_recipe(wanted, subject))
    page.wait_until(
        "document.querySelector('input[aria-label=\"Truncation psi\"]').value === '0.5'"
    )
    assert page.complaints == []


@pytest.mark.parametrize(
    ("link", "told", "shown"),
    [
        ("--seed 1 --mix 2:0-40", "none that this network can draw", Recipe()),
        ("--seed x '", "none that this network can draw", Recipe()),
        (f"--seed {2**33}", "beyond what the controls reach", Recipe(seed=2**32 - 1)),
    ],
)
def test_a_link_that_cannot_be_shown_says_so(opened, served, link, told, shown):
    visit(opened, f"{served}?{urllib.parse.urlencode({'recipe': link})}")
    opened.wait_until(f"document.body.textContent.includes('{told}')")
    wait_for(opened, shown)


BROKEN = """
from stylegan.explore import studio
from stylegan.explore.command import main

draw = studio.draw_recipe

def broken(recipe, subject, start):
    if recipe.seed:
        raise MemoryError if recipe.seed == 1 else ArithmeticError("no such number")
    return draw(recipe, subject, start)

studio.draw_recipe = broken
main()
"""


@pytest.mark.parametrize(("seed", "told"), [(1, "out of memory"), (2, "no such number")])
def test_without_an_image_nothing_acts_on_the_last_one(files, opened, seed, told):
    with serving("--ckpt", files["A"], "--device", "cpu", start=("-c", BROKEN)) as (_, url):
        visit(opened, url)
        field = "document.querySelector('input[type=number]')"
        opened.run(f"{field}.value = {seed}; {field}.dispatchEvent(new Event('input'))")
        opened.wait_until(
            f"document.querySelector('[role=alert].error').textContent.includes('{told}')"
        )
        opened.wait_until("!document.querySelector('.awaited')")
        assert not opened.run("document.querySelector('a.download').hasAttribute('href')")
        assert opened.run(f"{button_of('Keep')}.disabled")
        assert opened.run("document.querySelector('[aria-label=\"Copy the command\"]').disabled")
        assert opened.violations() == []
        click(opened, "Previous seed") if seed == 1 else press_button(opened, "Reset")
        wait_for(opened, Recipe())
        opened.wait_until(f"!{button_of('Keep')}.disabled")


def test_radio_buttons_are_moved_by_arrow_keys(page):
    page.run("document.querySelector('input[type=radio]').focus()")
    page.press("ArrowRight", 39)
    page.wait_until(f"{COMMAND}.includes('--noise random')")
    page.press("ArrowRight", 39)
    page.wait_until(f"{COMMAND}.includes('--noise none')")


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (390, False)])
def test_nothing_is_cut_off_and_everything_has_a_name(width, beside, page):
    page.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=844,
        deviceScaleFactor=1,
        mobile=not beside,
    )
    assert page.run("document.documentElement.scrollWidth") <= width
    left = "document.querySelector('{}').getBoundingClientRect().left"
    assert page.run(f"{left.format('.controls')} > {left.format('.frame')} + 100") == beside
    tree = page.ask("Accessibility.getFullAXTree")["nodes"]
    kinds = ("button", "link", "slider", "spinbutton", "switch", "radio", "combobox", "img")
    controls = [node for node in tree if node.get("role", {}).get("value") in kinds]
    assert len(controls) > 10
    nameless = [node for node in controls if not node.get("name", {}).get("value")]
    assert nameless == []
    page.ask("Emulation.clearDeviceMetricsOverride")


def test_everybody_can_use_it(page):
    """All controls are open."""
    page.run("document.querySelector('[role=switch]').click()")
    page.run("document.querySelectorAll('input[type=radio]')[1].click()")
    press_button(page, "Keep")
    page.wait_until("document.querySelectorAll('.strip img').length === 1")
    check_access(page)
    assert page.run("document.documentElement.lang") == "en-US"
    page.run("document.querySelector('.strip .remove').click()")
    page.wait_until("document.querySelectorAll('.strip img').length === 0")


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_its_colours_are_those_of_the_system(mode, page, served):
    page.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}]
    )
    visit(page, served)
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert (max(page.run(shade)) < 60) == (mode == "dark")
    page.ask("Emulation.setEmulatedMedia", features=[])


def test_a_network_without_mapping_and_ctrl_c_with_the_page_open(files, opened):
    with serving("--ckpt", files["A"], "--device", "cpu") as (process, url):
        visit(opened, url)
        assert opened.run("document.body.textContent.includes('no mapping network')")
        assert opened.run("document.querySelectorAll('input[type=range]').length") == 0
        assert (
            opened.run("document.querySelectorAll('input[type=radio], [role=switch]').length") == 0
        )
        click(opened, "Next seed")
        shown = wait_for(opened, Recipe(seed=1))
        assert np.array_equal(
            shown, draw_recipe(Recipe(seed=1), open_generator(files["A"], CPU, None))
        )
        assert opened.complaints == []
        assert stop(process, signal.SIGINT) == (130, "interrupted\n")


def test_classes_are_chosen(files, opened):
    with serving("--ckpt", files["conditional"], "--device", "cpu") as (_, url):
        visit(opened, url)
        assert opened.run("document.body.textContent.includes('stylegan-eval directions --ckpt')")
        opened.run("document.querySelector('[role=combobox]').focus()")
        opened.press("Enter", 13)
        opened.wait_until("document.querySelectorAll('[role=option]').length === 4")
        opened.run("[...document.querySelectorAll('[role=option]')].at(-1).click()")
        subject = open_generator(files["conditional"], CPU, None)
        wanted = Recipe(number="dog")
        assert np.array_equal(wait_for(opened, wanted), draw_recipe(wanted, subject))
