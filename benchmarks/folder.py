"""The results folder of the tables: its files.

::

    bench.json                       version, and the data that all in it was made from
    requests/TABLE-SCALE-...json     a question: every cell, and the files that answer it
    trainings/NETWORK-SEED-HASH/     folders of `stylegan-train`, or what `keep` keeps of them
    measurements/TRAINING/KIND-HASH.csv   tables of `stylegan-eval`
    failures/NAME.json               why a training or a measurement failed
    claims/NAME.N                    who works on what
    classifiers.safetensors          of linear separability, where the data has attributes
    report/                          what `python -m benchmarks report` writes
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan import __version__
from stylegan_eval.engine.files import atomic_write, locked
from stylegan_eval.errors import UserError

FORMAT = "stylegan-bench-results/1"
FINISHED = "finished.json"
GENERATOR = "generator.safetensors"  # of a training that `keep` kept
_ABOUT = "bench.json"


@dataclass(frozen=True, kw_only=True)
class ResultsFolder:
    """A folder of results."""

    path: Path
    data: str  # Content digest of the real images that all in it was made from
    images: str  # Their name and number, for people

    def training(self, name: str) -> Path:
        """Folder of a training."""
        return self.path / "trainings" / name

    def measurement(self, training: str, name: str) -> Path:
        """Table of a measurement."""
        return self.path / "measurements" / training / f"{name}.csv"

    def measurements(self, training: str) -> list[Path]:
        """All tables of measurements of a training."""
        return sorted((self.path / "measurements" / training).glob("[!.]*.csv"))

    def log(self, *names: str) -> Path:
        """Output of a command."""
        return self.path / "logs" / f"{'-'.join(names)}.log"

    @property
    def claims(self) -> Path:
        """Folder of claims."""
        return self.path / "claims"

    @property
    def classifiers(self) -> Path:
        """Attribute classifiers that were trained on the data."""
        return self.path / "classifiers.safetensors"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def failure(self, *names: str) -> str:
        """Why a training, or a measurement of it, failed; empty where it did not."""
        path = self._failure(names)
        return str(read_json(path)["reason"]) if path.exists() else ""

    def fail(self, *names: str, reason: str) -> None:
        """Write down why something failed."""
        write_json(self._failure(names), {"reason": reason})

    def forgive(self, *names: str) -> None:
        """Forget a failure: it is tried again."""
        self._failure(names).unlink(missing_ok=True)

    def _failure(self, names: tuple[str, ...]) -> Path:
        return self.path / "failures" / f"{'--'.join(names)}.json"

    def requests(self, pattern: str = "*") -> list[dict[str, Any]]:
        """Questions, by names that fit a pattern, in their order."""
        paths = sorted((self.path / "requests").glob(f"{pattern}.json"))
        return [_checked_request(path) for path in paths]

    def request_names(self) -> list[str]:
        """Names of all questions."""
        return sorted(path.stem for path in (self.path / "requests").glob("*.json"))

    def write_request(self, name: str, tree: dict[str, Any]) -> None:
        """Keep a request."""
        write_json(self.path / "requests" / f"{name}.json", tree)


def open_folder(path: Path, data: str, images: str) -> ResultsFolder:
    """Open a folder to work in, or begin one."""
    about = path / _ABOUT
    with locked(about):
        if not about.exists():
            others = [item.name for item in path.iterdir() if not item.name.startswith(".")]
            if others:
                raise UserError(
                    f"{path} holds {others[0]} but no {_ABOUT}, so it is no folder of results:"
                    " choose an empty one"
                )
            write_json(
                about,
                {"format": FORMAT, "version": __version__, "data": data, "images": images},
            )
    folder = read_folder(path)
    version = read_json(about)["version"]
    if version != __version__:
        raise UserError(
            f"{path} was begun by version {version} of this package, this is {__version__}, and"
            " results of two versions do not compare: choose another folder"
        )
    if folder.data != data:
        raise UserError(
            f"{path} was begun with other images ({folder.images}, digest {folder.data[:12]}),"
            f" not {images}, digest {data[:12]}: give those, or choose another folder"
        )
    return folder


def read_folder(path: Path) -> ResultsFolder:
    """Open a folder to look at."""
    about = path / _ABOUT
    if not about.is_file():
        raise UserError(
            f"{path} is no folder of results (no {_ABOUT}): `python -m benchmarks run` makes one"
        )
    tree = read_json(about)
    if tree.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {tree.get('format')!r}, this version reads {FORMAT!r}: use the"
            " version that wrote it"
        )
    try:
        return ResultsFolder(path=path, data=str(tree["data"]), images=str(tree["images"]))
    except KeyError as error:
        raise _damaged(about) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that this package wrote."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(tree, dict):
        raise _damaged(path)
    return tree


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a small file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


REQUEST = dict.fromkeys(("table", "title", "scale", "dataset", "command"), str)
PLACE = dict.fromkeys(("line", "label", "space", "metric", "condition"), str) | {"seed": int}
_CELL = PLACE | dict.fromkeys(("network", "training", "measurement", "row"), str)


def _checked_request(path: Path) -> dict[str, Any]:
    tree = read_json(path)
    kinds = REQUEST | {"kimg": float, "cells": list}
    if not _fits(tree, kinds) or not all(_fits(cell, _CELL) for cell in tree["cells"]):
        raise _damaged(path)
    for cell in tree["cells"]:  # names of files in this folder, and nothing else
        if not isinstance(cell.get("kimg", 0.0), float) or any(
            "/" in cell[name] or cell[name].startswith(".") for name in ("training", "measurement")
        ):
            raise _damaged(path)
    return tree


def place_of(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Line, quantity and seed of a cell: no other cell of its table has all of them."""
    return tuple(cell[key] for key in ("line", "metric", "condition", "seed"))


def _fits(tree: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(tree, dict) and all(
        isinstance(tree.get(key), kind) for key, kind in kinds.items()
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged or half-written: delete it, and run again")
