"""Interpolation: the schedule, the paths, the files as they are decoded."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from stylegan.networks.generator import build_generator
from stylegan.png import save_png
from stylegan.sample.figures import latents_of
from stylegan.sample.film import (
    arc,
    check_video,
    film,
    frame_count,
    path_of,
    positions,
    write_video,
)
from stylegan.sample.painter import Painter
from stylegan.sample.settings import Film
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import slerp
from tests.figures.networks import official
from tests.train import golden

KEYS = st.integers(2, 6)
FRAMES = st.integers(1, 12)


@given(KEYS, FRAMES)
def test_a_path_goes_from_the_first_key_frame_to_the_last(keys, frames):
    found = positions(keys, frames, loop=False)
    assert len(found) == frame_count(keys, frames, loop=False) == (keys - 1) * frames + 1
    steps = [place.start + place.t for place in found]
    np.testing.assert_allclose(steps, np.linspace(0, keys - 1, len(found)), atol=1e-12)
    assert found[-1].start == keys - 1
    assert found[-1].t == 0
    assert all(place.end == place.start + 1 for place in found[:-1])


@given(KEYS, FRAMES)
def test_a_loop_comes_back_without_showing_the_first_twice(keys, frames):
    found = positions(keys, frames, loop=True)
    assert len(found) == frame_count(keys, frames, loop=True) == keys * frames
    steps = [place.start + place.t for place in found]
    np.testing.assert_allclose(steps, np.arange(keys * frames) / frames, atol=1e-12)
    assert {(place.start, place.end) for place in found} == {
        (k, (k + 1) % keys) for k in range(keys)
    }


@given(st.integers(0, 100), st.floats(0, 1))
def test_an_arc_goes_evenly_in_angle_and_length(seed, share):
    a, b = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 5, 16)))
    t = torch.full((5, 1), share, dtype=torch.float64)
    point = arc(a, b, t)
    lengths = (1 - share) * a.norm(dim=1) + share * b.norm(dim=1)
    torch.testing.assert_close(point.norm(dim=1), lengths)

    def angle(x, y):
        return torch.nn.functional.cosine_similarity(x, y).clamp(-1, 1).acos()

    torch.testing.assert_close(angle(a, point), share * angle(a, b), atol=1e-6, rtol=0)
    unit = [v / v.norm(dim=1, keepdim=True) for v in (a, b)]
    torch.testing.assert_close(arc(*unit, t), slerp(*unit, t))


def test_an_arc_starts_and_ends_at_its_points_and_stays_where_they_are_one():
    a, b = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8)))
    zero, one = torch.zeros(3, 1).double(), torch.ones(3, 1).double()
    assert torch.equal(arc(a, b, zero), a)
    torch.testing.assert_close(arc(a, b, one), b)
    assert torch.equal(arc(a, a, one / 3), a)


@pytest.mark.parametrize("space", ["w", "z"])
def test_key_frames_are_the_images_of_their_seeds(space):
    painter = official()
    z = latents_of([3, 4, 5], painter.network.z_dim, "grid")
    path = path_of(painter, [3, 4, 5], Film(space=space))
    places = positions(3, 2, loop=False)
    torch.testing.assert_close(path.at(places)[::2], painter.ws(z), atol=1e-6, rtol=1e-6)


def test_paths_are_lines_in_w_and_great_circles_in_z():
    painter = official()
    z = latents_of([3, 4], painter.network.z_dim, "official")
    (middle,) = positions(2, 2, loop=False)[1:2]
    ws = painter.ws(z)
    line, circle = (
        path_of(painter, [3, 4], Film(space=space, seeding="official")) for space in ("w", "z")
    )
    torch.testing.assert_close(line.at([middle])[0], (ws[0] + ws[1]) / 2)
    half = z[0] / np.linalg.norm(z[0]) + z[1] / np.linalg.norm(z[1])  # its length is lost in G
    expected = painter.ws(half[None])
    torch.testing.assert_close(circle.at([middle]), expected, atol=1e-5, rtol=1e-5)


def test_labels_change_evenly_between_key_frames_that_have_others():
    config = golden.small_config("F")
    network = replace(config.network, label_size=3)
    generator = build_generator(replace(config, network=network), seed=0)
    painter = Painter(generator, label_rows=torch.eye(3))
    z = latents_of(range(8), network.z_dim, "grid")
    labels = painter.labels(torch.from_numpy(z))
    assert len(labels.unique(dim=0)) > 1
    path = path_of(painter, range(8), Film(space="z"))
    near = path.at(positions(8, 1000, loop=True)[999::1000])  # just before the next key frame
    torch.testing.assert_close(near, painter.ws(np.roll(z, -1, 0)), atol=0.02, rtol=0)


@pytest.fixture(scope="module")
def frames():
    """Nine frames of two strands of the official network."""
    settings = Film(frames=4, psi=0.7, scale=2)
    return list(film(official(), [[0, 1, 2], [3, 4, 5]], settings))


def test_strands_run_side_by_side_at_the_scale(frames):
    painter = official()
    assert len(frames) == 9
    assert frames[0].shape == (64, 128, 3)
    for k, number in ((0, 0), (4, 1), (8, 2)):
        z = latents_of([number, number + 3], painter.network.z_dim, "grid")
        ws = painter.truncated(painter.ws(z), 0.7, 8)
        images = painter.images(ws, painter.stored_noise())
        expected = np.concatenate(list(images), axis=1).repeat(2, 0).repeat(2, 1)
        assert np.abs(frames[k].astype(int) - expected).max() <= 1  # batches are others


def test_noise_is_one_for_all_frames_or_other_in_each():
    painter = official()
    still = list(film(painter, [[1, 1]], Film(frames=2)))
    assert np.abs(still[0].astype(int) - still[1]).max() <= 1
    moving = list(film(painter, [[1, 1]], Film(frames=2, noise="random")))
    again = list(film(painter, [[1, 1]], Film(frames=2, noise="random")))
    assert (moving[0] != moving[1]).mean() > 0.1
    np.testing.assert_array_equal(moving, again)


@pytest.mark.parametrize("loop", [False, True])
def test_apng_holds_every_frame_exactly(frames, loop, tmp_path):
    path = tmp_path / "film.apng"
    write_video(path, iter(frames), fps=25, loop=loop)
    with Image.open(path) as film_:
        assert film_.n_frames == 9
        assert film_.info["loop"] == (0 if loop else 1)
        found = [np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(film_)]
        assert film_.info["duration"] == 40
    np.testing.assert_array_equal(found, frames)


@pytest.mark.parametrize("loop", [False, True])
def test_gif_holds_every_frame_in_256_colours(frames, loop, tmp_path):
    path = tmp_path / "film.gif"
    write_video(path, iter(frames), fps=30, loop=loop)
    with Image.open(path) as film_:
        assert film_.n_frames == 9
        assert film_.info.get("loop") == (0 if loop else None)
        assert film_.info["duration"] == 30  # 33.3 ms in hundredths of a second
        found = [np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(film_)]
    assert order(found, frames) == list(range(9))
    for frame, wanted in zip(found, frames, strict=True):
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) <= 256
        assert np.abs(frame.astype(int) - wanted).mean() < 10


def mp4_frames(path, count, height, width):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    raw = subprocess.run(
        [ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(count, height, width, 3)


def test_mp4_holds_every_frame(frames, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    write_video(path, iter(frames), fps=12.5, loop=False)
    assert ffmpeg.count_frames_and_secs(path) == (9, 9 / 12.5)
    found = mp4_frames(path, 9, 64, 128)
    assert order(found, frames) == list(range(9))
    for frame, wanted in zip(found, frames, strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 10  # colours at half the resolution


def order(found, frames):
    """Number of the frame that each decoded one is nearest to."""
    return [
        int(np.argmin([np.abs(each.astype(int) - frame).sum() for frame in frames]))
        for each in found
    ]


@pytest.mark.parametrize("extension", ["mp4", "gif", "apng"])
def test_grey_films(extension, tmp_path):
    if extension == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / f"film.{extension}"
    write_video(path, [np.full((16, 16, 1), v, np.uint8) for v in (50, 200)], fps=10, loop=True)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("extension", ["mp4", "gif", "apng"])
def test_a_film_that_fails_leaves_nothing(extension, tmp_path):
    if extension == "mp4":
        pytest.importorskip("imageio_ffmpeg")

    def breaking():
        yield np.zeros((16, 16, 3), np.uint8)
        raise UserError("the generator drew pixels that are not finite")

    with pytest.raises(UserError, match="finite"):
        write_video(tmp_path / f"film.{extension}", breaking(), fps=10, loop=False)
    assert list(tmp_path.iterdir()) == []


def test_an_ffmpeg_that_breaks_off_is_told(frames, tmp_path, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    program = tmp_path / "ffmpeg"
    program.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && echo "ffmpeg version 1.0"\n[ "$1" = -version ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    with pytest.raises(UserError, match="ffmpeg could not write"):
        write_video(tmp_path / "film.mp4", frames, fps=10, loop=False)
    assert list(tmp_path.iterdir()) == [program]


def test_a_gif_is_refused_where_players_would_slow_it_down(tmp_path):
    with pytest.raises(UserError, match="at most 50"):
        check_video(tmp_path / "film.gif", 60)
    check_video(tmp_path / "film.apng", 60)


@pytest.mark.parametrize("channels", [2, 4])
def test_mp4_has_alpha_over_white(channels, tmp_path):
    frame = np.zeros((16, 16, channels), np.uint8)
    frame[:, 8:] = 200
    frame[:, 8:, -1] = 255
    write_video(tmp_path / "film.mp4", [frame] * 3, fps=10, loop=False)
    for shown in mp4_frames(tmp_path / "film.mp4", 3, 16, 16):
        assert np.abs(shown[:, :7].astype(int) - 255).max() <= 6
        assert np.abs(shown[:, 9:].astype(int) - 200).max() <= 6


def test_alpha_is_kept_by_apng_and_over_white_in_gif(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    frames[..., 3] = 0
    for k, frame in enumerate(frames):
        frame[:, 2 * k : 2 * k + 2] = 10, 20, 30, 255  # a bar that moves
    for kind in ("apng", "gif"):
        write_video(tmp_path / f"film.{kind}", iter(frames), fps=10, loop=True)
    with Image.open(tmp_path / "film.apng") as film_:
        found = [np.asarray(each.convert("RGBA")) for each in ImageSequence.Iterator(film_)]
    np.testing.assert_array_equal(found, frames)
    with Image.open(tmp_path / "film.gif") as film_:
        shown = [np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(film_)]
    opaque = frames[..., 3:] == 255
    np.testing.assert_array_equal(shown, np.where(opaque, frames[..., :3], 255))


@pytest.mark.parametrize("kind", ["mp4", "gif", "apng"])
def test_images_of_five_channels_are_refused_in_one_line(kind, tmp_path):
    with pytest.raises(UserError, match="5 channels are no picture: stylegan-sample export"):
        write_video(tmp_path / f"x.{kind}", [np.zeros((8, 8, 5), np.uint8)] * 2, fps=5, loop=False)
    with pytest.raises(UserError, match="5 channels are no picture"):
        save_png(tmp_path / "x.png", np.zeros((8, 8, 5), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_equal_frames_that_are_too_long_for_a_gif_are_refused(tmp_path):
    frames = [np.zeros((2, 2, 3), np.uint8)] * 66
    write_video(tmp_path / "long.gif", frames[:65], fps=0.1, loop=False)
    with pytest.raises(UserError, match=r"655 seconds .* raise --fps, or write .apng"):
        write_video(tmp_path / "longer.gif", frames, fps=0.1, loop=False)
    write_video(tmp_path / "longer.apng", frames, fps=0.1, loop=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["long.gif", "longer.apng"]
