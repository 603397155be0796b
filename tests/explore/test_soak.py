"""The soak of the explorer: each view has a row, and a wrong image is found."""

import random

import pytest

from benchmarks.explore.looks import LOOKS, OPEN, check_shown
from benchmarks.explore.soak import Soak
from stylegan.sample.drawing import open_generator
from tests.explore.driving import visit_samples
from tests.explore.networks import CPU


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


def test_each_view_shows_what_its_recipes_draw(opened, served, subject):
    draws = random.Random(0)
    visit_samples(opened, served)
    opened.run("localStorage.clear()")
    tabs = "[...document.querySelectorAll('[role=tab]')].map((tab) => tab.id.slice(4))"
    assert opened.run(tabs) == [*LOOKS]
    looked = []
    for name in ("image", "mixing", "inside", "project", "samples"):
        opened.run(f"document.getElementById('tab-{name}').click()")
        opened.wait_until(f"{OPEN} === '{name}'")
        looked.append(check_shown(opened, draws, subject, served))
    shown = [(name, "") for name in ("image", "mixing", "inside", "", "samples")]
    assert looked == shown
    assert opened.complaints == []


def test_another_network_draws_other_images(opened, served, files):
    visit_samples(opened, served)
    other = open_generator(files["growing"], CPU, None)
    view, wrong = check_shown(opened, random.Random(0), other, served)
    assert view == "samples"
    assert wrong.startswith("another image than --seed")


def test_a_visitor_does_anything(opened, served, subject):
    visit_samples(opened, served)
    soak = Soak(subject, served, seed=2)
    for _ in range(3):
        soak.turn(opened)
    assert soak.faults == []
    assert soak.acts == 30
    opened.run("localStorage.clear()")
