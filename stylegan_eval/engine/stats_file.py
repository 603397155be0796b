"""Mean and covariance of features in an `.npz`, as pytorch-fid and clean-fid keep them.

``mu`` float64 [D], ``sigma`` float64 [D, D]; this toolkit adds ``about``, a JSON text with the
number of images, the network and the images' content, which others ignore.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.engine.blocks import Key, load_arrays, save_arrays
from stylegan_eval.engine.files import check_writable, sha256_of
from stylegan_eval.engine.safe_files import names_in_npz
from stylegan_eval.engine.statistics import FeatureStats, StatsAccumulator
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

IMAGES = "arr_0"  # images that a file may hold besides, or instead: see `images.arrays`
_VECTORS = ("feats", "pool_3", "features")  # names under which other packages keep features [N, D]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredStats:
    """Statistics read from a file; what `frechet_distance` needs."""

    mean: NDArray[np.float64]  # float64 [D]
    cov: NDArray[np.float64]  # float64 [D, D], symmetric
    count: int | None  # Number of images, where the file says it
    detector: str  # Identity of the feature network; empty where the file does not say it
    content: str  # Digest of the images, or of the file
    vectors: NDArray[np.float32] | None = None
    """Features float32 [N, D] of the images, of which they are the statistics; else None."""

    def __str__(self) -> str:
        if self.vectors is not None:
            return f"features of {len(self.vectors)} images"
        return f"statistics of {'unknown' if self.count is None else self.count} images"

    def save(self, path: str | Path) -> None:
        """Write them to a new `.npz`."""
        write_stats(Path(path), self, {"content": self.content})


def read_stats(path: Path, *, spatial: bool = False) -> StoredStats:
    """Read a file of statistics, or of features [N, D]; runs no code of the file.

    `spatial`: those of sFID, ``mu_s`` and ``sigma_s``, where the file holds them besides.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; expected a file of statistics (.npz)")
    names = frozenset[str]()
    with contextlib.suppress(UserError, OSError):
        names = names_in_npz(path)
    if not {"mu", "sigma"} <= names and (found := [name for name in _VECTORS if name in names]):
        return _of_vectors(path, found[0])
    end = "_s" if spatial and {"mu_s", "sigma_s"} <= names else ""
    mu, sigma = f"mu{end}", f"sigma{end}"
    arrays = load_arrays(path, (mu, sigma, "about"))
    if arrays is None or not {mu, sigma} <= arrays.keys():
        content = "" if arrays is None else f" (it holds {', '.join(sorted(names)) or 'nothing'})"
        raise UserError(
            f"{path}: not a file of statistics{content}; expected mu and sigma, features"
            f" [N, D] in {_VECTORS[0]}, or images in {IMAGES}"
        )
    about = _about(arrays, path)
    mean, cov = checked_moments(arrays[mu], arrays[sigma], str(path))
    return StoredStats(
        mean=mean,
        cov=cov,
        count=about.get("count"),
        detector=about.get("detector", ""),
        content=about.get("content") or _digest(path, mean, cov, with_images=IMAGES in names),
    )


def checked_moments(
    mu: NDArray[Any], sigma: NDArray[Any], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean float64 [D] and covariance [D, D] that a file, `where`, gives as such."""
    mean, cov = _numbers(mu, f"{where}: mu"), _numbers(sigma, f"{where}: sigma")
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise UserError(
            f"{where}: mu is {list(mean.shape)}, sigma {list(cov.shape)}; expected [D] and [D, D]"
        )
    tolerance = 1e-6 * float(np.abs(cov).max(initial=0))
    if np.abs(cov - cov.T).max(initial=0) > tolerance or cov.diagonal().min(initial=0) < -tolerance:
        raise UserError(f"{where}: sigma is no covariance: not symmetric, or a negative variance")
    if not _semidefinite(cov):
        raise UserError(f"{where}: sigma is no covariance: it has negative eigenvalues")
    return mean, (cov + cov.T) / 2


def _of_vectors(path: Path, name: str) -> StoredStats:
    """Features of a file, and their statistics."""
    found = (load_arrays(path, (name,)) or {}).get(name)
    if found is None:
        raise UserError(f"{path}: {name} is damaged: make the file again")
    vectors = _numbers(found, f"{path}: {name}").astype(np.float32)
    if vectors.ndim != 2 or len(vectors) < 2 or not vectors.shape[1]:
        raise UserError(
            f"{path}: {name} is {list(found.shape)!s:.60}; expected features [N, D], N 2 or more"
        )
    accumulator = StatsAccumulator("")
    accumulator.add(torch.from_numpy(vectors))
    stats = accumulator.result()
    return StoredStats(
        mean=stats.mean,
        cov=stats.cov,
        count=len(vectors),
        detector="",
        content=sha256_of(path),
        vectors=vectors,
    )


def _digest(
    path: Path, mean: NDArray[np.float64], cov: NDArray[np.float64], *, with_images: bool
) -> str:
    """SHA-256 of a file; of the statistics alone where a gigabyte of images may be with them."""
    if with_images:
        return hashlib.sha256(mean.tobytes() + cov.tobytes()).hexdigest()
    return sha256_of(path)


def check_new(path: Path) -> None:
    """Check that statistics can be written to `path`."""
    if path.suffix != ".npz":
        raise UserError(f"{path}: statistics are kept in a file that ends in .npz")
    if path.exists():
        raise UserError(f"{path} exists already: name another file, or delete it")
    check_writable(path)


def write_stats(path: Path, stats: FeatureStats | StoredStats, about: Key) -> None:
    """Write statistics, whole or not at all.

    `stats` are of two images or more.
    """
    check_new(path)
    text = json.dumps({**about, "count": stats.count, "detector": stats.detector})
    save_arrays(path, {"mu": stats.mean, "sigma": stats.cov, "about": np.array(text)})


def _numbers(array: NDArray[Any], where: str) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiu":
        raise UserError(f"{where} is of type {array.dtype}; expected numbers")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise UserError(f"{where} holds values that are not finite")
    return numbers


def _semidefinite(cov: NDArray[np.float64]) -> bool:
    """Whether no eigenvalue of a symmetric [D, D] is negative, but for rounding to float32."""
    slack = 1e-7 * float(np.trace(cov)) + np.finfo(np.float64).tiny
    matrix = torch.from_numpy((cov + cov.T) / 2)
    return not int(
        torch.linalg.cholesky_ex(matrix + slack * torch.eye(len(cov), dtype=matrix.dtype))[1]
    )


def _about(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, Any]:
    if "about" not in arrays:
        return {}
    corrupt = "its `about` metadata is corrupt: make the file again"
    with parsing(path, corrupt):
        about = json.loads(str(arrays["about"]))
        expected = {"count": int, "detector": str, "content": str}
        fits = all(isinstance(about[name], kind) for name, kind in expected.items())
        if fits and about["count"] >= 2:
            return dict(about)
    raise UserError(f"{path}: {corrupt}")
