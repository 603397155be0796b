"""How many images a second stylegan-explore shows while a slider is dragged, in a real browser.

``python -m benchmarks.speed.explore``: server and Chromium on this machine. A thumb goes from end
to end in two seconds, 60 steps a second; an image counts when the browser has loaded it, its wait
is from the step that asked for it until then.
"""

import math
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch

from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.recipe import Recipe
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import NetworkPath
from tests.browser import Browser
from tests.explore.driving import visit
from tests.explore.served import serving

_SLIDERS = ("Truncation psi", "smiling")
_DRAG = """((label, seconds) => new Promise((done) => {
  const thumb = document.querySelector(`input[aria-label="${label}"]`);
  const image = document.querySelector('img.picture');
  const [low, high, step] = [thumb.min, thumb.max, thumb.step].map(Number);
  const begun = performance.now(), moved = new Map(), waits = [];
  const loaded = (event) => {
    if (event.target !== image) return;
    const words = new URL(image.currentSrc).searchParams.get('recipe');
    const number = words.match(label === 'smiling' ? /smiling=(\\S+)/ : /--psi (\\S+)/)?.[1];
    const since = moved.get(Number(number ?? (label === 'smiling' ? 0 : 1)));
    if (since) waits.push(performance.now() - since);
  };
  document.addEventListener('load', loaded, true);  // before the page itself goes on
  const timer = setInterval(() => {
    const now = performance.now(), share = Math.abs((((now - begun) / 2000) % 2) - 1);
    thumb.value = low + step * Math.round((share * (high - low)) / step);
    if (now - begun < seconds * 1000) {
      const value = Number(thumb.value);
      if (value !== moved.last) moved.set(value, now);
      moved.last = value;
      thumb.dispatchEvent(new Event('input'));
      return;
    }
    clearInterval(timer);
    document.removeEventListener('load', loaded, true);
    done({ waits, seconds: (now - begun) / 1000 });
  }, 1000 / 60);
}))"""


def dragged(browser: Browser, label: str, seconds: float) -> tuple[float, float]:
    """Images a second, and the median wait for one in ms."""
    answer: dict[str, Any] = browser.ask(
        "Runtime.evaluate",
        expression=f"{_DRAG}({label!r}, {seconds})",
        awaitPromise=True,
        returnByValue=True,
    )["result"]["value"]
    waits = answer["waits"]
    return len(waits) / answer["seconds"], statistics.median(waits or [math.inf])


def drawn(ckpt: Path, count: int) -> float:
    """Images a second of drawing alone, one after another in this process."""
    subject = open_generator(ckpt, torch.device("cpu"), None)
    recipes = [Recipe(seed=1, psi=k / count) for k in range(count)]
    draw_recipe(Recipe(), subject)
    begun = time.perf_counter()
    for recipe in recipes:
        draw_recipe(recipe, subject)
    return count / (time.perf_counter() - begun)


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--ckpt", type=NetworkPath(), default="demo", metavar="CKPT|demo")
@click.option("--seconds", type=click.FloatRange(min=1), default=5.0, help="Of each slider.")
@click.option("--rounds", type=click.IntRange(min=1), default=3)
def main(ckpt: Path, seconds: float, rounds: int) -> None:
    """Print images a second for each slider, and of drawing alone."""
    print(f"{drawn(ckpt, 50):.1f} images/s are drawn alone, one after another, without a page")
    served = serving("--ckpt", ckpt, popen=subprocess.Popen)
    with tempfile.TemporaryDirectory() as profile, served as (_, url):
        browser = Browser(profile)
        visit(browser, url)
        for label in _SLIDERS:
            if not browser.run(f"!!document.querySelector('input[aria-label=\"{label}\"]')"):
                continue
            for _ in range(rounds):
                rate, wait = dragged(browser, label, seconds)
                print(f"{rate:.1f} images/s shown, median wait {wait:.0f} ms: {label}")
        browser.close()


if __name__ == "__main__":
    main()
