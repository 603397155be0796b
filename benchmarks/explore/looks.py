"""Each view of stylegan-explore beside the images that its address describes."""

import base64
import io
import json
import random
import shlex
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan.explore.matrix import Matrix
from stylegan.explore.studio import leading
from stylegan.explore.views.mixing import DESTINATIONS, SOURCES
from stylegan.explore.views.samples import COUNT
from stylegan.sample.drawing import OpenedGenerator, draw_recipe, draw_ws
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from tests.browser import PATIENCE, Browser

Address = Mapping[str, str]  # values of its query
Networks = Mapping[str, OpenedGenerator]  # by their keys in addresses of images; "" is the first


@dataclass(frozen=True, kw_only=True)
class Look:
    """A view: a row of `LOOKS`."""

    images: str  # Selector of the images that it shows
    recipes: Callable[[Address, OpenedGenerator], Sequence[Recipe] | None]
    """Recipes of all images, in their order; None where the address does not say."""
    network: Callable[[Address], str | None] = lambda _: ""
    """Key of the network that draws them; None where the address does not say."""


def _samples(address: Address, _: OpenedGenerator) -> Sequence[Recipe]:
    words = shlex.split(address.get("sheet", "--seed 0 --psi 0.7"))
    first = parse_recipe(words).seed
    return [parse_recipe(["--seed", str(first + k), *words[2:]]) for k in range(COUNT)]


def _image(address: Address, _: OpenedGenerator) -> Sequence[Recipe]:
    return [parse_recipe(shlex.split(address.get("recipe", "")))]


def _mixing(address: Address, subject: OpenedGenerator) -> Sequence[Recipe]:
    start = Matrix(
        sources=tuple(SOURCES),
        destinations=tuple(DESTINATIONS),
        layers="coarse",
        look=Recipe(psi=0.7),
    )
    words = address.get("mixing")
    matrix = Matrix.parse(shlex.split(words), subject) if words else start
    return [tile.recipe for tile in matrix.tiles(subject.num_layers)]


def _film(address: Address, _: OpenedGenerator) -> Sequence[Recipe] | None:
    if "film" not in address:  # all that the browser keeps
        return None
    words = shlex.split(address["film"])
    pairs = pairwise(words)
    return [parse_recipe(shlex.split(text)) for word, text in pairs if word == "--recipe"]


def _compare(address: Address, _: OpenedGenerator) -> Sequence[Recipe]:
    words = leading("--times", address.get("compare", ""))[1]
    return 2 * [parse_recipe(shlex.split(words))]


def _over_time(address: Address, _: OpenedGenerator) -> Sequence[Recipe]:
    words = leading("--at", address.get("time", ""))[1]
    return [parse_recipe(shlex.split(words))]


def _checkpoint(address: Address) -> str | None:
    return leading("--at", address.get("time", ""))[0] or None


def _project(_address: Address, _: OpenedGenerator) -> None:
    return None


# By the names of the views.
LOOKS: dict[str, Look] = {
    "samples": Look(images=".sheet:not(.matrix) .tile img", recipes=_samples),
    "image": Look(images=".stage img.picture", recipes=_image),
    "mixing": Look(images=".matrix .tile img", recipes=_mixing),
    "film": Look(images=".frames img", recipes=_film),
    "inside": Look(images=".inside img.picture", recipes=_image),
    "project": Look(images=".pair figure:last-child img[src]", recipes=_project),
    "compare": Look(
        images=".compared figure:not(:last-child) img.picture",
        recipes=_compare,
        network=lambda _: None,
    ),
    "time": Look(images=".over-time .stage img.picture", recipes=_over_time, network=_checkpoint),
}
OPEN = "document.querySelector('[role=tab][aria-selected=true]').id.slice('tab-'.length)"
# What a settled view shows: how many images, and of one of them recipe and pixels; null before.
_SEEN = """((selector, k) => {
  const seen = (image) => image.checkVisibility();
  const images = [...document.querySelectorAll(selector)].filter(seen);
  const blank = [...document.querySelectorAll(
    '.tile.waiting, .tile .blank, .frame.busy, [aria-busy=true]')];
  const ready = images.every((image) => image.complete && image.naturalWidth);
  if (blank.some(seen) || !ready) return null;
  const found = {count: images.length, query: location.search.slice(1)};
  if (!images.length) return found;
  const place = k % images.length, image = images[place];
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  const asked = new URL(image.currentSrc).searchParams;
  const recipe = asked.get('recipe'), network = asked.get('network') ?? '';
  const shape = [canvas.height, canvas.width, 4];
  return {...found, place, recipe, network, shape, data: btoa(String.fromCharCode(...data))};
})"""


def check_shown(
    browser: Browser, draws: random.Random, networks: Networks, url: str
) -> tuple[str, str]:
    """Compare an image of the open view with its recipe once it has settled.

    The view, empty where it shows no image; and what is wrong, or "".
    """
    number, deadline = draws.randrange(10**6), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        view = browser.run(OPEN)
        if view not in LOOKS:
            return "", f"no row of LOOKS is of the view {view}"
        seen = browser.run(f"{_SEEN}({json.dumps(LOOKS[view].images)}, {number})")
        if seen and _is_of_address(seen, LOOKS[view], networks[""]):
            if not seen["count"]:
                return "", ""
            return view, _difference(seen, networks, url)
        time.sleep(0.05)
    return "", "does not settle: " + browser.run("location.href")


def _is_of_address(seen: Mapping[str, Any], look: Look, subject: OpenedGenerator) -> bool:
    """Whether the images are those that the address says."""
    address = dict(parse_qsl(seen["query"]))
    recipes, network = look.recipes(address, subject), look.network(address)
    if recipes is None:
        return True
    if len(recipes) != seen["count"]:
        return False
    if not recipes:
        return True
    by_it = network is None or seen["network"] == network
    return by_it and parse_recipe(shlex.split(seen["recipe"])) == recipes[seen["place"]]


def _difference(seen: Mapping[str, Any], networks: Networks, url: str) -> str:
    data = np.frombuffer(base64.b64decode(seen["data"]), np.uint8)
    pixels = data.reshape(seen["shape"])[:, :, :3]
    subject = networks[seen["network"]]
    expected = drawn(parse_recipe(shlex.split(seen["recipe"])), subject, url)
    return "" if np.array_equal(pixels, expected) else f"another image than {seen['recipe']}"


def drawn(recipe: Recipe, subject: OpenedGenerator, url: str) -> NDArray[np.uint8]:
    """The image of a recipe, drawn in this process; a w comes from the server."""
    if not recipe.saved:
        return draw_recipe(recipe, subject)
    with urllib.request.urlopen(f"{url}w?digest={recipe.saved}") as answer:
        ws = np.load(io.BytesIO(answer.read()))
    return next(draw_ws(recipe, subject, torch.from_numpy(ws)))


_HANDED_IN = """((recipe) => {
  const input = document.querySelector('.upload input');
  if (!input?.checkVisibility() || input.disabled) return;
  const answer = fetch('image?recipe=' + encodeURIComponent(recipe));
  answer.then((each) => each.blob()).then((blob) => {
    const files = new DataTransfer();
    files.items.add(new File([blob], 'photograph.png'));
    input.files = files.files;
    input.dispatchEvent(new Event('change'));
  });
})"""


def hand_in(browser: Browser, draws: random.Random) -> None:
    """Choose a photograph where the view Project is open."""
    browser.run(f"{_HANDED_IN}('--seed {draws.randrange(100)}')")
