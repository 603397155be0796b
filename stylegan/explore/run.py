"""The checkpoints of a run: opened when they are drawn, the last few networks kept."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stylegan.checkpoint import checkpoints_in
from stylegan.explore.jobs import Rank
from stylegan.explore.studio import Shelf, Studio, address, check_shared, file_name
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, draw_recipe, open_generator
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

LOADED = 3  # networks in memory, beside the first one of the server
LEAST = 2  # checkpoints that a view of them needs


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
    """A run's folder, drawn in the thread of the first network."""

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


def run_of(studio: Studio) -> Run | None:
    """The run whose folder the first network was named by, if it has several checkpoints."""
    folder = studio.subject.ckpt
    several = folder.is_dir() and len(checkpoints_in(folder)) >= LEAST
    return Run(folder, studio) if several else None


def _name(key: str) -> str:
    return f"checkpoint-{key}.pt"
