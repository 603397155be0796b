"""The sheet of samples: what it shows, opens, selects and downloads."""

import io
import shlex
import urllib.error
import urllib.parse
import urllib.request
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.recipe import Recipe
from tests.explore.driving import (
    DRAWN,
    check_access,
    click,
    drag,
    pixels,
    recipe,
    visit_samples,
    wait_for,
)
from tests.explore.networks import CPU
from tests.explore.served import serving

SEEDS = "[...document.querySelectorAll('.tile .number')].map((each) => Number(each.textContent))"
CHOSEN = """[...document.querySelectorAll('.tile[aria-selected=true] .number')].map(
  (each) => Number(each.textContent))"""
COMMANDS = "[...document.querySelectorAll('.files code')].map((each) => each.textContent)"
FOCUS = "Number(document.activeElement.querySelector?.('.number')?.textContent ?? -1)"


@pytest.fixture
def samples(served, opened):
    """The page as it opens."""
    visit_samples(opened, served)
    return opened


def press_tile(page, number, **keys):
    modifiers = ", ".join(f"{key}Key: true" for key in keys)
    page.run(
        f"document.querySelectorAll('.tile')[{number}].dispatchEvent("
        f"new MouseEvent('click', {{bubbles: true, {modifiers}}}))"
    )


def wait_for_seeds(page, first):
    page.wait_until(f"({SEEDS})[0] === {first}")
    page.wait_until(DRAWN)
    assert page.run(SEEDS) == list(range(first, first + 24))


def test_it_opens_with_samples_at_psi_0_7(samples, served, files):
    subject = open_generator(files["F"], CPU, None)
    wait_for_seeds(samples, 0)
    for number in (0, 23):
        shown = pixels(samples, f".tile:nth-child({number + 1}) img")
        assert np.array_equal(shown, draw_recipe(Recipe(seed=number, psi=0.7), subject))
    alts = samples.run("[...document.querySelectorAll('.tile img')].map((each) => each.alt)")
    assert alts[5] == "Sample of --seed 5 --psi 0.7"
    assert samples.complaints == []
    assert all(url.startswith(served) for url in samples.requests)


def test_a_sample_opens_in_the_view_of_one_image_and_back_leads_back(samples):
    press_tile(samples, 5)
    wait_for(samples, Recipe(seed=5, psi=0.7))
    assert samples.run("location.search") == "?recipe=--seed+5+--psi+0.7"
    assert samples.run("document.querySelector('[role=tab][aria-selected=true]').id") == "tab-image"
    samples.run("history.back()")
    samples.wait_until("document.querySelector('.sheet')?.checkVisibility()")
    assert samples.run("location.search") == ""
    samples.run("document.querySelectorAll('.tile')[1].focus()")
    samples.press("ArrowRight")
    samples.press("Enter", 13)
    wait_for(samples, Recipe(seed=2, psi=0.7))
    samples.run("document.getElementById('tab-samples').click()")
    samples.wait_until("location.search === '?view=samples&recipe=--seed+2+--psi+0.7'")
    visit_samples(samples, samples.run("location.href"))
    samples.run("document.getElementById('tab-image').click()")
    wait_for(samples, Recipe(seed=2, psi=0.7))
    assert recipe(samples) == Recipe(seed=2, psi=0.7)
    assert samples.complaints == []


def test_samples_are_selected_by_mouse(samples):
    press_tile(samples, 3, ctrl=True)
    press_tile(samples, 1, ctrl=True)
    assert samples.run(CHOSEN) == [1, 3]
    press_tile(samples, 3, ctrl=True)
    assert samples.run(CHOSEN) == [1]
    press_tile(samples, 1, ctrl=True)
    press_tile(samples, 2, ctrl=True)
    press_tile(samples, 5, shift=True)
    samples.wait_until(f"({CHOSEN}).join() === '2,3,4,5'")
    press_tile(samples, 0, shift=True)
    samples.wait_until(f"({CHOSEN}).join() === '0,1,2'")
    samples.run("document.querySelector('.toolbar [role=switch]').click()")
    samples.wait_until("!!document.querySelector('.toolbar [role=switch][aria-checked=true]')")
    samples.wait_until("!!document.querySelector('.sheet.choosing')")
    press_tile(samples, 7)
    samples.wait_until(f"({COMMANDS})[0].includes('--seeds 0-2,7 ')")
    drag(samples, "Psi of the samples", 0.5)
    samples.wait_until(f"({COMMANDS})[0].includes('--seeds 0-2,7 --columns 4 --psi 0.5 ')")
    click(samples, "Next first seed")
    wait_for_seeds(samples, 24)
    assert samples.run(CHOSEN) == []
    samples.wait_until(f"({COMMANDS})[0].includes('--seeds 24-47 ')")


def test_samples_are_walked_and_selected_by_keyboard(samples):
    samples.run("document.querySelector('.tile').focus()")
    columns = samples.run(
        "[...document.querySelectorAll('.tile')].filter((tile, i, all) => tile.offsetTop ==="
        " all[0].offsetTop).length"
    )
    assert 3 <= columns <= 12
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
        ("End", 23),
        ("ArrowRight", 23),
        ("Home", 0),
    ]:
        samples.press(key)
        assert samples.run(FOCUS) == place, key
    samples.press("ArrowRight", shift=True)
    samples.press("ArrowRight", shift=True)
    assert samples.run(CHOSEN) == [0, 1, 2]
    samples.press("ArrowRight")
    samples.press(" ")
    assert samples.run(CHOSEN) == [0, 1, 2, 3]
    samples.press(" ")
    assert samples.run(CHOSEN) == [0, 1, 2]
    samples.press("a", ctrl=True)
    assert len(samples.run(CHOSEN)) == 24
    samples.press("Escape")
    assert samples.run(CHOSEN) == []
    assert samples.complaints == []


def test_seeds_and_psi_are_chosen_and_stand_in_the_address(samples, served, files):
    drag(samples, "Psi of the samples", 0.5)
    samples.wait_until("location.search === '?sheet=--seed+0+--psi+0.5'")
    click(samples, "Next first seed")
    wait_for_seeds(samples, 24)
    samples.wait_until("location.search === '?sheet=--seed+24+--psi+0.5'")
    visit_samples(samples, samples.run("location.href"))
    wait_for_seeds(samples, 24)
    shown = pixels(samples, ".tile:nth-child(1) img")
    subject = open_generator(files["F"], CPU, None)
    assert np.array_equal(shown, draw_recipe(Recipe(seed=24, psi=0.5), subject))
    click(samples, "Reset ψ (psi)")
    samples.wait_until("location.search === '?sheet=--seed+24+--psi+0.7'")
    click(samples, "Reset first seed")
    wait_for_seeds(samples, 0)
    samples.wait_until("location.search === ''")
    visit_samples(samples, f"{served}?sheet=--mix+x")
    samples.wait_until("document.body.textContent.includes('none that this network can draw')")
    assert samples.complaints == []


def fetched(page, kind):
    """The file of a link, and its name."""
    href, name = page.run(
        f"(({{href, download}}) => [href, download])([...document.querySelectorAll('.files a')]"
        f".find((link) => link.href.includes('/{kind}?')))"
    )
    with urllib.request.urlopen(href) as answer:
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
        return answer.read(), name


def check_files(page, folder, monkeypatch):
    """What is downloaded is what the commands write, byte for byte; gives the seeds' names."""
    monkeypatch.chdir(folder)
    grid, images = map(shlex.split, page.run(COMMANDS))
    for program, *args in (grid, images):
        assert program == "stylegan-sample"
        result = CliRunner().invoke(sample, args)
        assert result.exit_code == 0, result.output
    data, name = fetched(page, "grid")
    assert name == grid[-1]
    assert data == (folder / name).read_bytes()
    data, name = fetched(page, "zip")
    assert name == f"{images[-1]}.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {each: archive.read(each) for each in archive.namelist()}
    assert found == {path.name: path.read_bytes() for path in (folder / images[-1]).iterdir()}
    return sorted(found)


def test_the_files_are_those_of_the_commands(samples, tmp_path, monkeypatch):
    names = check_files(samples, tmp_path, monkeypatch)
    assert (names[0], names[-1], len(names)) == ("seed0000.png", "seed0023.png", 24)
    for number in (2, 3, 9):
        press_tile(samples, number, ctrl=True)
    samples.wait_until(f"({COMMANDS})[1].includes('--seeds 2-3,9 ')")
    assert check_files(samples, tmp_path, monkeypatch) == [
        *("seed0002.png", "seed0003.png", "seed0009.png"),
    ]


def test_samples_of_a_class(files, opened, tmp_path, monkeypatch):
    with serving("--ckpt", files["conditional"], "--device", "cpu") as (_, url):
        visit_samples(opened, url)
        check_files(opened, tmp_path, monkeypatch)
        opened.run("document.querySelector('.toolbar [role=combobox]').focus()")
        opened.press("Enter", 13)
        opened.wait_until("document.querySelectorAll('[role=option].q-item').length === 4")
        opened.run("[...document.querySelectorAll('[role=option].q-item')].at(-1).click()")
        opened.wait_until("location.search === '?sheet=--seed+0+--psi+0.7+--class+dog'")
        opened.wait_until(f"({COMMANDS})[0].includes('--class dog')")
        check_files(opened, tmp_path / "seeds-0-23", monkeypatch)
        press_tile(opened, 4)
        wait_for(opened, Recipe(seed=4, psi=0.7, number="dog"))
        assert opened.complaints == []


def test_samples_of_a_network_without_psi(files, opened, tmp_path, monkeypatch):
    with serving("--ckpt", files["A"], "--device", "cpu") as (_, url):
        visit_samples(opened, url)
        assert opened.run("document.querySelectorAll('input[type=range]').length") == 0
        check_files(opened, tmp_path, monkeypatch)
        assert opened.complaints == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("seeds=0-100", "100 at most"),
        ("seeds=x", "list of seeds"),
        ("seeds=0-3&recipe=--psi+x", "--psi"),
        ("seeds=0-3&recipe=--mix+8:0-1", "--psi and --class alone"),
        ("seeds=0-3&recipe=--class+1", "unconditional"),
    ],
)
@pytest.mark.parametrize("kind", ["grid", "zip"])
def test_a_file_that_cannot_be_made_is_refused_in_a_line(kind, query, message, served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served}{kind}?{query}")
    body = caught.value.read().decode()
    assert caught.value.code == 400
    assert message in body
    assert body.count("\n") == 1


def test_everybody_can_use_the_sheet(samples):
    press_tile(samples, 2, ctrl=True)
    samples.wait_until(f"({COMMANDS})[0].includes('--seeds 2 ')")
    check_access(samples)
