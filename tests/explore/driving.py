"""The page of the explorer driven in a browser: what it shows, and its controls."""

import shlex

import numpy as np

from stylegan.sample.options import parse_recipe

COMMAND = "document.querySelector('.stage .made-by code')?.textContent"
# True once the image of the command is there.
SETTLED = """(() => {
  const image = document.querySelector('img.picture');
  if (!image?.complete || !image.naturalWidth) return false;
  const words = new URL(image.currentSrc).searchParams.get('recipe');
  const command = document.querySelector('.stage .made-by code').textContent;
  return window.did_handshake && command.includes(' ' + words + ' ');
})()"""


def drawn_tiles(sheet, count):
    """A script that is true once so many images are there."""
    return f"""(() => {{
  const tiles = [...document.querySelectorAll('{sheet} .tile')];
  return window.did_handshake && tiles.length === {count} && tiles.every((tile) => {{
    const image = tile.querySelector('img');
    return image?.complete && image.naturalWidth && !tile.classList.contains('waiting');
  }});
}})()"""


DRAWN = drawn_tiles(".sheet:not(.matrix)", 24)  # all samples of the view Samples
MIXED = drawn_tiles(".matrix", 23)  # the matrix that the view Mixing begins with
# True once the view Film shows its images, and the first frame of the preview.
FILMED = """(() => {
  const screen = document.querySelector('.preview canvas');
  const images = [...document.querySelectorAll('.frames img')];
  const ready = images.length && images.every((image) => image.complete && image.naturalWidth);
  return !!ready && screen.getContext('2d').getImageData(0, 0, 1, 1).data[3] > 0;
})()"""
# Recipes of the images of the view Compare, once all are there.
COMPARED = """(() => {
  const place = document.querySelector('.compared');
  const images = [...document.querySelectorAll('.compared img.picture')];
  const ready = window.did_handshake && place?.getAttribute('aria-busy') === 'false'
    && images.every((image) => image.complete && image.naturalWidth);
  return ready && images.map((image) => new URL(image.currentSrc).searchParams.get('recipe'));
})()"""
# Checkpoint and recipe of the large image of the view Over time, once it is there.
MOMENT = """(() => {
  const image = [...document.querySelectorAll('.stage img.picture')].at(-1);
  if (!image?.complete || !image.naturalWidth) return false;
  const at = new URL(image.currentSrc).searchParams;
  return [at.get('network'), at.get('recipe')];
})()"""
# Number of checkpoints that the view Over time shows, once all are drawn.
MOMENTS = """(() => {
  const all = [...document.querySelectorAll('.moments button')];
  return window.did_handshake && all.every((each) => {
    const image = each.querySelector('img');
    return image.complete && image.naturalWidth && !each.classList.contains('waiting');
  }) && all.length;
})()"""


def visit(opened, url):
    """Open the view of one image, at the start unless the address names a recipe."""
    opened.events.clear()
    opened.open(url if "?" in url else f"{url}?view=image")
    opened.wait_until(SETTLED)


def visit_samples(opened, url):
    opened.open("about:blank")  # a page whose server has gone asks for it again and again
    opened.events.clear()
    opened.open(url)
    opened.wait_until(DRAWN)


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


def pixels(page, image="img.picture"):
    """Pixels of an image, once it has some: the page may just have given it another address."""
    script = """(() => {
      const image = document.querySelector('IMAGE');
      if (!image.naturalWidth) return null;
      const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    })()"""
    shown = np.array(page.wait_until(script.replace("IMAGE", image)), np.uint8)
    shown = shown.reshape(32, 32, 4)
    return shown[:, :, :3]


def focus(page, label):
    page.run(f"document.querySelector('[aria-label=\"{label}\"]').focus()")


def click(page, label):
    """Click what is labelled so, once it is there: a busy server draws it after the page."""
    named = f"document.querySelector('[aria-label=\"{label}\"]')"
    page.wait_until(f"{named} !== null")
    page.run(f"{named}.click()")


def drag(page, label, value):
    """Put a slider's thumb somewhere, as the mouse would."""
    page.run(
        f"(() => {{ const thumb = document.querySelector('input[aria-label=\"{label}\"]');"
        f" thumb.value = {value}; thumb.dispatchEvent(new Event('input')) }})()"
    )


def download_to(page, folder):
    """Let what is downloaded from now on come into this folder."""
    for domain in ("Browser", "Page"):
        page.ask(f"{domain}.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.events.clear()


def wait_for_download(page):
    page.wait_for("Page.downloadProgress", state="completed")


def check_access(page):
    """WCAG AA holds in both themes, and nothing is cut off from a desk's width to 400 % of zoom."""
    for mode in ("light", "dark"):
        medium = [{"name": "prefers-color-scheme", "value": mode}]
        page.ask("Emulation.setEmulatedMedia", features=medium)
        for width in (1280, 768, 390, 320):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            page.ask("Emulation.setDeviceMetricsOverride", **size)
            page.wait_until("document.getAnimations().length === 0")
            assert page.run("document.documentElement.scrollWidth") <= width
            if width in (1280, 320):
                assert page.violations() == [], (mode, width)
    page.ask("Emulation.setEmulatedMedia", features=[])
    page.ask("Emulation.clearDeviceMetricsOverride")


def button_of(text):
    found = f".find(button => button.textContent.includes('{text}'))"
    return "[...document.querySelectorAll('button')]" + found


def press_button(page, text):
    page.run(f"{button_of(text)}.click()")


ACTS = ("click", "click", "click", "slide", "slide", "key", "key", "type", "back", "forward")
ARROWS = ("ArrowLeft", "ArrowRight", "ArrowDown")
KEYS = ("r", "k", "k", "p", "u", "U", "1", "2", "3", "4", "?", "Escape", *ARROWS, " ")
# What can be clicked, but for copying and choosing files, which a browser without a window forbids.
CLICKED = """((k) => {
  const found = [...document.querySelectorAll('button, [role=option], [role=switch], input')];
  const open = found.filter(
    (each) => each.checkVisibility({visibilityProperty: true}) && !each.disabled
      && !['range', 'number', 'file'].includes(each.type) && !/^Copy/.test(each.ariaLabel ?? ''));
  open[k % open.length].click();
})"""
SLID = """((k, share) => {
  const found = [...document.querySelectorAll('input[type=range]')].filter(
    (each) => each.checkVisibility());
  if (!found.length) return;
  const thumb = found[k % found.length];
  thumb.value = Number(thumb.min) + share * (thumb.max - thumb.min);
  thumb.dispatchEvent(new Event('input'));
})"""
TYPED = """((k, seed) => {
  const found = [...document.querySelectorAll('input[type=number]')].filter(
    (each) => each.checkVisibility());
  if (!found.length) return;
  const field = found[k % found.length];
  field.value = seed;
  field.dispatchEvent(new Event('input'));
})"""


def act_at_random(page, draws):
    """Do one thing that a visitor may do, by a `random.Random`; says what."""
    kind, number = draws.choice(ACTS), draws.randrange(10**6)
    if kind == "click":
        page.run(f"{CLICKED}({number})")
    elif kind == "slide":
        page.run(f"{SLID}({number}, {draws.random()})")
    elif kind == "type":
        page.run(f"{TYPED}({number}, {draws.choice([0, 3, 77, -1, 10**12])})")
    elif kind == "key":
        key = draws.choice(KEYS)
        page.press(key)
        return f"key {key}"
    elif kind == "back":  # by the page's own button: Back might lead out of the page
        page.run("document.querySelector('.history button').click()")
    else:
        page.run("history.forward()")
    return f"{kind} {number}"
