"""Several visitors of stylegan-explore who do anything for a long time.

``python -m benchmarks.explore.soak --minutes 30 --clients 5``: tabs of one Chromium, each doing
what `tests.explore.driving.act_at_random` draws. After every ten acts a tab is left alone until it
has settled; then what it shows is compared, pixel by pixel, with what its recipe draws in this
process. Fails where they differ, where a console complains, or where the server's memory grows by
more than a tenth once a fifth of the time is over.
"""

import base64
import random
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from stylegan.sample.directions import directions_path
from stylegan.sample.drawing import OpenedGenerator, draw_recipe, open_generator
from stylegan.sample.options import parse_recipe
from stylegan_eval.engine.command import ErrorLineCommand, NetworkPath
from tests.browser import Browser
from tests.explore.driving import act_at_random, visit_samples
from tests.explore.served import serving

_ACTS = 10
_GROWTH = 1.1
# What the open view shows once nothing more is to come: recipe of the address, and an image of it.
_SHOWN = """((k) => {
  document.querySelector('dialog').close();
  const at = new URL(location).searchParams, pixels = (image) => {
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.height, canvas.width, btoa(String.fromCharCode(...data))];
  };
  const ready = (image) => image?.complete && image.naturalWidth;
  const of = (image) => new URL(image.currentSrc).searchParams.get('recipe');
  const tiles = [...document.querySelectorAll('.tile')];
  if (tiles[0]?.checkVisibility()) {
    const images = tiles.map((tile) => tile.querySelector('img'));
    if (document.querySelector('.tile.waiting') || !images.every(ready)) return null;
    const sheet = at.get('sheet') ?? '--seed 0 --psi 0.7', first = Number(sheet.split(' ')[1]);
    const seeds = images.map((image) => Number(of(image).split(' ')[1]));
    const numbers = tiles.map((tile) => Number(tile.querySelector('.number').textContent));
    if (seeds.some((seed, i) => seed !== first + i || numbers[i] !== seed)) return null;
    const wanted = sheet.replace(/^--seed \\d+/, `--seed ${first + k}`);
    return of(images[k]) === wanted && [wanted, ...pixels(images[k])];
  }
  const image = document.querySelector('img.picture');
  if (!ready(image) || document.querySelector('.frame.busy')) return null;
  return of(image) === at.get('recipe') && [of(image), ...pixels(image)];
})"""


def resident(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def check_shown(browser: Browser, draws: random.Random, subject: OpenedGenerator) -> str:
    """Compare what a settled tab shows with its recipe; what is wrong, or ""."""
    try:
        found: list[Any] = browser.wait_until(f"{_SHOWN}({draws.randrange(24)})")
    except AssertionError:
        return "does not settle: " + browser.run("location.href")
    words, height, width, data = found
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[:, :, :3]
    expected = draw_recipe(parse_recipe(shlex.split(words)), subject)
    return "" if np.array_equal(pixels, expected) else f"another image than that of {words}"


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--ckpt", type=NetworkPath(), default="demo", metavar="CKPT|demo")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0)
@click.option("--clients", type=click.IntRange(min=1), default=5)
@click.option("--seed", type=int, default=0, help="Of what the visitors do.")
def main(ckpt: Path, minutes: float, clients: int, seed: int) -> None:
    """Print acts, images compared and memory every minute; status 1 where something is wrong."""
    draws = random.Random(seed)
    faults: list[str] = []
    sizes: list[tuple[float, float]] = []
    subject = open_generator(ckpt, torch.device("cpu"), directions_path(ckpt, None))
    acts = compared = 0
    with tempfile.TemporaryDirectory() as profile, serving("--ckpt", ckpt) as (process, url):
        browser, tabs = Browser(profile), []
        for number in range(clients):
            if number:
                browser.new_tab()
            visit_samples(browser, url)
            tabs.append(browser.tab)
        begun = told = time.monotonic()
        while (now := time.monotonic()) < begun + 60 * minutes:
            for browser.tab in tabs:
                for _ in range(_ACTS):
                    act_at_random(browser, draws)
                acts += _ACTS
                wrong = check_shown(browser, draws, subject)
                compared += 1
                faults += [wrong] if wrong else []
                faults += [f"console: {event}"[:500] for event in browser.complaints]
                browser.events.clear()
            sizes.append((now - begun, resident(process.pid)))
            if now > told + 60:
                told = now
                print(
                    f"{(now - begun) / 60:.0f} min, {acts} acts, {compared} images, "
                    f"{sizes[-1][1]:.0f} MiB",
                    flush=True,
                )
        browser.close()
    settled = [size for when, size in sizes if when >= 60 * minutes / 5] or [sizes[-1][1]]
    print(f"{acts} acts of {clients} clients, {compared} images compared, {len(faults)} faults")
    print(f"server's memory {settled[0]:.0f} MiB after a fifth, {settled[-1]:.0f} at the end")
    for fault in faults[:20]:
        print(fault)
    if faults or settled[-1] > _GROWTH * settled[0]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
