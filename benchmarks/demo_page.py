"""The page about the package's network, written from what the network's file says."""

from collections.abc import Iterator
from pathlib import Path

from stylegan.network_file import NetworkFile, read_network
from stylegan_eval.files import sha256_of

PAGE = Path(__file__).parents[1] / "docs" / "demo-network.md"

_BEGINNING = """\
# The network in the package

Wherever a command takes a checkpoint, the name `demo` means a network that the package carries, so
that there is something real to measure, sample and train further in the first minute:

    stylegan-sample grid --ckpt demo --seeds 0-31 --psi 0.7 grid.png
    stylegan-eval ppl --ckpt demo --distance st-lpips-alex --crop none -n 1000
    stylegan-train --init demo --data own64.zip --kimg 100 --out runs/own
    stylegan-sample info --ckpt demo

A file or folder of that name is written `./demo`. It holds the moving average of the generator,
which is what is sampled and measured, and generator and discriminator, from which training goes on;
it has no optimizer state, so no run resumes from it.
"""

_END = """\
`fd_efficientnet-lite0` is a Fréchet distance of features that a package ships, so that it needs no
download: it is no FID and compares with nothing but itself. Its `_floor` is that between two halves
of the real images, of fewer images, and so biased further upwards. The standard errors are those of
other latents, on the same real images and with the same classifiers.

## Measure it again

    python -m benchmarks.demo_network check --data avatars64.zip --seed 1

draws other latents, and exits with 1 if a score differs from the stated one by more than four
standard errors of the difference. Scores without a standard error are shown and not judged.
"""


def page(path: Path) -> str:
    """Text of the page on a network file.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    content = read_network(path)
    return "\n".join([_BEGINNING, *_made(path, content), *_scores(content), _END])


def _made(path: Path, content: NetworkFile) -> Iterator[str]:
    config = content.config
    yield "## How it was made\n"
    yield f"    {content.facts.command}\n"
    size = f"{config.resolution}x{config.resolution}"
    kimg, lod = content.nimg / 1000, content.lod
    yield f"Configuration {config.name} at {size}, {kimg:g} kimg, level of detail {lod:g};"
    yield f"{path.stat().st_size:,} bytes, SHA-256 `{sha256_of(path)}`.\n"
    for note in content.facts.note.split("; "):
        name, colon, command = note.partition(": ")
        yield f"`{name}`:\n\n    {command}\n" if colon else f"{note.capitalize()}.\n"


def _scores(content: NetworkFile) -> Iterator[str]:
    yield "## What it scores\n"
    yield "| metric | value | standard error |\n|---|---|---|"
    for score in content.facts.scores:
        error = "" if score.stderr is None else f"{score.stderr:.2g}"
        yield f"| `{score.metric}` | {score.value:.4g} | {error} |"
    yield "\nmeasured by\n"
    for command in dict.fromkeys(score.command for score in content.facts.scores):
        yield f"    {command}"
    yield ""
