"""File of the path lengths of all pairs."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.safe_files import open_zip
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

FORMAT = "stylegan-eval-distances/1"
SUFFIX = ".npz"
_ABOUT = "about"
_MAKE = "stylegan-eval ppl --distances FILE.npz writes one"
_ABOUT_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Path lengths of one generator, measured together."""

    lengths: Mapping[str, NDArray[np.float64]]
    """For each metric's name (``ppl_wfull``) float64 [N], one per pair, in their order."""
    generator: str
    generator_digest: str
    """generator, generator_digest: As in the results."""
    seed: int  # Likewise


def check_distances_path(path: Path) -> None:
    """Check, before the work, that path lengths can be written there and found again."""
    if path.suffix != SUFFIX:
        raise UserError(f"--distances {path}: expected a name that ends in {SUFFIX}")
    check_writable(path)


def write_distances(path: Path, distances: Distances) -> None:
    """Write path lengths, whole or not at all."""
    from stylegan_eval.engine.blocks import save_arrays  # with PyTorch

    about = {
        "format": FORMAT,
        "metrics": list(distances.lengths),
        "generator": distances.generator,
        "generator_digest": distances.generator_digest,
        "seed": distances.seed,
    }
    arrays = {str(at): lengths for at, lengths in enumerate(distances.lengths.values())}
    written = json.dumps(about).encode("ascii")
    save_arrays(path, {_ABOUT: np.frombuffer(written, np.uint8), **arrays})


def looks_like_distances(path: Path) -> bool:
    """Whether a file says of itself that it is of this kind; statistics are .npz files too."""
    with (
        contextlib.suppress(UserError),
        parsing(path),
        open_zip(path) as archive,
        archive.open(f"{_ABOUT}.npy") as about,
    ):
        return FORMAT.partition("/")[0].encode() in about.read(_ABOUT_BYTES)
    return False


def read_distances(path: Path) -> Distances:
    """Read what `write_distances` wrote."""
    from stylegan_eval.engine.blocks import load_arrays  # with PyTorch

    arrays = load_arrays(path) or {}
    with parsing(path, "not a file of path lengths", _MAKE):
        about = json.loads(bytes(arrays[_ABOUT].astype(np.uint8)))
        if about["format"] != FORMAT:
            raise ValueError(f"the format is {about['format']!s:.60}, not {FORMAT}")
        lengths = {str(name): arrays[str(at)] for at, name in enumerate(about["metrics"])}
        if any(x.ndim != 1 or x.dtype != np.float64 or len(x) < 2 for x in lengths.values()):
            raise ValueError("its arrays are no path lengths")
        return Distances(
            lengths=lengths,
            generator=str(about["generator"]),
            generator_digest=str(about["generator_digest"]),
            seed=int(about["seed"]),
        )
