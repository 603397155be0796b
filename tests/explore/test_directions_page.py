"""The page in a browser: layers of moves, sums, components, what is inside, files handed in."""

import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.explore.uploads import digest_of, file_of_ws
from stylegan.png import png_of
from stylegan.sample.cli import main as sample
from stylegan.sample.directions import COMPONENTS, sample_of
from stylegan.sample.drawing import draw_recipe, draw_ws, open_generator, ws_of
from stylegan.sample.inside import look_inside
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from tests.explore.driving import (
    COMMAND,
    button_of,
    check_access,
    click,
    download_to,
    drag,
    pixels,
    press_button,
    visit,
    wait_for,
    wait_for_download,
)
from tests.explore.networks import CPU
from tests.explore.served import serving


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


def type_into(page, label, text):
    page.run(
        f"(() => {{ const field = document.querySelector('input[aria-label=\"{label}\"]');"
        f" field.value = '{text}'; field.dispatchEvent(new Event('input')) }})()"
    )


def test_a_move_has_layers_behind_a_button(page, subject):
    drag(page, "smiling", 2)
    wait_for(page, parse_recipe(["--move", "smiling=2"]))
    click(page, "Layers of smiling")
    page.wait_until(
        "document.querySelector('[aria-label=\"Layers of smiling\"]').ariaExpanded === 'true'"
    )
    drag(page, "Last layer of smiling", 3)
    wanted = parse_recipe(["--move", "smiling=2:0-3"])
    assert np.array_equal(wait_for(page, wanted), draw_recipe(wanted, subject))
    drag(page, "First layer of smiling", 2)
    wait_for(page, parse_recipe(["--move", "smiling=2:2-3"]))
    assert page.violations() == []
    press_button(page, "Reset")
    wait_for(page, Recipe())
    drag(page, "smiling", 1)
    wait_for(page, parse_recipe(["--move", "smiling=1"]))
    assert page.complaints == []


def test_moves_are_saved_as_one_direction(page, files, tmp_path):
    drag(page, "smiling", 2)
    drag(page, "eyeglasses", -1)
    wanted = ["--move", "eyeglasses=-1", "--move", "smiling=2"]
    wait_for(page, parse_recipe(wanted))
    page.run("document.querySelector('.save summary').click()")
    type_into(page, "Name", "smiling")
    press_button(page, "Save")
    page.wait_until("document.body.textContent.includes('a direction named smiling already')")
    download_to(page, tmp_path / "downloads")
    type_into(page, "Name", "stern look")
    press_button(page, "Save")
    page.wait_until("document.querySelector('.save code')?.textContent.includes('--directions')")
    wait_for_download(page)
    code = page.run("document.querySelector('.save code').textContent")
    assert code.endswith("--directions stern-look.safetensors")
    args = ["--ckpt", files["F"], "--directions", files["directions"], "--device", "cpu"]
    out = tmp_path / "by-command.safetensors"
    made = [*args, *wanted, "--name", "stern look", out]
    done = CliRunner().invoke(sample, ["combine", *map(str, made)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "downloads" / "stern-look.safetensors").read_bytes() == out.read_bytes()
    assert page.violations() == []
    assert page.complaints == []


def test_components_are_found_by_a_button_without_a_file(opened, files):
    with serving("--ckpt", files["F"], "--device", "cpu") as (_, url):
        visit(opened, url)
        press_button(opened, "Find components")
        opened.wait_until("document.querySelector('input[aria-label=pc1]') !== null")
        drag(opened, "pc1", 1.5)
        wanted = parse_recipe(["--move", "pc1=1.5"])
        shown = wait_for(opened, wanted)
        found = open_generator(files["F"], CPU, COMPONENTS)
        assert np.array_equal(shown, draw_recipe(wanted, found))
        assert "--directions components " in opened.run(COMMAND)
        assert opened.complaints == []


def open_view(page, title):
    tabs = "[...document.querySelectorAll('[role=tab]')]"
    page.run(f"{tabs}.find((tab) => tab.textContent.trim() === '{title}').click()")


def test_what_is_inside_is_shown_of_the_image(page, subject):
    drag(page, "Truncation psi", 0.5)
    wait_for(page, Recipe(psi=0.5))
    open_view(page, "Inside")
    rows = page.wait_until(
        "(() => { const rows = [...document.querySelectorAll('.figures tbody tr')].map("
        "(row) => [...row.children].map((cell) => cell.textContent));"
        " return rows.length ? rows : null })()"
    )
    figures = look_inside(Recipe(psi=0.5), subject, sample_of(subject.painter))
    assert len(rows) == len(figures) == 8
    for row, each in zip(rows, figures, strict=True):
        assert row == [
            str(each.layer),
            f"{each.size}x{each.size}",
            f"{each.activation:.3g}",
            f"{each.noise:.3g}",
            f"{each.noise_share:.1%}",
            f"{each.distance:.3g}",
        ]
    check_access(page)
    assert page.complaints == []


def hand_in(page, path):
    """Choose a file, as the dialog of the browser would."""
    root = page.ask("DOM.getDocument")["root"]["nodeId"]
    found = page.ask("DOM.querySelector", nodeId=root, selector="input[type=file]")
    page.ask("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])


def drop(page, path):
    """Drop a file on the field of the view Project."""
    script = """(() => {
      const at = document.querySelector('.upload label').getBoundingClientRect();
      return [at.x + at.width / 2, at.y + at.height / 2];
    })()"""
    x, y = page.run(script)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)


def test_a_file_that_is_dropped_is_handed_in(page, tmp_path):
    (tmp_path / "dropped.png").write_bytes(b"no image")
    open_view(page, "Project")
    page.wait_until("document.querySelector('.upload input')?.checkVisibility()")
    drop(page, tmp_path / "dropped.png")
    page.wait_until("document.body.textContent.includes('dropped.png: not an image')")


def test_a_w_that_is_handed_in_is_where_the_controls_start(page, subject, tmp_path):
    ws = ws_of(Recipe(seed=7), subject)
    (tmp_path / "mine.npy").write_bytes(file_of_ws(ws.numpy()))
    open_view(page, "Project")
    page.wait_until("document.querySelector('input[type=file]') !== null")
    hand_in(page, tmp_path / "mine.npy")
    page.wait_until("document.querySelector('a[href^=\"w?\"]')?.checkVisibility()")
    assert page.violations() == []
    press_button(page, "Continue in Image")
    digest = digest_of(ws.numpy())
    page.wait_until(f"{COMMAND}.includes('--ws w-{digest}.npy')")
    drag(page, "smiling", 1)
    page.wait_until(f"{COMMAND}.includes('smiling=1')")
    page.wait_until("document.querySelector('img.picture').currentSrc.includes('smiling')")
    page.wait_until("document.querySelector('img.picture').complete")
    wanted = parse_recipe(["--move", "smiling=1"])
    assert np.array_equal(pixels(page), next(draw_ws(wanted, subject, ws)))
    (tmp_path / f"w-{digest}.npy").write_bytes(file_of_ws(ws.numpy()))
    words = shlex.split(page.run(COMMAND))[1:]
    words[words.index("--ws") + 1] = str(tmp_path / f"w-{digest}.npy")
    words[-1] = str(tmp_path / "again.png")
    done = CliRunner().invoke(sample, words)
    assert done.exit_code == 0, done.output
    assert page.complaints == []


def test_a_photograph_is_projected_and_shown_beside_its_image(page, subject, tmp_path):
    photograph = tmp_path / "photo.png"
    photograph.write_bytes(png_of(draw_recipe(Recipe(seed=3), subject), ""))
    (tmp_path / "bad.png").write_bytes(b"no image")
    open_view(page, "Project")
    page.wait_until("document.querySelector('input[type=file]') !== null")
    hand_in(page, tmp_path / "bad.png")
    page.wait_until("document.body.textContent.includes('bad.png: not an image')")
    drag(page, "Steps", 1000)
    hand_in(page, photograph)
    page.wait_until(f"{button_of('Cancel')}?.checkVisibility()")
    hand_in(page, photograph)
    page.wait_until("document.body.textContent.includes('is being projected: wait for it')")
    press_button(page, "Cancel")
    page.wait_until("document.body.textContent.includes('cancelled: choose a file again')")
    drag(page, "Steps", 50)
    hand_in(page, photograph)
    page.wait_until("document.querySelector('.pair img')?.naturalWidth === 32")
    page.wait_until("[...document.querySelectorAll('.pair img')].at(-1).naturalWidth === 32")
    assert np.array_equal(pixels(page, ".pair img"), draw_recipe(Recipe(seed=3), subject))
    command = page.run(
        "[...document.querySelectorAll('code')].find((code) => code.checkVisibility()).textContent"
    )
    assert command.endswith(" photo.png projected.png")
    assert " --steps 50 --save w-" in command
    check_access(page)
    press_button(page, "Continue in Image")
    page.wait_until(f"{COMMAND}.includes('--ws w-')")
    assert [c for c in page.complaints if "400" not in str(c)] == []


def test_a_link_to_a_w_that_is_gone_says_that_its_file_is_needed(opened, served):
    opened.events.clear()
    opened.open(f"{served}?recipe=--ws+0123456789abcdef")
    opened.wait_until("document.body.textContent.includes('give its file again')")
