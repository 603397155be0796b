"""`python -m benchmarks.freeze record|compare DIR`: what every command prints and writes.

Record before a change of structure, compare after it: what differs is what users see differ.
"""

import difflib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks.freeze.cases import CASES, MODULES
from benchmarks.freeze.content import ROOT, content_of, stable_text
from stylegan_eval.engine.command import EXIT_ERROR, ErrorLineGroup
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.errors import UserError

_OF_TIMES = ("digests", "tensorboard")  # folders of files that hold times
_SHOWN = 40  # lines of a difference


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Record what every command prints and writes on small inputs, or compare with a record."""


def _cases(_ctx: click.Context, _param: click.Parameter, value: str) -> list[str]:
    names = [word.strip() for word in value.split(",") if word.strip()]
    if unknown := set(names) - set(CASES):
        raise click.BadParameter(f"no case {unknown.pop()!r}; there are: {', '.join(CASES)}")
    return [name for name in CASES if not names or name in names]


_DIR = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
_CASES = click.option(
    "--cases", callback=_cases, default="", metavar="NAMES", help="Only these, in their order."
)


@main.command()
@_DIR
@_CASES
def record(folder: Path, cases: list[str]) -> None:
    """Run all cases and write DIR/CASE.json."""
    for name, seen in _run(cases):
        with atomic_write(folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(seen, indent=1) + "\n")
        click.echo(f"{name}: {len(seen)} entries")


@main.command()
@_DIR
@_CASES
def compare(folder: Path, cases: list[str]) -> None:
    """Run all cases again; exit with 1 where anything differs from DIR/CASE.json."""
    differing = 0
    for name, seen in _run(cases):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise UserError(f"{path} is missing: `record {folder} --cases {name}` makes it")
        before = json.loads(path.read_text())
        for key in sorted(before.keys() | seen.keys()):
            old, new = _lines(before.get(key)), _lines(seen.get(key))
            if old != new:
                differing += 1
                click.echo(f"== {name}: {key}")
                changes = difflib.unified_diff(old, new, "before", "now", lineterm="", n=1)
                click.echo("\n".join(list(changes)[2 : 2 + _SHOWN]))
        click.echo(f"{name}: {len(seen)} entries compared")
    click.echo(f"{differing} entries differ")
    if differing:
        raise SystemExit(EXIT_ERROR)


def _lines(content: Any) -> list[str]:
    if isinstance(content, list) and all(isinstance(line, str) for line in content):
        return content
    return json.dumps(content, indent=1).splitlines()


def _run(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run cases in a folder of their own; for each what it printed and wrote."""
    yield "help", dict(_helps())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = os.environ | {
            "STYLEGAN_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),  # this code, whichever is installed
        }
        known: dict[str, Any] = {}
        for name in names:
            seen: dict[str, Any] = {}
            for command in CASES[name]:
                program, *words = shlex.split(command)
                done = subprocess.run(
                    [sys.executable, "-m", MODULES[program], *words],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                seen[f"{command} | status"] = done.returncode
                seen[f"{command} | stdout"] = stable_text(done.stdout, folder)
                seen[f"{command} | stderr"] = stable_text(done.stderr, folder)
            files = {
                str(path.relative_to(folder)): content_of(path, folder)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.parent.name not in _OF_TIMES
            }
            seen |= {key: value for key, value in files.items() if known.get(key) != value}
            known = files
            yield name, seen


def _helps() -> Iterator[tuple[str, list[str]]]:
    for program, module in MODULES.items():
        place = "stylegan_eval.cli" if module == "stylegan_eval" else module
        place = "benchmarks.__main__" if module == "benchmarks" else place
        yield from _helps_below(import_module(place).main, program)


def _helps_below(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, list[str]]]:
    word = name.rpartition(" ")[2]
    context = click.Context(
        command, info_name=word, parent=parent, terminal_width=80, **command.context_settings
    )
    yield f"{name} --help", command.get_help(context).splitlines()
    if isinstance(command, click.Group):
        for word, inner in sorted(command.commands.items()):
            yield from _helps_below(inner, f"{name} {word}", context)


if __name__ == "__main__":
    main()
