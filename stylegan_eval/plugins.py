"""Tables whose rows installed packages may add to, by entry points of the row's name.

A package is imported when its table is first read, and its broken rows are left out with one line.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

METRICS, FEATURES, IMAGES = (f"stylegan_eval.{kind}" for kind in ("metrics", "features", "images"))
_HEADINGS = [f"[{group}]".encode() for group in (METRICS, FEATURES, IMAGES)]
_OURS = ("stylegan", "stylegan_eval")  # beside a plugin in a checkout

Row = TypeVar("Row")


class Table(Mapping[str, Row]):
    """Our rows, then those of the packages that name one in `group`.

    `check` raises where a package's row of this name does not fit those that are there.
    """

    def __init__(
        self,
        own: Mapping[str, Row],
        group: str,
        kind: type[Row],
        check: Callable[[str, Row, Mapping[str, Row]], None] = lambda _name, _row, _rows: None,
    ) -> None:
        self.own, self._group, self._kind, self._check = own, group, kind, check

    def __getitem__(self, name: str) -> Row:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @functools.cached_property
    def _rows(self) -> Mapping[str, Row]:
        rows = dict(self.own)
        for entry in _entries(self._group):
            try:
                rows[entry.name] = self._loaded(entry, rows)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a package may raise anything, and `_leave_out` reports it
                _leave_out(entry, error)
        return MappingProxyType(rows)

    def _loaded(self, entry: "EntryPoint", rows: Mapping[str, Row]) -> Row:
        if entry.name in rows:
            raise ValueError("there is one of this name already")
        row = entry.load()
        if not isinstance(row, self._kind):
            raise TypeError(f"expected a {self._kind.__name__}, got {type(row).__name__}")
        self._check(entry.name, row, rows)
        return row


def names(group: str) -> list[str]:
    """Names that packages give to rows of a table; imports none of them."""
    return [entry.name for entry in _entries(group)]


def resolve(place: str) -> Any:
    """The object called ``module:name``."""
    from pkgutil import resolve_name

    try:
        return resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{place} cannot be imported: {error}") from error


def code_of(place: str) -> str:
    """SHA-256 of all Python files of the package that brings ``module:name``, and of `sources`.

    For what is kept of its results: the same weights or files say nothing of changed code.
    """
    import hashlib
    from importlib.util import find_spec

    spec = find_spec(place.partition(":")[0].partition(".")[0])
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
    if spec and spec.origin and not folders:  # a package of one file
        files = [Path(spec.origin)]
    if folders or files:
        files += sources(files, (Path(folders[0]) if folders else files[0]).parent)
    digest = hashlib.sha256()
    for file in files:
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def sources(files: Sequence[Path], root: Path) -> list[Path]:
    """Python files in `root` beside these that they import, and that those import; sorted.

    They are read, not run. Left out are this package and, where `root` holds installed packages,
    those that bring none of `files`.
    """
    tops = {file.relative_to(root).parts[0] for file in files if file.is_relative_to(root)}
    installed = any(root.glob("*.dist-info"))
    todo, found = list(files), set(files)
    while todo:
        for file in _imported(todo.pop(), root):
            top = file.relative_to(root).parts[0]
            others = top in _OURS or (installed and top not in tops)
            if file not in found and not others and file.is_file():
                found.add(file)
                todo.append(file)
    return sorted(found.difference(files))


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """Where in `root` the modules that a file imports may be."""
    import ast

    tree = ast.Module([], [])
    with suppress(OSError, SyntaxError, ValueError):
        tree = ast.parse(file.read_bytes())
    places = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            places += [root.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [root, *file.parents][node.level] if node.level <= len(file.parents) else root
            module = base.joinpath(*(node.module or "").split("."))
            places += [module, *(module / alias.name for alias in node.names)]
    for place in [file.parent, *places]:
        if place.is_relative_to(root) and place != root:
            yield place.with_name(f"{place.name}.py")
            depth = len(place.relative_to(root).parts)
            yield from (each / "__init__.py" for each in [place, *place.parents][:depth])


def _entries(group: str) -> "list[EntryPoint]":
    if not _any_installed():
        return []
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


@functools.cache
def _any_installed() -> bool:
    """Whether a package names a row: without one `importlib.metadata` need not be imported."""
    for folder in sys.path:
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")) and _is_named(entry.path):
                    return True
    return False


def _is_named(folder: str) -> bool:
    """Whether a package names a row; every start-up asks it of each package, so no `Path`."""
    try:
        file = os.open(f"{folder}/entry_points.txt", os.O_RDONLY)
    except OSError:
        return False
    try:
        data = os.read(file, 2**20)
    finally:
        os.close(file)
    return any(heading in data for heading in _HEADINGS)


def _leave_out(entry: "EntryPoint", error: BaseException) -> None:
    """Report the row; the first process speaks for all."""
    if os.environ.get("RANK", "0") != "0":
        return
    import logging

    package = f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "a package"
    kind = {METRICS: "metric", FEATURES: "feature network", IMAGES: "kind of images"}[entry.group]
    # The standard library's last resort prints the line alone on stderr.
    logging.getLogger("stylegan_eval").warning(
        "note: %s: its %s %s is left out: %s; update the package, or uninstall it",
        *(package, kind, entry.name, " ".join(f"{type(error).__name__}: {error}".split())),
    )
