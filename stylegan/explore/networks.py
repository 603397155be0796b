"""The networks of a server: the first, one to compare it with, and the checkpoints of a run.

Checkpoints are opened when they are drawn, the last few networks kept. All are drawn in the thread
of the first.
"""

import asyncio
import shlex
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from stylegan.checkpoint import checkpoints_in
from stylegan.explore.jobs import Rank
from stylegan.explore.studio import (
    Shelf,
    Studio,
    address,
    check_shared,
    file_name,
    leading,
    shared_recipe,
)
from stylegan.png import png_of
from stylegan.sample.difference import Levels, difference, enlarged, read_png
from stylegan.sample.drawing import OpenedGenerator, draw_recipe, open_generator
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.errors import UserError

Opened = tuple[OpenedGenerator, GeneratorSource]
SECOND = "second"  # key of the second network
TIMES = (1, 4, 16)  # as large as the difference is shown
_TIMES = "--times"  # of a state, before the recipe
LOADED = 3  # networks in memory, beside the first one of the server
LEAST = 2  # checkpoints that a view of them needs


class Second:
    """The second network."""

    key = SECOND

    def __init__(self, opened: Opened, studio: Studio) -> None:
        self.subject, self._source = opened
        self._studio = studio
        self._kept = Shelf()

    def command(self, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""
        return self._source.command(recipe, file_name(recipe, self.key))

    async def png(self, recipe: Recipe, rank: Rank = Rank.SHOWN) -> bytes:
        """Image of a recipe as PNG; UserError where the network cannot draw it."""
        check_shared(recipe)
        return await self._studio.shelved(self._kept, recipe, partial(self._draw, recipe), rank)

    def _draw(self, recipe: Recipe) -> bytes:
        return png_of(draw_recipe(recipe, self.subject), self.command(recipe))


class Pair:
    """Two networks to compare."""

    def __init__(self, first: Studio, second: Second) -> None:
        self.both: Sequence[Studio | Second] = (first, second)

    async def difference(self, recipe: Recipe) -> Levels:
        """Difference of the two images of a recipe, [S, S, C]."""
        first, second = [await network.png(recipe) for network in self.both]
        names = [str(network.subject.ckpt) for network in self.both]

        def found() -> Levels:
            return difference(read_png(first, names[0]), read_png(second, names[1]))

        return await asyncio.to_thread(found)

    def size_note(self) -> str:
        """Note on how images of two sizes are compared; "" if they have one size."""
        sizes = [network.subject.painter.network.resolution for network in self.both]
        if sizes[0] == sizes[1]:
            return ""
        return f"compared at {min(sizes)}x{min(sizes)}, the larger image averaged over areas"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A recipe that a pair draws, and how strong the difference is shown."""

    recipe: Recipe
    times: int = TIMES[0]

    @classmethod
    def parse(cls, words: str, pair: Pair) -> "Comparison":
        """Read a state; UserError where one of the networks cannot draw it."""
        times, rest = leading(_TIMES, words)
        if times and times not in map(str, TIMES):
            raise UserError(f"{_TIMES} must be one of {', '.join(map(str, TIMES))}, not {times!r}")
        recipe = shared_recipe(rest, [network.subject for network in pair.both])
        return cls(recipe=recipe, times=int(times or TIMES[0]))

    def __str__(self) -> str:
        times = f"{_TIMES} {self.times} " if self.times != TIMES[0] else ""
        return times + str(self.recipe)

    @property
    def address(self) -> str:
        """Address of the picture of the difference."""
        return "difference?" + urlencode({"times": self.times, "recipe": str(self.recipe)})

    @property
    def file_name(self) -> str:
        """Name of the file of the difference."""
        return file_name(self.recipe, "difference")

    @property
    def command(self) -> str:
        """Command that writes the difference of the two downloaded images."""
        times = [_TIMES, str(self.times)] if self.times != 1 else []
        files = [file_name(self.recipe), file_name(self.recipe, SECOND), self.file_name]
        return shlex.join(["stylegan-sample", "difference", *times, *files])

    async def png(self, pair: Pair) -> bytes:
        """Picture of the difference, black where there is none."""
        levels = await pair.difference(self.recipe)
        picture = await asyncio.to_thread(enlarged, levels, self.times)
        return png_of(picture, self.command)


class Stamp(NamedTuple):
    """A checkpoint's file as it is now: a training that was resumed may write it again."""

    key: str
    changed: int  # ns
    size: int  # bytes


def kimg_word(key: str) -> str:
    """Thousands of images shown, from what names of files call them.

    >>> kimg_word("000036_032"), kimg_word("025000")
    ('kimg 36.032', 'kimg 25000')
    """
    kimg, _, rest = key.partition("_")
    return f"kimg {int(kimg)}" + f".{rest}".rstrip("0").rstrip(".")


def changes(before: Sequence[Stamp], now: Sequence[Stamp]) -> str:
    """Words on new, changed and removed checkpoints; "" if there are none.

    >>> changes([Stamp("1", 0, 9), Stamp("2", 0, 9)], [Stamp("2", 5, 9), Stamp("3", 5, 9)])
    '1 new, 1 gone, 1 written again'
    """
    old, new = ({stamp.key: stamp for stamp in stamps} for stamps in (before, now))
    counts = {
        "new": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
        "written again": sum(old[key] != new[key] for key in old.keys() & new.keys()),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


class Run:
    """A run's folder."""

    def __init__(self, folder: Path, studio: Studio) -> None:
        self.folder = folder
        self._studio = studio
        self._networks: OrderedDict[Stamp, OpenedGenerator] = OrderedDict()
        self._kept = Shelf()

    @property
    def loaded(self) -> list[str]:
        """Keys of the networks in memory, the last one drawn last."""
        return [stamp.key for stamp in self._networks]

    def keys(self) -> list[str]:
        """Checkpoints that are there now, oldest first, as addresses and file names have them."""
        try:
            paths = checkpoints_in(self.folder)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be read any more: {error.strerror}") from error
        return [path.stem.removeprefix("checkpoint-") for path in paths]

    @property
    def is_there(self) -> bool:
        """Whether a checkpoint is."""
        with suppress(UserError):
            return bool(self.stamps())
        return False

    def stamps(self) -> list[Stamp]:
        """As `keys`, with what tells a checkpoint from an earlier one of the same name."""
        stamps = map(self._stamp, self.keys())
        return [stamp for stamp in stamps if stamp is not None]

    def address(self, stamp: Stamp, recipe: Recipe) -> str:
        """Address of an image, which no browser takes for one of an earlier checkpoint."""
        return f"{address(recipe, stamp.key)}&written={stamp.changed}"

    def command(self, key: str, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""
        folder = self.folder
        if folder.is_absolute() and folder.parent == Path.cwd():
            folder = Path(folder.name)  # no folder of the machine that was not typed
        source = replace(self._studio.source, ckpt=folder / _name(key), directions=None)
        return source.command(recipe, file_name(recipe, key))

    async def png(self, key: str, recipe: Recipe, rank: Rank = Rank.SHOWN) -> bytes:
        """Image of a recipe by a checkpoint; UserError where it has gone or cannot draw it."""
        check_shared(recipe)
        stamp = self._stamp(key) if key in self.keys() else None
        if stamp is None:
            gone = f"{_name(key)!s:.60} is not in {self.folder} (any more): look again"
            raise UserError(gone)
        draw = partial(self._draw, stamp, recipe)
        return await self._studio.shelved(self._kept, (stamp, recipe), draw, rank)

    def _stamp(self, key: str) -> Stamp | None:
        """None where the checkpoint has just gone."""
        try:
            status = (self.folder / _name(key)).stat()
        except FileNotFoundError:
            return None
        return Stamp(key, status.st_mtime_ns, status.st_size)

    def _draw(self, stamp: Stamp, recipe: Recipe) -> bytes:
        image = draw_recipe(recipe, self._network(stamp))
        return png_of(image, self.command(stamp.key, recipe))

    def _network(self, stamp: Stamp) -> OpenedGenerator:
        """The network of a checkpoint; called in the one thread that draws."""
        if stamp not in self._networks:
            while len(self._networks) >= LOADED:  # before: memory may be short
                self._networks.popitem(last=False)
            device = self._studio.subject.painter.device
            path = self.folder / _name(stamp.key)
            self._networks[stamp] = open_generator(path, device, None)
        self._networks.move_to_end(stamp)
        return self._networks[stamp]


def _name(key: str) -> str:
    return f"checkpoint-{key}.pt"


class Networks:
    """One network, or two to compare; and the run that the first is the newest checkpoint of."""

    def __init__(self, opened: Sequence[Opened]) -> None:
        self.studio = Studio(*opened[0])
        self.pair: Pair | None = None
        if len(opened) > 1:
            self.pair = Pair(self.studio, Second(opened[1], self.studio))
        folder = self.studio.subject.ckpt
        several = folder.is_dir() and len(checkpoints_in(folder)) >= LEAST
        self.run = Run(folder, self.studio) if several else None

    async def png(self, key: str, recipe: Recipe) -> bytes:
        """Image of a recipe by the network of a key."""
        if not key:
            return await self.studio.png(recipe)
        if key == SECOND and self.pair is not None:
            return await self.pair.both[1].png(recipe)
        if key != SECOND and self.run is not None:
            return await self.run.png(key, recipe)
        raise UserError(f"no network {key!r:.60} is served here")
