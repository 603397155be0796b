"""Keyboard shortcuts, tabs, resets of single controls; and anything in any order."""

import random
import shlex

import pytest

from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from tests.explore.driving import (
    COMMAND,
    DRAWN,
    SETTLED,
    act_at_random,
    click,
    drag,
    focus,
    press_button,
    recipe,
    visit,
    visit_samples,
    wait_for,
)

OPEN = "document.querySelector('dialog').open"
STRIP = "document.querySelectorAll('.strip img').length"


def parsed(words):
    return parse_recipe(shlex.split(words))


def test_keys_act_on_the_image(page):
    page.press("ArrowRight")
    wait_for(page, Recipe(seed=1))
    page.press("ArrowRight")
    wait_for(page, Recipe(seed=2))
    page.press("ArrowLeft")
    wait_for(page, Recipe(seed=1))
    page.press("k")
    page.wait_until(f"{STRIP} === 1")
    page.press("r")
    page.wait_until(f"!{COMMAND}.includes('--seed 1 ')")
    page.wait_until(SETTLED)
    drawn = recipe(page)
    page.press("1")
    page.wait_until(DRAWN)
    page.press("u")
    page.wait_until("!location.search.includes('view=samples')")
    wait_for(page, drawn)
    page.press("U", shift=True)
    page.wait_until("location.search.includes('view=samples')")
    page.wait_until("document.querySelector('.sheet').checkVisibility()")
    page.press("ArrowRight")
    page.wait_until("location.search.includes('sheet=--seed+24')")
    page.press("2")
    wait_for(page, drawn)
    click(page, "Remove --seed 1")
    page.wait_until(f"{STRIP} === 0")
    assert page.complaints == []


def test_keys_do_nothing_in_fields_and_with_other_keys(page):
    page.run("document.querySelector('input[type=number]').focus()")
    for key in ("r", "k", "1", "?", "ArrowRight"):
        page.press(key)
    focus(page, "Truncation psi")
    page.press("ArrowLeft", 37)  # the slider's own
    wait_for(page, Recipe(psi=0.95))
    page.run("document.activeElement.blur()")
    page.press("k", ctrl=True)
    page.press("ArrowRight")
    wait_for(page, Recipe(seed=1, psi=0.95))
    assert not page.run(OPEN)
    assert page.run(STRIP) == 0


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_help_lists_the_keys_of_the_view(mode, page):
    page.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}]
    )
    page.press("?", shift=True)
    page.wait_until(OPEN)
    text = page.run("document.querySelector('dialog').textContent")
    for words in ("random seed", "keep the image", "undo", "view Samples"):
        assert words in text
    page.wait_until("document.getAnimations().length === 0")
    assert page.violations() == []
    page.press("r")
    assert recipe(page) == Recipe()
    page.press("Escape", 27)
    page.wait_until(f"!{OPEN}")
    page.ask("Emulation.setEmulatedMedia", features=[])


def test_keys_can_be_switched_off_for_good(page):
    click(page, "Keyboard shortcuts")
    page.wait_until(OPEN)
    page.run("document.querySelector('dialog input').click()")
    page.run("document.querySelector('dialog .plain').click()")
    page.wait_until(f"!{OPEN}")
    for _ in range(2):
        page.press("ArrowRight")
        page.press("?")
        click(page, "Next seed")
        wait_for(page, Recipe(seed=1))
        assert not page.run(OPEN)
        page.run("history.back()")
        wait_for(page, Recipe())
        visit(page, page.run("location.href"))
    click(page, "Keyboard shortcuts")
    page.run("document.querySelector('dialog input').click()")
    press_button(page, "Close")
    page.press("ArrowRight")
    wait_for(page, Recipe(seed=1))


def test_tabs_are_walked_by_arrow_keys(page):
    chosen = "document.activeElement.id"
    page.run("document.getElementById('tab-image').focus()")
    page.press("ArrowLeft")
    assert page.run(chosen) == "tab-samples"
    page.wait_until(DRAWN)
    page.press("ArrowRight")
    assert page.run(chosen) == "tab-image"
    wait_for(page, Recipe())
    page.press("End")
    assert page.run(chosen) == "tab-project"
    page.press("ArrowRight")
    assert page.run(chosen) == "tab-samples"
    page.press("ArrowLeft")
    assert page.run(chosen) == "tab-project"
    page.press("Home")
    page.wait_until("location.search.includes('view=samples')")
    panel = "document.getElementById(document.activeElement.getAttribute('aria-controls'))"
    page.wait_until(f"{panel}.checkVisibility() && !!{panel}.querySelector('.sheet')")
    assert page.run("document.querySelectorAll('[role=tab][tabindex=\"0\"]').length") == 1


# Whether all tabs stand in one line, and the open one between the ends of the strip.
IN_SIGHT = """(() => {
  const strip = document.querySelector('[role=tablist]'), edge = strip.getBoundingClientRect();
  const open = strip.querySelector('[aria-selected=true]').getBoundingClientRect();
  const tops = [...strip.children].map((tab) => tab.getBoundingClientRect().top);
  const inside = edge.left <= open.left && open.right <= edge.right + 1;
  return new Set(tops).size === 1 && inside && strip.scrollWidth > strip.clientWidth;
})()"""


def test_tabs_without_room_scroll_to_the_open_one(page):
    size = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    page.ask("Emulation.setDeviceMetricsOverride", **size)
    for name, key in (("project", "End"), ("samples", "Home")):
        page.run("document.querySelector('[role=tab][tabindex=\"0\"]').focus()")
        page.press(key)
        page.wait_until(f"!!document.querySelector('#tab-{name}[aria-selected=true]')")
        page.wait_until(IN_SIGHT)
        assert page.run("document.documentElement.scrollWidth") <= 320
    page.press("6")  # without the focus, which would bring it into sight by itself
    page.wait_until("!!document.querySelector('#tab-project[aria-selected=true]')")
    page.wait_until(IN_SIGHT)
    page.ask("Emulation.clearDeviceMetricsOverride")


def test_an_address_of_no_view_says_so_and_opens_the_samples(opened, served):
    visit_samples(opened, f"{served}?view=nothing")
    opened.wait_until("document.body.textContent.includes('there are samples, image')")


def test_each_control_has_a_button_that_resets_it(page):
    shown = "[...document.querySelectorAll('.stage ~ .controls [aria-label^=\"Reset \"]')].filter("
    shown += "(each) => each.checkVisibility({visibilityProperty: true})).map((e) => e.ariaLabel)"
    assert page.run(shown) == []
    click(page, "Next seed")
    drag(page, "Truncation psi", 0.5)
    drag(page, "smiling", 1)
    page.run("document.querySelectorAll('.noise input[type=radio]')[2].click()")
    wait_for(page, parsed("--seed 1 --psi 0.5 --noise none --move smiling=1"))
    labels = ["Reset seed", "Reset ψ (psi)", "Reset noise inputs", "Reset smiling"]
    page.wait_until(f"({shown}).join() === {','.join(labels)!r}")
    for label, left in zip(
        labels,
        (
            "--seed 0 --psi 0.5 --noise none --move smiling=1",
            "--seed 0 --noise none --move smiling=1",
            "--seed 0 --move smiling=1",
            "--seed 0",
        ),
        strict=True,
    ):
        click(page, label)
        wait_for(page, parsed(left))
    page.wait_until(f"({shown}).length === 0")
    assert page.complaints == []


def test_nothing_that_is_done_in_any_order_breaks_the_page(opened, served):
    visit_samples(opened, served)
    draws = random.Random(7)
    for _ in range(200):
        done = act_at_random(opened, draws)
        assert opened.complaints == [], done
    opened.run("document.querySelector('dialog').close()")
    opened.run("document.getElementById('tab-image').click()")
    visit(opened, served)
    assert opened.complaints == []
    assert opened.run("localStorage.clear()") is None


# Moves a slider to one new place after another until two images have come, or there is no other
# place; it is never still for as long as an image takes.
RESTLESS = """new Promise((done) => {
  const thumb = document.querySelector('input[aria-label="Truncation psi"]');
  let loads = 0, k = 0;
  document.querySelector('img.picture').addEventListener('load', () => (loads += 1));
  const timer = setInterval(() => {
    thumb.value = k++ / 20 - 1;
    thumb.dispatchEvent(new Event('input'));
    if (loads < 2 && k < 50) return;
    clearInterval(timer);
    done(loads);
  }, 100);
})"""


def test_a_slow_connection_shows_images_while_a_slider_moves(page):
    limits = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    page.ask("Network.emulateNetworkConditions", latency=500, **limits)
    answer = page.ask(
        "Runtime.evaluate", expression=RESTLESS, awaitPromise=True, returnByValue=True
    )
    page.ask("Network.emulateNetworkConditions", latency=0, **limits)
    assert answer["result"]["value"] == 2
    page.wait_until(SETTLED)
