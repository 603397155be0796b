"""Images by recipe: drawn off the event loop, one at a time, the last ones kept."""

import asyncio
import shlex
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, draw_recipe
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError, is_out_of_memory

KEPT = 32  # images


def file_name(recipe: Recipe) -> str:
    """Name of the file that an image is downloaded as."""
    return f"seed-{recipe.seed}.png"


def address(recipe: Recipe) -> str:
    """Address of the image of a recipe."""
    return "image?" + urlencode({"recipe": shlex.join(recipe.words())})


class Studio:
    """Draws for every tab."""

    def __init__(self, subject: OpenedGenerator, source: GeneratorSource) -> None:
        self.subject = subject
        self.source = source
        self.network = sha256_of(subject.file)
        self._kept: OrderedDict[Recipe, bytes] = OrderedDict()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="draw")

    def command(self, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""
        return self.source.command(recipe, file_name(recipe))

    async def png(self, recipe: Recipe) -> bytes:
        """Image of a recipe as PNG; UserError where the network cannot draw it."""
        if recipe not in self._kept:
            loop = asyncio.get_running_loop()
            self._kept[recipe] = await loop.run_in_executor(self._worker, self._draw, recipe)
        self._kept.move_to_end(recipe)
        data = self._kept[recipe]
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return data

    def close(self) -> None:
        """Finish the current image, and drop the others."""
        self._worker.shutdown(cancel_futures=True)

    def _draw(self, recipe: Recipe) -> bytes:
        try:
            return png_of(draw_recipe(recipe, self.subject), self.command(recipe))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError("out of memory: end other programs, and change something") from error


class Easel:
    """Queue of one tab: while an image is drawn, only the newest other recipe is kept.

    `show` is called with each recipe whose image is there, `fail` with an error message.
    """

    def __init__(
        self,
        draw: Callable[[Recipe], Awaitable[object]],
        show: Callable[[Recipe], None],
        fail: Callable[[str], object],
    ) -> None:
        self._draw, self._show, self._fail = draw, show, fail
        self._wanted: Recipe | None = None
        self._busy = False

    async def want(self, recipe: Recipe) -> bool:
        """Show a recipe's image, unless a newer one is requested before its turn.

        True when nothing is left to draw; False at once where an image is being drawn.
        """
        self._wanted = recipe
        if self._busy:
            return False
        self._busy = True
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
        return True
