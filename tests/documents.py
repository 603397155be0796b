"""Commands and scripts as the documents show them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# What is smaller where the tests run.
TINY = {
    "--preset": "tiny-16",
    "--scale": "tiny-32",
    "--gpus": "1",
    "--nproc-per-node": "1",
}
HERE = ["--device", "cpu", "--resolution", "8", "--warmup", "0", "--snapshot-kimg", "0.05"]


def block(page: Path, language: str, *, after: str = "") -> str:
    """The first fenced block of a language behind a phrase."""
    text = page.read_text(encoding="utf-8")
    text = text[text.index(after) :]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)[0]


def indented(page: Path) -> Iterator[str]:
    """Lines that are indented as code, those that end in a backslash joined with the next."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("    "):
            yield line.strip()


def smaller(words: Sequence[str]) -> list[str]:
    """A command at a tiny scale, on a CPU."""
    values = [TINY.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return [*values, *(HERE if "--scale" not in words else HERE[:2])]
