"""Text and files without what differs from run to run, so that equal work reads the same."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence
from safetensors import safe_open

ROOT = Path(__file__).parents[2]  # of the project
# Times, speeds and memory; what a table or log calls them.
_VOLATILE = (
    *("seconds", "date", "img_per_s", "peak_memory_mib", "training_seconds", "machine"),
    *("time", "cpu_seconds", "hours"),
)
_TEXT = {".txt", ".log", ".json", ".jsonl", ".csv", ".md", ".html", ".svg", ".css", ".js"}
_PATTERNS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?([+-]\d\d:\d\d)?"), "DATE"),
    (re.compile(r"\b[\d.,]+ ?(img/s|s/kimg|kimg/h|MiB|GiB|MB|kB)\b"), "N \\1"),
    (re.compile(r"\b[\d.,]+ ?(ms|s|min|h|d|days|hours|minutes|seconds)\b"), "N \\1"),
    # Estimates of this machine in a plan: images per second and time.
    (re.compile(r"\b[\d.]+ +N (\w+) \*"), "N N *"),
    (re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+"), "PNG"),
    (re.compile(r"\b[\d.]+ (T|G|M)?FLOP/s"), "N FLOP/s"),
    # The speed of a phase in the table of `stylegan-train status`.
    (re.compile(r"^( +[\d.]+  (?:fade to )?\d+x\d+ +)[\d.]+", re.MULTILINE), "\\1N"),
    (re.compile(r'"seconds": [\d.]+'), '"seconds": N'),
    (re.compile(r" +N "), " N "),
)
_PROGRESS = re.compile(r"(\w[\w ]*: +)?\d+%\|[^\]\n]*\]?")
_DRAWN_OF_TIMES = ("status.png",)
_NANOSECONDS = 10**18  # a number as large as this is a time of a file


def stable_text(text: str, folder: Path) -> list[str]:
    """Lines of a text, without times, progress and blank lines; DIR is `folder`, ROOT the code."""
    text = text.replace(str(folder), "DIR").replace(str(ROOT), "ROOT")
    for pattern, word in ((_PROGRESS, ""), *_PATTERNS):
        text = pattern.sub(word, text)
    return [line for line in text.splitlines() if line.strip()]


def content_of(path: Path, folder: Path) -> Any:
    """Content of a file as JSON: lines, or digests of pixels, tensors, arrays or members."""
    kind = path.suffix
    if kind in _TEXT:
        lines = path.read_text(encoding="utf-8", errors="replace")
        if kind == ".csv":
            lines = _table(path)
        if kind in (".json", ".jsonl"):
            lines = "\n".join(_json_lines(lines))
        return stable_text(lines, folder)
    if kind in (".png", ".gif", ".apng"):
        of_times = path.name in _DRAWN_OF_TIMES
        with Image.open(path) as image:
            frames = [_digest(np.asarray(f.convert("RGBA"))) for f in ImageSequence.Iterator(image)]
            return {"size": list(image.size), "frames": [] if of_times else frames}
    if kind == ".npy":
        return _digest(np.load(path))
    if kind == ".safetensors":
        with safe_open(path, "pt") as file:
            return {name: _digest(file.get_tensor(name)) for name in sorted(file.keys())}
    if kind == ".pt":
        return dict(_leaves(torch.load(path, map_location="cpu", weights_only=True), ""))
    if kind in (".npz", ".zip"):
        with zipfile.ZipFile(path) as archive:
            return {
                name: hashlib.sha256(archive.read(name)).hexdigest()[:16]
                for name in sorted(archive.namelist())
            }
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _table(path: Path) -> str:
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    kept = [name for name in frame.columns if name not in _VOLATILE]
    return str(frame[kept].to_csv(index=False))


def _json_lines(text: str) -> Iterator[str]:
    try:
        trees = [json.loads(text)]
    except ValueError:
        trees = [json.loads(line) for line in text.splitlines() if line.startswith(("{", "["))]
    for tree in trees:
        yield json.dumps(_without_times(tree), indent=1)


def _without_times(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_times(v) for key, v in tree.items() if key not in _VOLATILE}
    if isinstance(tree, int) and tree > _NANOSECONDS:
        return "TIME"
    return [_without_times(each) for each in tree] if isinstance(tree, list) else tree


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}/{key}")
    elif isinstance(tree, torch.Tensor):
        yield name, _digest(tree)
    else:
        yield name, repr(tree)


def _digest(array: Any) -> str:
    if isinstance(array, torch.Tensor):
        whole = array.detach().flatten().clone(memory_format=torch.contiguous_format)
        shape, dtype, data = tuple(array.shape), array.dtype, whole.view(torch.uint8).numpy()
    else:
        shape, dtype, data = array.shape, array.dtype, np.ascontiguousarray(array)
    return f"{dtype} {list(shape)} {hashlib.sha256(data.tobytes()).hexdigest()[:16]}"
