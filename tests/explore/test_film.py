"""The film through kept images: their order, its preview, and the file of the command."""

import asyncio
import shlex
import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.explore.films import KeptFilm, film_of, write_film
from stylegan.explore.jobs import MOST, CancelledError, Job
from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError
from tests.explore.driving import (
    button_of,
    check_access,
    click,
    drag,
    press_button,
    visit,
    visit_samples,
    wait_for,
)
from tests.explore.networks import CPU
from tests.explore.served import serving

KEYS = "[...document.querySelectorAll('.frames .shown')].map((e) => e.ariaLabel.slice(5)).join()"
COMMAND = "document.querySelector('.file:has(+ .progress) code').textContent"
LINK = "document.querySelector('a[href*=\"film?\"]')"
THREE = ("--seed 3", "--seed 1 --psi 0.5 --mix 2:0-1", "--seed 2 --move smiling=2")
READY = "window.did_handshake && document.querySelectorAll('.frames img').length === {}"


def visit_film(page, url, recipes=THREE, more=""):
    words = " ".join(f"--recipe {shlex.quote(each)}" for each in recipes) + more
    page.open("about:blank")
    page.events.clear()
    page.open(f"{url}?{urlencode({'view': 'film', 'film': words})}")
    page.wait_until(READY.format(len(recipes)))


def wait_for_keys(page, *recipes):
    page.wait_until(f"({KEYS}) === '{','.join(recipes)}'")


def test_kept_images_are_the_film_and_are_put_in_order(page, served):
    page.run("localStorage.clear()")
    visit(page, served)
    for seed in (1, 2, 3):
        click(page, "Next seed")
        wait_for(page, Recipe(seed=seed))
        press_button(page, "Keep")
        page.wait_until(f"document.querySelectorAll('.strip img').length === {seed}")
    page.run("document.getElementById('tab-film').click()")
    wait_for_keys(page, "--seed 1", "--seed 2", "--seed 3")
    page.wait_until("location.search.includes('view=film') && !location.search.includes('film=')")
    page.run("document.querySelector('[aria-label=\"Later: --seed 1\"]').focus()")
    click(page, "Later: --seed 1")
    wait_for_keys(page, "--seed 2", "--seed 1", "--seed 3")
    assert page.run("document.activeElement.ariaLabel") == "Later: --seed 1"
    page.run(
        "(() => { const [first, , last] = document.querySelectorAll('.frames li');"
        " const dataTransfer = new DataTransfer();"
        " last.dispatchEvent(new DragEvent('dragstart', {dataTransfer, bubbles: true}));"
        " first.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true})) })()"
    )
    wait_for_keys(page, "--seed 3", "--seed 2", "--seed 1")
    click(page, "Leave out: --seed 2")
    wait_for_keys(page, "--seed 3", "--seed 1")
    # The address follows a little later: it may still be that of the order before.
    page.wait_until("/film=--recipe((?!seed.2).)*$/.test(location.search)")
    page.ask("Page.reload")
    page.wait_until(READY.format(2))
    wait_for_keys(page, "--seed 3", "--seed 1")
    press_button(page, "Add kept images")
    wait_for_keys(page, "--seed 3", "--seed 1", "--seed 2")
    press_button(page, "Reset")
    wait_for_keys(page, "--seed 1", "--seed 2", "--seed 3")
    click(page, "Open --seed 2")
    wait_for(page, Recipe(seed=2))
    assert page.complaints == []
    page.run("localStorage.clear()")


def test_the_preview_goes_through_the_images_and_plays(opened, served, files):
    visit_film(opened, served)
    subject = open_generator(files["F"], CPU, files["directions"])
    assert opened.run("document.querySelector('.transport input').max") == "16"
    for place, words in ((16, THREE[2]), (8, THREE[1]), (0, THREE[0])):
        drag(opened, "Frame of the preview", place)
        expected = draw_recipe(parse_recipe(shlex.split(words)), subject)
        opened.wait_until(
            "(() => { const copy = new OffscreenCanvas(32, 32).getContext('2d');"
            " copy.drawImage(document.querySelector('.preview canvas'), 0, 0);"
            " const data = [...copy.getImageData(0, 0, 32, 32).data];"
            " return data.filter((_, i) => i % 4 !== 3).join() === "
            f"'{','.join(map(str, np.ravel(expected)))}' }})()"
        )
    drag(opened, "Seconds from image to image", 0.2)
    opened.run("document.activeElement.blur()")
    opened.press("p")
    opened.wait_until("Number(document.querySelector('.transport input').value) >= 9")
    opened.press("p")
    opened.wait_until(f"!!{button_of('Play')}")
    assert opened.complaints == []


def check_file(page, folder, monkeypatch):
    """What is downloaded is what the command writes, byte for byte."""
    monkeypatch.chdir(folder)
    press_button(page, "Write the film")
    href, name = page.wait_until(
        f"(({{href, download}}) => href && [href, download])({LINK} ?? {{}})"
    )
    with urllib.request.urlopen(href) as answer:
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
        written = answer.read()
    program, *args = shlex.split(page.run(COMMAND))
    assert program == "stylegan-sample"
    result = CliRunner().invoke(sample, args)
    assert result.exit_code == 0, result.output
    assert name == args[-1]
    same = written == (folder / name).read_bytes()
    assert same


@pytest.mark.parametrize("kind", ["mp4", "gif", "apng"])
def test_the_file_is_that_of_the_command(kind, opened, served, tmp_path, monkeypatch):
    if kind == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    more = f" --seconds 0.5 --fps 12 --kind {kind}" + (" --loop" if kind == "gif" else "")
    visit_film(opened, served, more=more)
    check_file(opened, tmp_path, monkeypatch)
    drag(opened, "Frames per second", 13)
    opened.wait_until(f"!{LINK}")  # it is of another film
    assert opened.complaints == []


def test_a_film_of_one_image_or_of_unlike_noise_is_refused_in_a_line(opened, served):
    alert = "[...document.querySelectorAll('.error')].map((e) => e.textContent).join('')"
    for recipes, message in (
        (["--seed 1"], "two images or more"),
        (["--seed 1", "--seed 2 --noise none"], "the same noise from end to end"),
    ):
        visit_film(opened, served, recipes)
        opened.wait_until(f"({alert}).includes({message!r})")
        assert opened.run(f"{button_of('Write the film')}.disabled")
        assert not opened.run("document.querySelector('.preview').checkVisibility()")
    visit_film(opened, served, more=" --kind gif --fps 60 --seconds 0.2")
    press_button(opened, "Write the film")
    opened.wait_until(f"({alert}).includes('at most 50 frames a second')")
    assert opened.complaints == []


def test_a_network_without_w_has_no_film(files, opened):
    with serving("--ckpt", files["A"], "--device", "cpu") as (_, url):
        visit_samples(opened, url)
        opened.run("document.getElementById('tab-film').click()")
        opened.wait_until("document.body.textContent.includes('no W that a film could go through')")
        assert opened.run("document.querySelectorAll('.frames').length") == 0
        assert opened.complaints == []


def test_everybody_can_use_the_film(opened, served):
    visit_film(opened, served, more=" --loop")
    check_access(opened)


def test_words_of_a_film_are_read_again(studio):
    film = KeptFilm(
        recipes=(Recipe(seed=1), Recipe(seed=2, psi=0.5)),
        seconds=0.7,
        fps=24,
        loop=True,
        kind="gif",
    )
    assert asyncio.run(film_of(shlex.join(film.words()), studio)) == film
    assert film.frames == 17
    assert film.total == 34
    assert asyncio.run(film_of("", studio)) == KeptFilm()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--recipe '--seed x'", "x"),
        ("--recipe '--seed 1 --psi", "quotation"),
        ("--seconds 0", "0.2<=x<=10"),
        ("--fps 1000", "5<=x<=60"),
        ("--kind avi", "mp4"),
        (" ".join(f"--recipe '--seed {seed}'" for seed in range(25)), "24 at most"),
    ],
)
def test_words_of_no_film_are_refused(words, message, studio):
    with pytest.raises(UserError, match=message):
        asyncio.run(film_of(words, studio))


def test_frames_that_are_held_in_memory_have_a_limit(studio, monkeypatch):
    monkeypatch.setattr("stylegan.explore.films._HELD", 32 << 20)
    film = KeptFilm(recipes=tuple(map(_seeded, range(24))), seconds=10, fps=60, kind="gif")
    long = KeptFilm(recipes=film.recipes, seconds=10, fps=60)
    long.check(studio)  # an MP4 takes them one by one
    with pytest.raises(UserError, match="choose MP4, or fewer frames") as caught:
        film.check(studio)
    assert str(film.total) in str(caught.value)


def _seeded(seed):
    return Recipe(seed=seed)


def test_a_film_ends_when_it_is_cancelled_and_others_wait(studio, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    film = KeptFilm(recipes=(Recipe(seed=1), Recipe(seed=2)), seconds=10, fps=60)
    few = KeptFilm(recipes=film.recipes, seconds=0.2, fps=5, kind="gif")
    job = Job(total=film.total)

    async def play():
        running = asyncio.create_task(write_film(film, studio, job))
        while not job.done:
            await asyncio.sleep(0.01)
        with pytest.raises(UserError, match="another film is being written"):
            await write_film(few, studio, Job(total=few.total))
        assert await studio.png(Recipe(seed=7))  # an image comes before the next frame
        assert job.done < job.total
        job.cancel()
        with pytest.raises(CancelledError):
            await running
        folder = None
        for _ in range(MOST + 1):
            key = await write_film(few, studio, Job(total=few.total))
            folder = studio.filmer.file(key).parent
        return folder

    folder = asyncio.run(play())
    assert len([*folder.iterdir()]) == MOST
    with pytest.raises(UserError, match="not held here any more"):
        studio.filmer.file("key")
    studio.filmer.close()
    assert not folder.exists()


def test_without_an_encoder_a_film_says_what_to_install(studio, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    film = KeptFilm(recipes=(Recipe(seed=1), Recipe(seed=2)), seconds=0.2, fps=5)
    with pytest.raises(UserError, match=r'pip install "\.\[video\]"'):
        asyncio.run(write_film(film, studio, Job(total=film.total)))


def test_addresses_of_no_frame_and_no_film_are_refused(served):
    for query, status in (
        ({"film": "--recipe '--seed 1' --recipe '--seed 2'", "number": 9}, 400),
        ({"film": "--recipe '--seed 1'", "number": 0}, 400),
        ({"film": "--recipe", "number": 0}, 400),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{served}frame?{urlencode(query)}")
        assert caught.value.code == status
        caught.value.close()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served}film?key=x")
    assert caught.value.code == 404
    caught.value.close()
