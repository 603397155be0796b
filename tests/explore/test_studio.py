"""Who gets which image when: one at a time, the newest wish first, the last ones kept."""

import asyncio
import io
import shutil
import threading
import zipfile

import pytest
import torch

from stylegan.explore import sheets
from stylegan.explore import studio as studio_file
from stylegan.explore.jobs import Rank, Turns
from stylegan.explore.studio import KEPT, Easel, Shelf, address
from stylegan.png import png_of, texts_of
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import GeneratorSource, Mix, Recipe
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from tests.explore.networks import CPU


class Painter:
    """Draws when told to."""

    def __init__(self):
        self.begun, self.shown, self.failed, self.waits = [], [], [], []
        self.gates = {}

    async def draw(self, recipe):
        self.begun.append(recipe.seed)
        if recipe.seed in self.gates:
            await self.gates[recipe.seed].wait()
        if recipe.seed == 13:
            raise UserError("no 13")

    def show(self, recipe):
        self.shown.append(recipe.seed)

    def easel(self):
        return Easel(self.draw, self.show, self.failed.append, self.waits.append)


def test_of_wishes_that_come_while_it_draws_the_newest_is_drawn():
    async def play():
        painter = Painter()
        painter.gates[0] = asyncio.Event()
        easel = painter.easel()
        first = asyncio.create_task(easel.want(Recipe(seed=0)))
        await asyncio.sleep(0)
        assert painter.begun == [0]
        assert [await easel.want(Recipe(seed=seed)) for seed in (1, 2, 3)] == [False] * 3
        painter.gates[0].set()
        assert await first
        return painter

    painter = asyncio.run(play())
    assert painter.begun == painter.shown == [0, 3]
    assert painter.waits == [True, False]


def test_what_cannot_be_drawn_is_told_and_the_next_is_drawn():
    async def play():
        painter = Painter()
        easel = painter.easel()
        assert await easel.want(Recipe(seed=13))
        assert await easel.want(Recipe(seed=1))
        return painter

    painter = asyncio.run(play())
    assert (painter.failed, painter.shown) == (["no 13"], [1])


def test_an_easel_that_broke_draws_again():
    async def play():
        shown = []

        async def draw(recipe):
            if recipe.seed == 0:
                raise OSError("the disk is gone")

        easel = Easel(draw, shown.append, shown.append, lambda _: None)
        with pytest.raises(OSError, match="gone"):
            await easel.want(Recipe(seed=0))
        assert await easel.want(Recipe(seed=1))
        return shown

    told, recipe = asyncio.run(play())
    assert told.startswith("unexpected error")
    assert "the disk is gone" in told
    assert recipe == Recipe(seed=1)


def test_images_are_those_of_the_command_whatever_else_is_asked_for(studio):
    recipes = [Recipe(seed=seed, psi=0.5) for seed in range(KEPT + 3)]

    async def ask():
        return await asyncio.gather(*(studio.png(recipe) for recipe in [*recipes, recipes[0]]))

    made = asyncio.run(ask())
    for recipe, data in zip([*recipes, recipes[0]], made, strict=True):
        assert data == png_of(draw_recipe(recipe, studio.subject), studio.command(recipe))
    assert len(studio._kept) == KEPT


def test_refusals_reach_who_asked(studio):
    with pytest.raises(UserError, match="layers 0 to 7"):
        asyncio.run(studio.png(Recipe(mix=Mix(seed=1, first=0, last=8))))


def test_an_image_that_memory_is_too_small_for_is_told(studio):
    network = studio.subject.painter.network
    network.g.register_forward_pre_hook(lambda *_: torch.empty(2**62, dtype=torch.uint8))
    with pytest.raises(UserError, match="out of memory"):
        asyncio.run(studio.png(Recipe()))


@pytest.mark.parametrize(("kind", "step"), [("grid", "laid_out"), ("zip", "_zipped")])
def test_a_large_file_is_put_together_while_the_page_answers(kind, step, studio, monkeypatch):
    threads = []

    def too_large(*_):
        threads.append(threading.current_thread())
        raise MemoryError

    monkeypatch.setattr(sheets, step, too_large)
    sheet = sheets.Sheet.parse("0-1", Recipe(), studio.subject)
    with pytest.raises(UserError, match="out of memory"):
        asyncio.run(sheets.content(kind, sheet, studio))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_files_name_the_network_that_was_opened_whatever_becomes_of_its_file(files, tmp_path):
    network = tmp_path / "network.safetensors"
    shutil.copy(files["F"], network)
    digest, subject = sha256_of(network), open_generator(network, CPU, None)
    made = studio_file.Studio(subject, GeneratorSource(ckpt=network, device="cpu"))
    network.unlink()
    sheet = sheets.Sheet.parse("3", Recipe(), subject)
    data = asyncio.run(sheets.content("zip", sheet, made))
    asyncio.run(made.find_components())
    made.close()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    assert texts_of(tmp_path / "seed0003.png")[1] == digest
    assert made.subject.directions.generator_digest == digest


def test_the_address_of_an_image_holds_its_recipe():
    import shlex
    from urllib.parse import parse_qs, urlsplit

    recipe = parse_recipe(["--seed", "3", "--mix", "8:2-5", "--move", "a b&c=1.5"])
    (words,) = parse_qs(urlsplit(address(recipe)).query)["recipe"]
    assert parse_recipe(shlex.split(words)) == recipe


def test_jobs_have_their_turn_by_rank_and_in_order_of_arrival():
    turns, begun, gate, done = Turns(), threading.Event(), threading.Event(), []
    first = turns.submit(lambda: begun.set() or gate.wait(), Rank.AHEAD)
    assert begun.wait(60)
    wanted = [
        turns.submit(lambda name=name: done.append(name), rank)
        for name, rank in [
            ("ahead", Rank.AHEAD),
            ("tile 1", Rank.SHEET),
            ("dropped", Rank.SHOWN),
            ("tile 2", Rank.SHEET),
            ("shown", Rank.SHOWN),
        ]
    ]
    assert wanted[2].cancel()
    gate.set()
    for job in (first, *wanted[:2], *wanted[3:]):
        job.result(timeout=60)
    assert done == ["shown", "tile 1", "tile 2", "ahead"]
    turns.close()


def test_a_job_that_fails_is_told_and_the_next_is_done():
    turns = Turns()

    async def play():
        with pytest.raises(ZeroDivisionError):
            await turns.run(lambda: 1 / 0, Rank.SHOWN)
        return await turns.run(lambda: 3, Rank.SHOWN)

    assert asyncio.run(play()) == 3
    turns.close()


def test_what_is_kept_has_a_limit_in_bytes(monkeypatch):
    monkeypatch.setattr(studio_file, "ROOM", 10)
    shelf = Shelf()
    for seed, size in [(0, 4), (1, 4), (2, 4), (3, 40)]:
        shelf.put(Recipe(seed=seed), b"x" * size)
        kept = [k for k in range(4) if shelf.get(Recipe(seed=k))]
        assert kept == {0: [0], 1: [0, 1], 2: [1, 2], 3: [3]}[seed]
