"""The page on figures: its commands are understood, and its pictures are what they draw."""

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.sample.cli import main
from tests.figures.networks import nearly_equal

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = re.findall(
    r"^    stylegan-sample (.*)$", (DOCS / "figures.md").read_text("utf-8"), flags=re.MULTILINE
)


PICTURES = [
    words.split()[-1] for words in COMMANDS if (DOCS / "figures" / words.split()[-1]).exists()
]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_understood(words):
    command, args = main, shlex.split(words)
    while isinstance(command, click.Group):
        command = command.commands[args.pop(0)]
    context = command.make_context(command.name, args)
    written = context.params.get("out") or context.params["file"]
    assert written.suffix in (("",) if "images" in words else (".png", ".gif", ".mp4"))


def test_every_picture_has_its_command():
    assert {path.name for path in (DOCS / "figures").iterdir()} == set(PICTURES)


@pytest.mark.parametrize("name", sorted({name for name in PICTURES if name.endswith(".png")}))
def test_pictures_are_those_of_their_commands(name, tmp_path):
    *args, _ = next(shlex.split(words) for words in COMMANDS if words.endswith(f" {name}"))
    done = CliRunner().invoke(main, [*args, str(tmp_path / name)])
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / name) as found, Image.open(DOCS / "figures" / name) as shown:
        # Other processors round elsewhere, and a level is passed the more often.
        assert nearly_equal(np.asarray(found), np.asarray(shown), share=0.98)
