"""The page of the explorer driven in a browser: what it shows, and its controls."""

import shlex

import numpy as np

from stylegan.sample.options import parse_recipe

COMMAND = "document.querySelector('.made-by code')?.textContent"
# True once the image of the command is there.
SETTLED = """(() => {
  const image = document.querySelector('img.picture');
  if (!image?.complete || !image.naturalWidth) return false;
  const words = new URL(image.currentSrc).searchParams.get('recipe');
  return window.did_handshake && document.querySelector('.made-by code').textContent.includes(
    ' ' + words + ' ');
})()"""


def visit(opened, url):
    opened.events.clear()
    opened.open(url)
    opened.wait_until(SETTLED)


def recipe(page):
    """Recipe of the command that is shown."""
    words = shlex.split(page.run(COMMAND))
    return parse_recipe(words[words.index("--seed") : -1])


def wait_for(page, wanted):
    """Wait until the image of a recipe is shown, and return its pixels."""
    words = " ".join(wanted.words())
    page.wait_until(f"{COMMAND}.includes(' {words} seed-')")
    page.wait_until(SETTLED)
    return pixels(page)


def pixels(page):
    script = """(() => {
      const image = document.querySelector('img.picture'), canvas = new OffscreenCanvas(
        image.naturalWidth, image.naturalHeight), context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    })()"""
    shown = np.array(page.run(script), np.uint8).reshape(32, 32, 4)
    return shown[:, :, :3]


def focus(page, label):
    page.run(f"document.querySelector('[aria-label=\"{label}\"]').focus()")


def click(page, label):
    page.run(f"document.querySelector('[aria-label=\"{label}\"]').click()")


def drag(page, label, value):
    """Put a slider's thumb somewhere, as the mouse would."""
    page.run(
        f"(() => {{ const thumb = document.querySelector('input[aria-label=\"{label}\"]');"
        f" thumb.value = {value}; thumb.dispatchEvent(new Event('input')) }})()"
    )


def button_of(text):
    found = f".find(button => button.textContent.includes('{text}'))"
    return "[...document.querySelectorAll('button')]" + found


def press_button(page, text):
    page.run(f"{button_of(text)}.click()")
