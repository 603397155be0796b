"""Which images are drawn before anybody asks for them."""

import asyncio
import shlex

import pytest

from stylegan.explore.views.image import following
from stylegan.sample.options import parse_recipe


def parsed(words):
    return parse_recipe(shlex.split(words))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("--psi 0.5", "--psi 0.55", ["--psi 0.6", "--psi 0.65"]),
        ("--psi 0.3", "--psi 0.1", ["--psi -0.1", "--psi -0.3"]),
        ("--seed 4", "--seed 3", ["--seed 2", "--seed 1"]),
        ("--seed 2", "--seed 1", ["--seed 0"]),
        ("", "--move a=0.1", ["--move a=0.2", "--move a=0.3"]),
        ("--move a=0.2", "--move a=0.1", ["", "--move a=-0.1"]),
        ("--move b=1 --move a=1", "--move b=1 --move a=3", [
            *("--move b=1 --move a=5", "--move b=1 --move a=7"),
        ]),
        ("--move a=1 --move b=1", "--move a=3 --move b=1", [
            *("--move a=5 --move b=1", "--move a=7 --move b=1"),
        ]),
        ("--move a=2 --move b=1", "--move b=1", [
            *("--move a=-2 --move b=1", "--move a=-4 --move b=1"),
        ]),
        ("--seed 1", "--seed 1", []),
        ("--seed 1 --psi 0.5", "--seed 2", []),
        ("--noise none", "", []),
        ("--seed 1 --noise none", "--seed 2", []),
        ("--move a=0.2", "--move b=0.2", []),
    ],
)  # fmt: skip
def test_what_changed_goes_on_by_as_much(before, now, expected):
    assert [*following(parsed(before), parsed(now))] == [parsed(words) for words in expected]


def test_what_was_drawn_ahead_has_the_bits_of_what_is_asked_for(studio, monkeypatch):
    monkeypatch.setattr("stylegan.explore.studio.QUICK", 60)
    recipes = [parsed("--psi 0.5"), parsed("--psi 0.55")]

    async def play():
        first = await studio.png(recipes[0])
        (job,) = studio.ahead(recipes)
        return first, job.result(timeout=60), await studio.png(recipes[1])

    first, drawn, asked = asyncio.run(play())
    assert first != drawn == asked
    assert studio.ahead(recipes) == []


def test_slow_networks_draw_nothing_ahead(studio, monkeypatch):
    monkeypatch.setattr("stylegan.explore.studio.QUICK", 0)
    asyncio.run(studio.png(parsed("--psi 0.5")))
    assert studio.ahead([parsed("--psi 0.55")]) == []
