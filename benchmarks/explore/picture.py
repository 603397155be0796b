"""The picture of the page in the documents.

``python -m benchmarks.explore.picture docs/explorer/samples.png``: a view at 1280 pixels of width.
``--ckpt A --ckpt B --query view=compare``: another one.
"""

import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl

import click
import numpy as np
from PIL import Image

from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import NetworkPath
from tests.browser import Browser
from tests.explore.driving import COMPARED, DRAWN, FILMED, MIXED, MOMENTS, SETTLED
from tests.explore.served import serving

_LAST_BITS = 3
_READY = {
    "mixing": MIXED,
    "film": FILMED,
    "compare": COMPARED,
    "time": MOMENTS,
}  # a script, by view, that is true once all is drawn


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--ckpt",
    "ckpts",
    type=NetworkPath(),
    default=("demo",),
    multiple=True,
    metavar="CKPT|demo",
    help="As of stylegan-explore.",
)
@click.option("--query", default="", help="Of the address: what is shown.")
@click.option("--width", type=click.IntRange(min=320), default=1280)
@click.option("--height", type=click.IntRange(min=320), default=800)
@click.option("--theme", type=click.Choice(("light", "dark")), default="light")
@click.argument("out", type=click.Path(path_type=Path))
def main(
    ckpts: tuple[Path, ...], query: str, width: int, height: int, theme: str, out: Path
) -> None:
    """Write the picture to the PNG file OUT."""
    view = dict(parse_qsl(query)).get("view", "")
    named = [word for ckpt in ckpts for word in ("--ckpt", ckpt)]
    served = serving(*named, popen=subprocess.Popen)
    with tempfile.TemporaryDirectory() as profile, served as (_, url):
        browser = Browser(profile)
        medium = [{"name": "prefers-color-scheme", "value": theme}]
        browser.ask("Emulation.setEmulatedMedia", features=medium)
        browser.ask("Emulation.setScrollbarsHidden", hidden=True)
        browser.screenshot(out, width, height)  # sets the size
        browser.open(f"{url}?{query}")
        browser.wait_until(_READY.get(view, f"({SETTLED}) || ({DRAWN})"))
        browser.wait_until("document.fonts.status === 'loaded'")
        browser.screenshot(out, width, height)
        browser.close()
    # Without the last two bits of its colours it has two thirds of the bytes.
    with Image.open(out) as image:
        darkness = 255 - np.asarray(image.convert("RGB"))
    Image.fromarray(255 - (darkness & ~np.uint8(_LAST_BITS))).save(out, optimize=True)
    click.echo(out)


if __name__ == "__main__":
    main()
