"""Generators of users whose images are of other ranges than [-1, 1]."""

import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.sampling import to_uint8
from stylegan_eval.errors import UserError
from tests.eval.kinds import LITE, PPL, bits, rows


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ("return draw(z) / 2 + .5", "use --range 0,1"),
        ("return .52 * draw(z) + .5", "use --range 0,1"),  # overshoots a little
        ("return 0 * draw(z)", "use --range 0,1"),
        ("return draw(z) / 2", "use --range -0.5,0.5"),
        ("return 2.6 * draw(z)", "name their range with --range LOW,HIGH"),
    ],
)
def test_values_of_another_range_are_noted(kind, body, note):
    loaded = kind(body)
    assert note in loaded.notes[0]
    assert loaded.impure == ""


@pytest.mark.parametrize(
    ("body", "value_range", "fix"),
    [
        ("return 127.5 * (draw(z) + 1)", None, "--range 0,255"),
        ("return 127.5 * (1.05 * draw(z) + 1)", None, "--range 0,255"),
        ("return 255. * (draw(z) > .99)", None, "--range 0,255"),  # few are not black
        ("return 32767.5 * (draw(z) + 1)", None, "--range 0,65535"),
        ("return 127.5 * draw(z)", None, "--range LOW,HIGH"),
        ("return 127.5 * (draw(z) + 1)", (0.0, 1.0), "--range 0,255"),
        ("return (127.5 * (draw(z) + 1)).to(torch.uint8)", (0.0, 1.0), "--range 0,255"),
        ("return (127.5 * (draw(z) + 1)).to(torch.uint8)", None, "--range 0,255"),
    ],
)
def test_values_far_outside_are_refused(kind, body, value_range, fix):
    with pytest.raises(UserError, match=f"use {fix}$"):
        kind(body, value_range)


@pytest.mark.parametrize(
    ("body", "value_range"),
    [
        ("return draw(z) / 2 + .5", (0.0, 1.0)),
        ("return 127.5 * (draw(z) + 1)", (0.0, 255.0)),
        ("return 32767.5 * (draw(z).double() + 1)", (0.0, 65535.0)),
        ("return draw(z) / 2", (-0.5, 0.5)),
        ("return draw(z)", (-1.0, 1.0)),
    ],
)
def test_a_range_converts(kind, body, value_range):
    expected = bits(kind("return draw(z)"))
    loaded = kind(body, value_range)
    assert loaded.notes == ()
    assert torch.allclose(bits(loaded), expected, atol=1e-6)


def test_bytes_come_through_as_they_are(kind):
    loaded = kind(
        "return torch.arange(192).view(1, 3, 8, 8).repeat(len(z), 1, 4, 4).byte()", (0, 255)
    )
    expected = torch.arange(192).view(1, 3, 8, 8).repeat(2, 1, 4, 4).byte()
    assert torch.equal(to_uint8(bits(loaded, range(2))), expected)


def test_a_range_that_hardly_is_one_is_noted(kind):
    (note,) = kind("return draw(z) / 2 + .5", (0.0, 255.0)).notes
    assert "little of --range 0,255" in note


@pytest.mark.parametrize("value", ["1", "1,0", "0,0", "a,b", "0,inf", "nan,1", "0,1,2"])
def test_what_is_no_range_is_a_usage_error(value):
    result = CliRunner().invoke(main, ["ppl", "--generator", "x:y", "--range", value])
    assert result.exit_code == 2
    assert "two numbers LOW,HIGH such as 0,1 or 0,255" in result.stderr


@pytest.mark.parametrize(
    "given", [["ppl", "--ckpt", "demo", *PPL], ["is", "--images", "x", "-n", "10", *LITE]]
)
def test_a_range_without_a_generator_is_refused(given):
    result = CliRunner().invoke(main, [*given, "--range", "0,1"])
    assert result.exit_code == 1
    assert "--range says what the values of --generator's images are" in result.stderr


@pytest.mark.parametrize("command", ["ppl", "is"])
def test_commands_take_a_range_and_say_so_in_the_row(kind, tmp_path, command):
    expected, _ = rows(kind, tmp_path, "return draw(z)", command)
    values, details = rows(
        kind, tmp_path, "return 127.5 * (draw(z) + 1)", command, "--range", "0,255"
    )
    assert values == pytest.approx(expected, rel=1e-2)
    assert "range=0,255" in details
    _, noted = rows(kind, tmp_path, "return draw(z) / 2 + .5", command)
    assert "use --range 0,1" in noted
