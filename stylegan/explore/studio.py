"""Recipes of addresses and their images: drawn off the event loop, the last images kept."""

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlencode

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.explore.jobs import Filmer, Projector, Rank, Turns, or_too_large
from stylegan.explore.uploads import HeldWs, Uploads, file_name_of
from stylegan.png import png_of
from stylegan.sample.directions import (
    COMPONENTS,
    components_of,
    covariance_in,
    is_component,
    sample_of,
)
from stylegan.sample.drawing import OpenedGenerator, check_fits, draw_recipe
from stylegan.sample.options import parse_recipe
from stylegan.sample.painter import Painter, class_number
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import Directions

T = TypeVar("T")
KEPT = 128  # images, if they fit
ROOM = 64 << 20  # bytes of all that are kept
QUICK = 0.1
"""Images are drawn ahead only if one takes at most this many seconds: a visitor may be waiting."""


def file_name(recipe: Recipe, network: str = "") -> str:
    """Name of the file that an image is downloaded as; `network` as in `address`."""
    name = f"w-{recipe.saved}" if recipe.saved else f"seed-{recipe.seed}"
    return f"{name}-{network}.png" if network else f"{name}.png"


def address(recipe: Recipe, network: str = "") -> str:
    """Address of the image of a recipe; `network`: key of another than the first one."""
    named = {"network": network} if network else {}
    return "image?" + urlencode(named | {"recipe": str(recipe)})


def leading(option: str, words: str) -> tuple[str, str]:
    """Value of an option that may stand before a recipe, "" where it does not; and the rest.

    >>> leading("--times", "--times 4 --seed 1"), leading("--times", "--seed 1")
    (('4', '--seed 1'), ('', '--seed 1'))
    """
    found = re.fullmatch(rf"{option} (\S+) ?(.*)", words)
    return (found[1], found[2]) if found else ("", words)


def shared_recipe(words: str, subjects: Iterable[OpenedGenerator]) -> Recipe:
    """The recipe of an address that all of some networks draw; UserError where one cannot."""
    recipe = parse_recipe(words)
    check_shared(recipe)
    for subject in subjects:
        check_fits(recipe, subject)
    return recipe


def check_shared(recipe: Recipe) -> None:
    """Refuse what is of one network alone, and is something else in another."""
    if recipe.moves:
        raise UserError("directions are of one network: leave --move out for several")
    if recipe.saved:
        raise UserError("a w is of one network: leave --ws out for several")


class Shelf:
    """The last images, by recipe: `KEPT` at most, in `ROOM` bytes, but always the newest.

    Of several networks the keys name the network as well.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    def get(self, recipe: Hashable) -> bytes | None:
        """The image of a recipe, which becomes the newest; None if it is not kept."""
        with self._lock:
            data = self._images.get(recipe)
            if data is not None:
                self._images.move_to_end(recipe)
            return data

    def drawn(self, recipe: Hashable, draw: Callable[[], bytes]) -> bytes:
        """The image of a recipe, drawn unless it was requested before."""
        data = self.get(recipe)
        if data is None:
            data = draw()
            self.put(recipe, data)
        return data

    def put(self, recipe: Hashable, data: bytes) -> None:
        """Keep an image that is not kept yet."""
        with self._lock:
            self._images[recipe] = data
            self._bytes += len(data)
            while len(self._images) > KEPT or (self._bytes > ROOM and len(self._images) > 1):
                self._bytes -= len(self._images.popitem(last=False)[1])


class Studio:
    """Draws the first network for every tab, and has the thread in which all are drawn.

    `subject` gets directions, and `source` their name, when a tab has its components found.
    """

    key = ""  # In addresses and names of files

    def __init__(self, subject: OpenedGenerator, source: GeneratorSource) -> None:
        self.subject = subject
        self.source = source
        self.network = sha256_of(subject.file)  # as opened: a training may have replaced it later
        self._kept = Shelf()
        self._turns = Turns()
        self.held = HeldWs()
        self.projector = Projector(subject.painter)
        self.uploads = Uploads(subject.painter, self.held)
        self.filmer = Filmer()
        self._seconds = math.inf  # that the last image took

    async def recipe_of(self, words: str) -> Recipe:
        """The recipe of an address or of the browser's storage; UserError where it cannot be drawn.

        One that moves along components has them found, as after a new start of the server.
        """
        recipe = parse_recipe(words)
        if any(is_component(move.name) for move in recipe.moves) and self.subject.painter.maps:
            await self.find_components()
        check_fits(recipe, self.subject)
        if recipe.saved:
            self.held.get(recipe.saved)
        return recipe

    async def readable(self, words: str) -> Recipe | None:
        """As `recipe_of`; None where it cannot be drawn."""
        with suppress(UserError):
            return await self.recipe_of(words)
        return None

    def command(self, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""
        saved = (Path(file_name_of(recipe.saved)), 0) if recipe.saved else None
        return self.source.command(recipe, file_name(recipe), saved=saved)

    @cached_property
    def sample(self) -> NDArray[np.float32] | None:
        """W [N, D] of many latents, where there is a W; takes seconds, so `compute` with it."""
        return sample_of(self.subject.painter)

    async def compute(self, job: Callable[[], T], rank: Rank = Rank.SHOWN) -> T:
        """Do what needs a network when no image is being drawn."""
        return await self._turns.run(partial(or_too_large, job), rank)

    async def find_components(self) -> None:
        """Give a network without directions its principal components, for all pages."""
        subject = self.subject

        def find() -> Directions:
            covariance = covariance_in(self.sample, subject.file)
            return components_of(covariance, self.network, subject.description)

        if subject.directions is None:
            found = await self.compute(find)
            self.subject = replace(subject, directions=found)
            self.source = replace(self.source, directions=COMPONENTS)

    def painter_of(self, look: Recipe) -> Painter:
        """Painter of many samples, of the class that a recipe names, if any."""
        painter = copy(self.subject.painter)
        if look.number is not None:
            number = class_number(look.number, painter, self.subject.ckpt)
            painter.label_rows = painter.one_hot([number])
        return painter

    def start_of(self, recipe: Recipe) -> Tensor | None:
        """The w that a recipe names, [1, L, D]; None of one that starts from a seed."""
        if not recipe.saved:
            return None
        return torch.from_numpy(self.held.get(recipe.saved)).to(self.subject.painter.device)

    async def png(self, recipe: Recipe, rank: Rank = Rank.SHOWN) -> bytes:
        """Image of a recipe as PNG; UserError where the network cannot draw it."""
        return await self.shelved(self._kept, recipe, partial(self._draw, recipe), rank)

    async def shelved(
        self, shelf: Shelf, key: Hashable, draw: Callable[[], bytes], rank: Rank
    ) -> bytes:
        """The entry of a shelf by its key, drawn first if it is missing."""
        kept = shelf.get(key)
        return kept if kept else await self.compute(partial(shelf.drawn, key, draw), rank)

    async def each(self, items: Iterator[T]) -> list[T]:
        """All items, none of which is None: one in a turn, so that who looks at one goes first."""
        done: list[T] = []
        step = partial(or_too_large, partial(next, items, None))
        while (item := await self._turns.run(step, Rank.SHEET)) is not None:
            done.append(item)
        return done

    def in_turn(self, items: Iterator[T]) -> Iterator[T]:
        """As `each`, but as they come: for a thread that is not the event loop's."""
        step = partial(or_too_large, partial(next, items, None))
        while (item := self._turns.submit(step, Rank.SHEET).result()) is not None:
            yield item

    def ahead(self, recipes: Iterable[Recipe]) -> list[Future[bytes]]:
        """Draw images ahead while the worker is idle, if an image takes little time."""
        if self._seconds > QUICK:
            return []
        jobs = [
            partial(self._kept.drawn, recipe, partial(self._draw, recipe))
            for recipe in recipes
            if self._kept.get(recipe) is None
        ]
        return [self._turns.submit(job, Rank.AHEAD) for job in jobs]

    def close(self) -> None:
        """Finish the current image, and drop the others."""
        self.projector.close()
        self.filmer.close()
        self._turns.close()

    def _draw(self, recipe: Recipe) -> bytes:
        begun = time.perf_counter()
        image = draw_recipe(recipe, self.subject, self.start_of(recipe))
        data = png_of(image, self.command(recipe))
        self._seconds = time.perf_counter() - begun
        return data


class Easel(Generic[T]):
    """Queue of one tab: while an image is drawn, only the newest other recipe is kept.

    `show` is called with each recipe whose image is there, `fail` with an error message, and
    `wait` with whether an image is awaited. In place of recipes there may be whatever says what is
    drawn.
    """

    def __init__(
        self,
        draw: Callable[[T], Awaitable[object]],
        show: Callable[[T], None],
        fail: Callable[[str], object],
        wait: Callable[[bool], None],
    ) -> None:
        self._draw, self._show, self._fail, self._wait = draw, show, fail, wait
        self._wanted: T | None = None
        self._busy = False

    async def want(self, recipe: T) -> bool:
        """Show a recipe's image, unless a newer one is requested before its turn.

        True when nothing is left to draw; False at once where an image is being drawn.
        """
        self._wanted = recipe
        if self._busy:
            return False
        self._busy = True
        self._wait(self._busy)
        try:
            while self._wanted is not None:
                recipe, self._wanted = self._wanted, None
                try:
                    await self._draw(recipe)
                except UserError as error:
                    self._fail(str(error))
                except Exception as error:  # told in the page as well; raised for the server's log
                    self._fail(f"unexpected error, told where the server runs: {error!r:.200}")
                    raise
                else:
                    self._show(recipe)
        finally:
            self._busy = False
            self._wait(self._busy)
        return True
