"""Rows of Table 1 as a chain of changes."""

import dataclasses
import json

import pytest

from stylegan.configs import CONFIGS, config_from_dict, config_to_dict, diff
from stylegan_eval.errors import UserError

CHAIN = [
    (
        *("A", "B"),
        {
            "network.blur": (False, True),
            "network.fused_from": (4, 128),
            "loss.kind": ("wgan-gp", "logistic-r1"),
            "schedule.initial_resolution": (4, 8),
            "schedule.total_kimg": (12000.0, 25000.0),
        },
    ),
    (
        *("B", "C"),
        {
            "network.mapping_layers": (0, 8),
            "network.styles": (False, True),
            "network.normalization": ("pixel", "instance"),
        },
    ),
    ("C", "D", {"network.constant_input": (False, True)}),
    ("D", "E", {"network.noise": (False, True)}),
    ("E", "F", {"loss.style_mixing_prob": (0.0, 0.9)}),
]


@pytest.mark.parametrize(("old", "new", "changes"), CHAIN)
def test_each_row_is_the_previous_one_plus_its_change(old, new, changes):
    assert diff(CONFIGS[old], CONFIGS[new]) == changes


@pytest.mark.parametrize("row", CONFIGS)
def test_round_trip_through_json(row):
    tree = json.loads(json.dumps(config_to_dict(CONFIGS[row])))
    assert config_from_dict(tree) == CONFIGS[row]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("network", "nosie"), True),
        (("network", "fmap_max"), "wide"),
        (("network", "fmap_max"), 0),
        (("network", "blur"), 1),
        (("loss", "kind"), "hinge"),
        (("resolution",), 48),
        (("schedule", "minibatch_repeats"), True),
    ],
)
def test_a_configuration_from_a_file_is_checked(path, value):
    tree = json.loads(json.dumps(config_to_dict(CONFIGS["F"])))
    branch = tree
    for key in path[:-1]:
        branch = branch[key]
    branch[path[-1]] = value
    with pytest.raises(UserError):
        config_from_dict(tree)


def test_rows_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIGS["F"].resolution = 32
