"""`stylegan-sample figure`, `mixing` and `interpolate` on the command line."""

import sys
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.sample.cli import main
from stylegan.sample.figures import (
    draw_noise_components,
    draw_noise_detail,
    draw_truncation,
    draw_uncurated,
    latents_of,
    official_latents,
)
from stylegan.sample.settings import (
    LAYOUTS,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from tests.figures import networks


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def figure_3(painter):
    seeds = (Mixing.sources, Mixing.destinations)
    z = (official_latents(each, painter.network.z_dim) for each in seeds)
    return networks.draw_mixing(painter, *z, Mixing())


FIGURES = {
    "2": partial(draw_uncurated, settings=Uncurated()),
    "3": figure_3,
    "4": partial(draw_noise_detail, settings=NoiseDetail()),
    "5": partial(draw_noise_components, settings=NoiseComponents()),
    "8": partial(draw_truncation, settings=Truncation()),
}


@pytest.mark.parametrize("number", FIGURES)
def test_a_figure_without_options_is_the_official_one(number, official, tmp_path):
    out = tmp_path / "deep" / "figure.png"
    done = run("figure", number, "--ckpt", official("F"), "--batch", 1000, out)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    assert networks.nearly_equal(pixels(out), FIGURES[number](networks.official()))


def test_options_say_what_is_drawn(official, tmp_path):
    out = tmp_path / "figure.png"
    for words, size in (
        ("2 --rows 1 --lods 0,2 --seed 3 --crop 0,4,32,24", (40, 24)),
        ("3 --sources 1-3 --destinations 4 --layers 4-7", (128, 64)),
        ("4 --seeds 1-3 --count 5 --crop 0,0,4,4", (96, 96)),
        ("5 --seeds 1 --layers all,none,0,1-7", (32, 64)),
        ("8 --seeds 1,2,3 --psis -1,1", (64, 96)),
    ):
        number, *options = words.split()
        done = run("figure", number, "--ckpt", official("F"), *options, out)
        assert done.exit_code == 0, done.output
        with Image.open(out) as image:
            assert image.size == size


@pytest.mark.parametrize("seeding", ["grid", "official"])
def test_mixing_takes_the_seeds_of_grid_or_the_official_ones(seeding, official, tmp_path):
    out, painter = tmp_path / "mixing.png", networks.official()
    options = ["--sources", "0,1", "--destinations", "2-4", "--layers", "fine", "--batch", 1000]
    done = run("mixing", "--ckpt", official("F"), *options, "--seeding", seeding, out)
    assert done.exit_code == 0, done.output
    z = (latents_of(seeds, 32, seeding) for seeds in ([0, 1], [2, 3, 4]))
    expected = networks.draw_mixing(painter, *z, Mixing(layers=("fine",)))
    assert networks.nearly_equal(pixels(out), expected)


def test_rosinalitys_layout_brings_its_truncation_noise_and_gaps(official, tmp_path):
    out, painter = tmp_path / "mixing.png", networks.official()
    words = ["--layout", "rosinality", "--batch", 1000]
    done = run("mixing", "--ckpt", official("F"), *words, out)
    assert done.exit_code == 0, done.output
    z = (latents_of(seeds, 32, "grid") for seeds in (range(5), range(5, 8)))
    expected = networks.draw_mixing(painter, *z, LAYOUTS["rosinality"])
    assert expected.shape == (4 * 34 + 2, 6 * 34 + 2, 3)
    assert networks.nearly_equal(pixels(out), expected)


def test_the_first_images_of_a_film_and_of_a_grid_are_one(official, tmp_path):
    film, grid = tmp_path / "film.apng", tmp_path / "grid.png"
    words = ["--seeds", "3,4", "--frames", 2, "--psi", 0.5, "--batch", 1]
    assert run("interpolate", "--ckpt", official("F"), *words, film).exit_code == 0
    words = ["--seeds", "3,4", "--psi", 0.5, "--batch", 1]
    assert run("grid", "--ckpt", official("F"), *words, grid).exit_code == 0
    with Image.open(film) as frames:
        assert frames.n_frames == 3
        for frame, left in ((0, 0), (2, 32)):
            frames.seek(frame)
            expected = pixels(grid)[:, left : left + 32].astype(int)
            assert np.abs(np.asarray(frames) - expected).max() <= 1


@pytest.mark.parametrize("extension", ["mp4", "gif", "png", "APNG"])
def test_a_network_without_mapping_is_interpolated_in_z(extension, official, tmp_path):
    if extension == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    out = tmp_path / f"film.{extension}"
    words = ["--space", "z", "--seeds", "0-2", "--frames", 2, "--loop"]
    done = run("interpolate", "--ckpt", official("B"), *words, out)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    assert out.stat().st_size > 1000


def test_a_growing_checkpoint_is_drawn_at_its_level(official, tmp_path):
    import torch

    tree = torch.load(official("F"), weights_only=True)
    grown = tmp_path / "grown.pt"
    torch.save({**tree, "lod": 1.0}, grown)
    out = tmp_path / "figure.png"
    done = run("figure", "8", "--ckpt", grown, out)
    assert done.exit_code == 0, done.output
    picture = pixels(out)
    np.testing.assert_array_equal(picture, picture[::2, ::2].repeat(2, 0).repeat(2, 1))


BAD = [
    ("figure 3 --ckpt {A} {out}", 1, "no styles"),
    ("figure 8 --ckpt {B} {out}", 1, "mapping network"),
    ("figure 2 --ckpt {B} {out}", 1, "psi 1"),
    ("figure 4 --ckpt {D} {out}", 1, "noise inputs"),
    ("figure 5 --ckpt {D} {out}", 1, "noise inputs"),
    ("figure 6 --ckpt {F} {out}", 2, "No such command"),
    ("figure 3 --ckpt {F} --layers 4-8 {out}", 1, "layers 0-7"),
    ("figure 3 --ckpt {F} --layers coarse,fine {out}", 1, "6 destinations"),
    ("figure 3 --ckpt {F} --layers thick {out}", 2, "coarse"),
    ("figure 3 --ckpt {F} --sources 5-3 {out}", 2, "seeds"),
    ("figure 3 --ckpt {F} --psi inf {out}", 2, "finite"),
    ("figure 2 --ckpt {F} --crop 8,8,32,8 {out}", 1, "does not lie within"),
    ("figure 2 --ckpt {F} --crop 0,0,0,8 {out}", 1, "does not lie within"),
    ("figure 2 --ckpt {F} --crop 1,2,3 {out}", 2, "expected 4"),
    ("figure 2 --ckpt {F} --lods 0,6 {out}", 1, "lod 6"),
    ("figure 2 --ckpt {F} --lods 0,,1 {out}", 2, "integer"),
    ("figure 4 --ckpt {F} --count 4 {out}", 2, "x>=5"),
    ("figure 5 --ckpt {F} --layers all,none {out}", 1, "4 halves"),
    ("figure 5 --ckpt {F} --layers all,none,middle,fine {out}", 1, "no middle"),
    (
        "figure 5 --ckpt {F} --seeds 1,2 --mirrored 2,3 {out}",
        1,
        "--mirrored 3 is none of --seeds 1,2",
    ),
    ("figure 3 --ckpt {F} --lod 6 {out}", 1, "--lod 6: at 32x32 the coarsest"),
    ("figure 8 --ckpt {F} --psis 1,x {out}", 2, "'x'"),
    ("figure 8 --ckpt {F} --seeds 4294967296 {out}", 1, "RandomState"),
    ("figure 8 --ckpt {F} --class 1 {out}", 1, "unconditional"),
    ("figure 8 --ckpt {tmp}/no.pt {out}", 1, "does not exist"),
    ("figure 8 --ckpt {F} {tmp}", 1, "is a folder"),
    ("mixing --ckpt {B} {out}", 1, "no styles"),
    ("mixing --ckpt {F} --layout other {out}", 2, "rosinality"),
    ("mixing --ckpt {F} --layers 3-1 {out}", 2, "the last comes before"),
    ("interpolate --ckpt {F} {tmp}/film.avi", 2, ".mp4"),
    ("interpolate --ckpt {F} --seeds 1 {tmp}/film.gif", 2, "two or more"),
    ("interpolate --ckpt {F} --seeds 1,2 --seeds 3-5 {tmp}/film.gif", 2, "as many"),
    ("interpolate --ckpt {F} --frames 0 {tmp}/film.gif", 2, "x>=1"),
    ("interpolate --ckpt {F} --fps 60 {tmp}/film.gif", 1, "at most 50"),
    ("interpolate --ckpt {F} --fps 0 {tmp}/film.gif", 2, "fps"),
    ("interpolate --ckpt {B} {tmp}/film.gif", 1, "--space z"),
    ("interpolate --ckpt {B} --space z --psi 0.7 {tmp}/film.gif", 1, "psi 1"),
    ("interpolate --ckpt {F} {tmp}/no.pt/film.gif", 1, "not a folder"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD)
def test_bad_input_is_one_line(args, status, message, official, tmp_path):
    (tmp_path / "file").touch()
    names = {row: official(row) for row in "ABDF"}
    names |= {"tmp": tmp_path, "out": tmp_path / "out.png"}
    if "no.pt/" in args:
        (tmp_path / "no.pt").touch()
    before = sorted(tmp_path.rglob("*"))
    done = run(*(arg.format(**names) for arg in args.split()))
    assert done.exit_code == status, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    if status == 1:
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_mp4_without_its_package_says_what_to_install(official, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    done = run("interpolate", "--ckpt", official("F"), tmp_path / "film.mp4")
    assert done.exit_code == 1
    assert 'pip install ".[video]" in the source folder' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_mp4_without_ffmpeg_says_so(official, tmp_path, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    done = run("interpolate", "--ckpt", official("F"), tmp_path / "film.mp4")
    assert done.exit_code == 1
    assert "MP4 needs ffmpeg" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
