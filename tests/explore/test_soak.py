"""The soak of the explorer: each view has a row, and a wrong image is found."""

import random

import pytest

from benchmarks.explore.looks import LOOKS, OPEN, check_shown
from benchmarks.explore.soak import Soak, open_all
from stylegan.explore.views import VIEWS
from stylegan.sample.drawing import open_generator
from tests.explore.driving import visit_samples
from tests.explore.networks import CPU, write_checkpoint
from tests.explore.served import serving


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


def test_each_view_shows_what_its_recipes_draw(opened, served, subject):
    draws = random.Random(0)
    visit_samples(opened, served)
    opened.run("localStorage.clear()")
    assert [view.name for view in VIEWS] == [*LOOKS]
    looked = []
    for name in ("image", "mixing", "inside", "project", "samples"):
        opened.run(f"document.getElementById('tab-{name}').click()")
        opened.wait_until(f"{OPEN} === '{name}'")
        looked.append(check_shown(opened, draws, {"": subject}, served))
    shown = [(name, "") for name in ("image", "mixing", "inside", "", "samples")]
    assert looked == shown
    assert opened.complaints == []


def test_another_network_draws_other_images(opened, served, files):
    visit_samples(opened, served)
    other = open_generator(files["growing"], CPU, None)
    view, wrong = check_shown(opened, random.Random(0), {"": other}, served)
    assert view == "samples"
    assert wrong.startswith("another image than --seed")


def test_views_of_several_networks_are_compared_too(opened, files, tmp_path):
    for nimg in (800, 1600):
        write_checkpoint(tmp_path, nimg, 0.0)
    ckpts = [tmp_path, files["F"]]
    with serving(*(word for ckpt in ckpts for word in ("--ckpt", ckpt))) as (_, url):
        visit_samples(opened, url)
        networks, draws = open_all(ckpts), random.Random(0)
        swapped = networks | {"second": networks[""], "000001_600": networks["000000_800"]}
        for name in ("compare", "time"):
            opened.run(f"document.getElementById('tab-{name}').click()")
            opened.wait_until(f"{OPEN} === '{name}'")
            found = [check_shown(opened, draws, networks, url) for _ in range(4)]
            assert found == 4 * [(name, "")]
            wrong = [check_shown(opened, draws, swapped, url)[1] for _ in range(4)]
            assert any(each.startswith("another image than") for each in wrong)
        assert opened.complaints == []


def test_a_visitor_does_anything(opened, served, subject):
    visit_samples(opened, served)
    soak = Soak({"": subject}, served, seed=2)
    for _ in range(3):
        soak.turn(opened)
    assert soak.faults == []
    assert soak.acts == 30
    opened.run("localStorage.clear()")
