"""A whole configuration as a JSON file: one writer, one reader."""

import json
from pathlib import Path
from typing import NoReturn

from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

# Of a file; a configuration takes 3 kB.
_LARGEST_FILE = 2**20


def config_text(config: Config) -> str:
    """JSON of a configuration; `read_config` reads it back."""
    return json.dumps(config_to_dict(config), indent=2, allow_nan=False)


def read_config(path: Path) -> Config:
    """Read a whole configuration, from an untrusted file.

    `path` is a file of `config_text`, which ``stylegan-train --print-config`` prints.
    """
    with parsing(path, "cannot be read as a configuration"):
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise UserError(f"{path}: no such file: give a row A to F, or a JSON file")
        if size > _LARGEST_FILE:
            raise UserError(f"{path}: {size} bytes are no configuration: expected a few kB of JSON")
        text = path.read_text(encoding="utf-8")
    return config_from_text(text, str(path))


def config_from_text(text: str, where: str) -> Config:
    """Read `config_text`'s JSON; errors begin with `where`."""
    with parsing(where, "not JSON", "stylegan-train --print-config shows what is expected"):
        tree = json.loads(text, parse_constant=_refuse)
    with parsing(where):
        return config_from_dict(tree)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
