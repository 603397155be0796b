"""Addresses of the page: which view opens, in which state."""

import pytest

from stylegan.explore.page import Place
from stylegan.explore.views import VIEWS


@pytest.mark.parametrize(
    ("query", "view", "words"),
    [
        ("", "samples", {}),
        ("view=samples", "samples", {}),
        ("view=image", "image", {}),
        ("recipe=--seed+1", "image", {"image": "--seed 1"}),
        ("recipe=", "samples", {}),
        ("sheet=--seed+24", "samples", {"samples": "--seed 24"}),
        ("view=samples&recipe=--seed+1", "samples", {"image": "--seed 1"}),
        ("view=nothing&recipe=--seed+1", "", {"image": "--seed 1"}),
        ("other=1&recipe=--seed+1", "image", {"image": "--seed 1"}),
    ],
)
def test_an_address_opens_a_view_in_a_state(query, view, words):
    assert Place.parse(query, VIEWS) == Place(view=view, words=words)


@pytest.mark.parametrize(
    ("view", "words", "query"),
    [
        ("samples", {}, ""),
        ("image", {"image": "--seed 1"}, "recipe=--seed+1"),
        ("image", {"samples": "--seed 24"}, "view=image&sheet=--seed+24"),
        ("samples", {"samples": "", "image": "--seed 1"}, "view=samples&recipe=--seed+1"),
    ],
)
def test_a_place_has_one_address_which_leads_back(view, words, query):
    place = Place(view=view, words=words)
    assert place.query(VIEWS) == query
    again = Place.parse(query, VIEWS)
    assert (again.view, again.words) == (view, {name: text for name, text in words.items() if text})


def test_views_have_names_and_parameters_of_their_own():
    names = [view.name for view in VIEWS]
    parameters = [view.parameter for view in VIEWS]
    assert len({*names}) == len(names)
    assert len({*parameters, "view"}) == len(parameters) + 1
