"""What visitors hand in: w of files, photographs, and what a server holds of them."""

import asyncio
import io
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from starlette.requests import ClientDisconnect

from stylegan.explore.jobs import CancelledError, Job, Projector
from stylegan.explore.studio import Studio
from stylegan.explore.uploads import (
    LARGEST,
    LARGEST_SIDE,
    MOST,
    HeldWs,
    Uploads,
    digest_of,
    file_name_of,
    file_of_ws,
    read_uploaded,
    received,
)
from stylegan.explore.views.project import projecting_command
from stylegan.png import png_of
from stylegan.sample.cli import main
from stylegan.sample.drawing import draw_recipe, open_generator, ws_of
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.errors import UserError
from tests.explore.networks import CPU

FEW = ProjectionSettings(steps=3)


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, None)


@pytest.fixture(scope="module")
def ws(subject):
    return ws_of(Recipe(seed=3), subject).numpy()


@pytest.fixture
def uploads(subject):
    held, projector = HeldWs(), Projector(subject.painter)
    yield Uploads(subject.painter, held), held, projector
    projector.close()


def photograph(subject, seed=3):
    return png_of(draw_recipe(Recipe(seed=seed), subject), "")


def test_a_w_is_found_by_its_digest_until_many_others_have_come(ws):
    held = HeldWs()
    digest = held.add(ws)
    assert digest == digest_of(ws)
    np.testing.assert_array_equal(held.get(digest), ws)
    for number in range(MOST - 1):
        held.add(ws + np.float32(1 + number))
    held.get(digest)
    held.add(ws - 1)
    with pytest.raises(UserError, match=f"give its file again, w-{digest}.npy"):
        held.get(digest)


def test_a_w_is_the_same_by_whichever_file_it_comes(ws, subject):
    buffer = io.BytesIO()
    np.savez(buffer, w=ws)
    for data, name in ((file_of_ws(ws), "a.npy"), (buffer.getvalue(), "projected_w.NPZ")):
        assert digest_of(read_uploaded(data, name, subject.painter)) == digest_of(ws)


def pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "a.npy", "cannot read ws from a.npy"),
        (b"no array", "a.npz", "a.npz"),
        (pickled(), "a.npy", "cannot read ws from a.npy"),
        (file_of_ws(np.zeros((1, 3, 32), np.float32)), "a.npy", r"must be float \[N, 8, 32\]"),
        (
            file_of_ws(np.full((1, 8, 32), np.nan, np.float32)),
            "a.npy",
            "infinities, NaN or",
        ),
    ],
)
def test_a_file_that_is_no_w_is_told_in_one_line(data, name, message, subject):
    with pytest.raises(UserError, match=message) as caught:
        read_uploaded(data, name, subject.painter)
    assert "/" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_uploads_are_read_by_their_kind(uploads, ws, subject):
    made, held, _ = uploads
    two = np.concatenate([ws, ws + 1])
    answer = asyncio.run(made.take(file_of_ws(two), "C:/somewhere/two.npy"))
    np.testing.assert_array_equal(held.get(answer["w"]), ws)
    assert held.get(answer["w"]).base is None  # which would hold the whole file
    assert answer["note"] == "two.npy holds 2 rows: this is the first"
    assert "w" in asyncio.run(made.take(file_of_ws(ws), "long" * 30 + ".npy"))
    answer = asyncio.run(made.take(photograph(subject), "photo.png"))
    target = made.target(answer["target"])
    assert target.note == ""
    np.testing.assert_array_equal(
        target.pixels, draw_recipe(Recipe(seed=3), subject).transpose(2, 0, 1)
    )
    with Image.open(io.BytesIO(target.png())) as image:
        assert image.size == (32, 32)


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [
        ((8, 6), "PNG", "photo is 8x6: expected a square image"),
        ((LARGEST_SIDE + 1, 1), "PNG", "photo is 6401x1: photographs of up to 6400x6400 pixels"),
        (None, "", "photo: not an image"),
    ],
)
def test_what_is_no_square_photograph_is_told_in_one_line(size, kind, message, uploads):
    buffer = io.BytesIO(b"text")
    if size:
        Image.new("RGB", size).save(buffer, kind)
    with pytest.raises(UserError, match=message):
        asyncio.run(uploads[0].take(buffer.getvalue(), "photo"))


def test_other_sizes_are_fitted_and_said(uploads):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 8, 7)).save(buffer, "JPEG")
    answer = asyncio.run(uploads[0].take(buffer.getvalue(), "photo.jpg"))
    target = uploads[0].target(answer["target"])
    assert target.pixels.shape == (3, 32, 32)
    assert target.note == "shrunk from 64x64 to 32x32"


def test_a_photograph_is_projected_as_the_command_does(uploads, subject, files, tmp_path):
    made, _, projector = uploads
    (tmp_path / "photo.png").write_bytes(photograph(subject))
    job = Job(total=FEW.steps)

    async def play():
        answer = await made.take((tmp_path / "photo.png").read_bytes(), "photo.png")
        return await projector.project(made.target(answer["target"]).pixels, FEW, job)

    ws = asyncio.run(play())
    assert job.done == 3
    assert job.distance > 0
    assert projector._job is None
    args = ["project", "--ckpt", files["F"], "--device", "cpu", "--steps", 3]
    out = [tmp_path / "photo.png", tmp_path / "out.png", "--save", tmp_path / "w.npy"]
    done = CliRunner().invoke(main, [str(word) for word in (*args, *out)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "w.npy").read_bytes() == file_of_ws(ws)


def test_a_projection_ends_when_it_is_cancelled_and_others_wait(uploads, subject):
    made, _, projector = uploads
    long = ProjectionSettings(steps=10**6)
    job = Job(total=long.steps)

    async def play():
        answer = await made.take(photograph(subject), "photo.png")
        pixels = made.target(answer["target"]).pixels
        running = asyncio.create_task(projector.project(pixels, long, job))
        while not job.done:
            await asyncio.sleep(0.01)
        with pytest.raises(UserError, match="another photograph is being projected"):
            await projector.project(pixels, FEW, Job(total=FEW.steps))
        job.cancel()
        with pytest.raises(CancelledError):
            await running
        return await projector.project(pixels, FEW, Job(total=FEW.steps))

    assert asyncio.run(play()).shape == (1, 8, 32)


def test_no_more_is_received_than_is_allowed():
    async def stream(parts, size):
        for _ in range(parts):
            yield bytes(size)

    assert asyncio.run(received(stream(3, 5))) == bytes(15)
    with pytest.raises(UserError, match="larger than 32 MiB"):
        asyncio.run(received(stream(3, LARGEST // 2)))

    async def left():
        yield bytes(5)
        raise ClientDisconnect

    with pytest.raises(UserError, match="the page was left"):
        asyncio.run(received(left()))


def test_a_link_along_components_has_them_found_and_one_to_a_lost_w_says_so(files, ws):
    studio = Studio(
        open_generator(files["F"], CPU, None), GeneratorSource(ckpt=files["F"], device="cpu")
    )
    try:
        with pytest.raises(UserError, match="needs --directions"):
            asyncio.run(studio.recipe_of("--move smiling=1"))
        recipe = asyncio.run(studio.recipe_of("--move pc1=1"))
        assert "--directions components" in studio.command(recipe)
        with pytest.raises(UserError, match="give its file again"):
            asyncio.run(studio.recipe_of(f"--ws {digest_of(ws)}"))
        studio.held.add(ws)
        held = asyncio.run(studio.recipe_of(f"--ws {digest_of(ws)} --move pc1=1"))
        assert f"--ws w-{digest_of(ws)}.npy --move pc1=1" in studio.command(held)
        seeded = asyncio.run(studio.png(Recipe(seed=3, moves=held.moves)))
        drawn = asyncio.run(studio.png(held))
        assert drawn.partition(b"IDAT")[2] == seeded.partition(b"IDAT")[2]
    finally:
        studio.close()


@pytest.mark.parametrize(
    ("photograph", "file", "out"),
    [
        ("photo.jpg", "photo.jpg", "projected.png"),
        ("-x", "./-x", "projected.png"),
        ("Projected.PNG", "Projected.PNG", "projected-again.png"),
    ],
)
def test_the_command_of_a_projection_takes_any_name(photograph, file, out, studio):
    settings = ProjectionSettings(space="w+", steps=50)
    words = shlex.split(projecting_command(studio, settings, "0" * 16, photograph))
    assert words[-4:] == ["--save", file_name_of("0" * 16), file, out]
    assert words[-8:-4] == ["--space", "w+", "--steps", "50"]
