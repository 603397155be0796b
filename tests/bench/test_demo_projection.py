"""The projections that the documentation shows."""

from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from benchmarks.demo.projection import AVATAR, PAGE, PICTURES, SEED, commands, shown
from stylegan.sample.cli import main


def test_the_page_shows_each_command_with_its_picture():
    text = PAGE.read_text(encoding="utf-8")
    for title, command in commands():
        picture = command.split()[-1]
        assert f"![{title}](projection/{picture})" in text
        assert f"    $ {command}\n" in text
        with Image.open(PICTURES / picture) as image:
            assert image.size == (3 * 64 + 4 * 2, 64 + 2 * 2)
    assert f"--seeds {SEED}" in text
    assert f"image {AVATAR} of" in text


def test_what_is_printed_is_shown_without_names_of_files():
    title, command = next(iter(commands()))
    lines = list(shown(title, command, "header\nstart 2\nprojection 1\n/somewhere/out.png\n"))
    assert lines[-5:] == [f"    $ {command}", "    header", "    start 2", "    projection 1", ""]


def test_commands_are_those_of_the_toolkit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _, command in commands():
        done = CliRunner().invoke(main, command.split()[1:])
        assert done.exit_code == 1
        assert done.stderr.startswith("error: ")
        assert "no such image" in done.stderr  # and that is all that is wrong
        assert list(Path(tmp_path).iterdir()) == []
