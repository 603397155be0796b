"""Attribute classifiers for separability: the user's, or trained once on the data of a folder."""

import time
from pathlib import Path

from benchmarks.child import call
from benchmarks.claims import claimed
from benchmarks.folder import ResultsFolder
from stylegan_eval.command import tell
from stylegan_eval.errors import UserError

_LOOK_EVERY = 2.0


def train_classifiers(folder: ResultsFolder, data: Path, device: str) -> Path:
    """Attribute classifiers of a folder, trained on its data by the first who needs them.

    Raises
    ------
    UserError
        They cannot be trained: the data has no attributes, say.
    """
    path = folder.classifiers
    while not path.exists():
        with claimed(folder.claims, "classifiers") as claim:
            if claim is not None and not path.exists():
                tell("training attribute classifiers")
                _train(path, data, device, folder.log("classifiers"))
        if claim is None:
            time.sleep(_LOOK_EVERY)
    return path


def _train(path: Path, data: Path, device: str, log: Path) -> None:
    arguments = ["classifiers", "train", "--data", str(data), "--out", str(path)]
    arguments += ["--epochs", "8", "--skip-constant", "--device", device]
    ended = call("stylegan_eval", arguments, log)
    if ended.status != 0:
        raise UserError(f"no attribute classifiers: {ended.reason}")
