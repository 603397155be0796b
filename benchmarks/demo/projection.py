"""Projections of the documentation: draw and measure them again.

Run it with ``python -m benchmarks.demo.projection --data avatars64.zip``. What it runs are commands
that a user can repeat; each is printed before it runs.
"""

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.demo.network import run, write_between
from stylegan.opening import DEMO
from stylegan.png import save_png
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.images.files import open_images

PAGE = Path(__file__).parents[2] / "docs" / "projection.md"
PICTURES = PAGE.with_suffix("")
# Of the bundled avatars; nothing is special about it.
AVATAR = 20
SEED = 5
_FILE = click.Path(path_type=Path)


def commands() -> Iterator[tuple[str, str]]:
    """Titles and commands of the page, with the documents' file names."""
    base = f"stylegan-sample project --ckpt {DEMO}"
    yield "an image of the network, in W", f"{base} generated.png projected-generated.png"
    yield "an avatar, in W", f"{base} avatar.png projected-avatar-w.png"
    yield "an avatar, in W+", f"{base} --space w+ avatar.png projected-avatar-w-plus.png"


def shown(title: str, command: str, printed: str) -> Iterator[str]:
    """Lines of the page for a command and what it printed."""
    picture = shlex.split(command)[-1]
    yield f"**{title[0].upper()}{title[1:]}.**"
    yield ""
    yield f"![{title}](projection/{picture})"
    yield ""
    yield f"    $ {command}"
    # Without the names of files, which are those of this machine.
    for line in printed.splitlines()[:3]:
        yield f"    {line}"
    yield ""


@click.command(cls=ErrorLineCommand)
@click.option("--data", type=_FILE, required=True, help="Avatars at 64x64.")
def main(data: Path) -> None:
    """Project an image of the package's network and an avatar, and write both into the page."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = f"stylegan-sample grid --ckpt {DEMO} --seeds {SEED} {folder / 'generated.png'}"
        run(shlex.split(grid))
        with open_images(data) as files:
            save_png(folder / "avatar.png", files.read(AVATAR).transpose(1, 2, 0))
        for title, command in commands():
            *words, image, out = shlex.split(command)
            printed = run([*words, str(folder / image), str(PICTURES / out)])
            click.echo(printed)
            lines += shown(title, command, printed)
    write_between(PAGE, "projections", lines[:-1])
    click.echo(PAGE)


if __name__ == "__main__":
    main()
