"""One run over time: each checkpoint's image, the slider, playing, what comes and what goes."""

import asyncio
import io
import shlex
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.explore.networks import LOADED, Networks, kimg_word
from stylegan.explore.views import VIEWS
from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.errors import UserError
from tests.explore.driving import (
    MOMENT,
    MOMENTS,
    check_access,
    click,
    focus,
    pixels,
    press_button,
    visit_samples,
)
from tests.explore.networks import CPU, write_checkpoint
from tests.explore.served import serving

# Images shown, and the level of detail that the run had grown to.
TIMES = ((400, 3.0), (800, 1.5), (1200, 0.0), (1600, 0.0), (2048, 0.0))
KEYS = ["000000_400", "000000_800", "000001_200", "000001_600", "000002_048"]
STATUS = "document.querySelector('.player [role=status]').textContent"
CURRENT = "document.querySelector('.moments [aria-current=true]').textContent.trim()"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of five checkpoints, which grows."""
    folder = tmp_path_factory.mktemp("runs") / "f32"
    folder.mkdir()
    for nimg, lod in TIMES:
        write_checkpoint(folder, nimg, lod)
    return folder


@pytest.fixture
def networks(run):
    opened = Networks([(open_generator(run, CPU, None), GeneratorSource(ckpt=run, device="cpu"))])
    yield opened
    opened.studio.close()


def expected(run, key, recipe):
    return draw_recipe(recipe, open_generator(run / f"checkpoint-{key}.pt", CPU, None))


def png(networks, key, recipe):
    data = asyncio.run(networks.png(key, recipe))
    return np.asarray(Image.open(io.BytesIO(data)))


def test_kimg_are_read_from_names():
    names = [kimg_word(key) for key in ("000000", "000036_032", "025000_500")]
    assert names == ["kimg 0", "kimg 36.032", "kimg 25000.5"]


def test_each_checkpoint_draws_and_few_stay_in_memory(run, networks):
    assert networks.run.keys() == KEYS
    recipe = Recipe(seed=7, psi=0.7)
    for key in (*KEYS, KEYS[0]):
        assert np.array_equal(png(networks, key, recipe), expected(run, key, recipe))
    assert networks.run.loaded == KEYS[-LOADED:]  # the last image had been kept
    png(networks, KEYS[0], Recipe())
    assert networks.run.loaded == [*KEYS[-LOADED + 1 :], KEYS[0]]
    for key in ("000009", "../f32/checkpoint-000001_200", "second"):
        with pytest.raises(UserError):
            asyncio.run(networks.png(key, recipe))


def test_a_checkpoint_that_is_written_again_or_goes_is_not_the_one_kept(run, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(run, folder)
    source = GeneratorSource(ckpt=folder, device="cpu")
    networks = Networks([(open_generator(folder, CPU, None), source)])
    before = png(networks, KEYS[0], Recipe())
    shutil.copy(folder / f"checkpoint-{KEYS[2]}.pt", folder / f"checkpoint-{KEYS[0]}.pt")
    after = png(networks, KEYS[0], Recipe())
    assert not np.array_equal(before, after)
    assert np.array_equal(after, png(networks, KEYS[2], Recipe()))
    (folder / f"checkpoint-{KEYS[0]}.pt").unlink()
    with pytest.raises(UserError, match=r"not in .* \(any more\): look again"):
        png(networks, KEYS[0], Recipe())
    (folder / f"checkpoint-{KEYS[1]}.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=KEYS[1]):
        png(networks, KEYS[1], Recipe())
    (view,) = (view for view in VIEWS if view.name == "time")
    assert view.offered(networks)
    for path in folder.glob("checkpoint-*.pt"):
        path.unlink()
    assert not view.offered(networks)  # to the next visitor
    folder.rmdir()
    assert not view.offered(networks)
    networks.studio.close()


def test_commands_name_no_folder_that_was_not_typed(run, monkeypatch):
    monkeypatch.chdir(run.parent)
    for typed in (Path("f32"), Path("f32").absolute()):
        source = GeneratorSource(ckpt=typed, device="cpu")
        networks = Networks([(open_generator(typed, CPU, None), source)])
        command = networks.run.command(KEYS[1], Recipe(seed=7))
        networks.studio.close()
        assert command == (
            f"stylegan-sample image --ckpt f32/checkpoint-{KEYS[1]}.pt --device cpu --seed 7"
            f" seed-7-{KEYS[1]}.png"
        )


@pytest.fixture(scope="module")
def copied(run, tmp_path_factory):
    """A copy of the run, which a test adds to and takes from."""
    return shutil.copytree(run, tmp_path_factory.mktemp("served") / "f32")


@pytest.fixture(scope="module")
def timed(copied):
    """Address of the page of a run."""
    with serving("--ckpt", copied, "--device", "cpu") as (_, url):
        yield url


def visit_time(opened, url, words="", count=5):
    opened.open("about:blank")  # a page whose server has gone asks for it again and again
    opened.events.clear()
    opened.open(f"{url}?{urlencode({'view': 'time'} | ({'time': words} if words else {}))}")
    opened.wait_until(f"{MOMENTS} === {count}")


def wait_for_moment(page, key, recipe):
    page.wait_until(f"String({MOMENT}) === '{key},{' '.join(recipe.words())}'")
    return pixels(page)


def wait_for_words(page, words):
    query = urlencode({"view": "time"} | ({"time": words} if words else {}))
    page.wait_until(f"location.search === '?{query}'")


@pytest.fixture
def over_time(timed, opened):
    """The view as it opens."""
    visit_time(opened, timed)
    return opened


def test_checkpoints_are_stepped_through_and_the_address_holds_them(over_time, timed, run):
    newest, start = KEYS[-1], Recipe()
    assert np.array_equal(wait_for_moment(over_time, newest, start), expected(run, newest, start))
    for place, key in enumerate(KEYS, 1):
        shown = pixels(over_time, f".moments li:nth-child({place}) img")
        assert np.array_equal(shown, expected(run, key, start)), key
    over_time.press("ArrowLeft")
    wait_for_moment(over_time, KEYS[3], start)
    wait_for_words(over_time, f"--at {KEYS[3]} --seed 0")
    assert over_time.run(CURRENT) == "1.6"
    over_time.run("document.querySelectorAll('.moments button')[0].click()")
    assert np.array_equal(wait_for_moment(over_time, KEYS[0], start), expected(run, KEYS[0], start))
    click(over_time, "Next seed")
    wait_for_moment(over_time, KEYS[0], Recipe(seed=1))
    over_time.wait_until(f"{MOMENTS} === 5")
    click(over_time, "Later checkpoint")
    wait_for_moment(over_time, KEYS[1], Recipe(seed=1))
    words = f"--at {KEYS[1]} --seed 1"
    wait_for_words(over_time, words)
    visit_time(over_time, timed, words)
    wait_for_moment(over_time, KEYS[1], Recipe(seed=1))
    over_time.press("ArrowRight")
    wait_for_moment(over_time, KEYS[2], Recipe(seed=1))
    over_time.run("history.back()")
    wait_for_moment(over_time, KEYS[1], Recipe(seed=1))
    press_button(over_time, "Reset")
    wait_for_moment(over_time, newest, start)
    wait_for_words(over_time, "")
    assert over_time.complaints == []
    assert all(url.startswith(timed) for url in over_time.requests)


def test_the_file_is_that_of_the_command(timed, opened, tmp_path, monkeypatch):
    visit_time(opened, timed, f"--at {KEYS[1]} --seed 7 --psi 0.7")
    wait_for_moment(opened, KEYS[1], Recipe(seed=7, psi=0.7))
    stage = "[...document.querySelectorAll('.stage')].at(-1)"
    monkeypatch.chdir(tmp_path)
    program, *args = shlex.split(opened.run(f"{stage}.querySelector('code').textContent"))
    assert program == "stylegan-sample"
    result = CliRunner().invoke(sample, args)
    assert result.exit_code == 0, result.output
    href, name = opened.run(
        f"(({{href, download}}) => [href, download])({stage}.querySelector('a'))"
    )
    assert name == args[-1] == f"seed-7-{KEYS[1]}.png"
    with urllib.request.urlopen(href) as answer:
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
        same = answer.read() == (tmp_path / name).read_bytes()
    assert same


def test_it_plays_from_the_first_to_the_last_unless_less_motion_is_asked_for(over_time):
    press_button(over_time, "Play")
    wait_for_moment(over_time, KEYS[0], Recipe())
    wait_for_moment(over_time, KEYS[-1], Recipe())
    over_time.wait_until(
        "[...document.querySelectorAll('.play')].at(-1).textContent.includes('Play')"
    )
    wait_for_words(over_time, "")
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    over_time.ask("Emulation.setEmulatedMedia", features=calm)
    assert not over_time.run("document.querySelector('.play').checkVisibility()")
    assert over_time.run("document.querySelector('.still').checkVisibility()")
    over_time.ask("Emulation.setEmulatedMedia", features=[])
    assert over_time.complaints == []


def test_everybody_can_watch_a_run(over_time):
    check_access(over_time)


def test_checkpoints_come_and_go(over_time, copied, run):
    press_button(over_time, "Look again")
    over_time.wait_until(f"{STATUS} === 'nothing new'")
    write_checkpoint(copied, 3000)  # found by the page itself
    wait_for_moment(over_time, "000003", Recipe())  # the start is the newest
    over_time.wait_until(f"{MOMENTS} === 6 && {STATUS} === '1 new'")
    over_time.press("ArrowLeft")
    wait_for_moment(over_time, KEYS[-1], Recipe())
    focus(over_time, kimg_word(KEYS[0]))
    shutil.copy(copied / f"checkpoint-{KEYS[2]}.pt", copied / f"checkpoint-{KEYS[0]}.pt")
    over_time.wait_until(f"{MOMENTS} === 6 && {STATUS} === '1 written again'")
    shown = pixels(over_time, ".moments li:nth-child(1) img")
    assert np.array_equal(shown, expected(run, KEYS[2], Recipe()))
    assert over_time.run("document.activeElement.ariaLabel") == kimg_word(KEYS[0])
    over_time.press("Enter", 13)
    shown = wait_for_moment(over_time, KEYS[0], Recipe())
    assert np.array_equal(shown, expected(run, KEYS[2], Recipe()))
    over_time.press("ArrowRight")
    wait_for_moment(over_time, KEYS[1], Recipe())
    (copied / f"checkpoint-{KEYS[1]}.pt").unlink()
    press_button(over_time, "Look again")
    over_time.wait_until(f"{STATUS} === '1 gone'")
    wait_for_moment(over_time, "000003", Recipe())
    over_time.wait_until(f"{MOMENTS} === 5")
    assert over_time.complaints == []


def test_one_checkpoint_alone_has_no_time(run, opened, tmp_path):
    shutil.copy(run / f"checkpoint-{KEYS[-1]}.pt", tmp_path)
    with serving("--ckpt", tmp_path, "--device", "cpu") as (_, url):
        visit_samples(opened, url)
        assert not opened.run("document.getElementById('tab-time')")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url}image?network={KEYS[-1]}&recipe=--seed+1")
