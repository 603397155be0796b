"""Differences of images: closed forms, sizes, alpha; what two networks have in common."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.explore.controls import hindrances
from stylegan.explore.networks import Networks
from stylegan.png import png_of
from stylegan.sample.cli import main
from stylegan.sample.difference import (
    averaged,
    difference,
    enlarged,
    in_words,
    over_black,
    psnr,
)
from stylegan.sample.drawing import draw_recipe, open_generator
from stylegan.sample.film import write_video
from stylegan.sample.recipe import GeneratorSource, Move, Recipe
from stylegan_eval.errors import UserError
from tests.explore.networks import CPU, write_conditional, write_small


def flat(level, size=4, channels=3):
    return np.full((size, size, channels), level, np.uint8)


def test_a_difference_is_absolute_and_its_numbers_are_those_of_closed_forms():
    levels = difference(flat(10), flat(30))
    assert np.array_equal(levels, difference(flat(30), flat(10)))
    assert (levels == 20).all()
    assert psnr(levels) == pytest.approx(20 * math.log10(255 / 20))
    assert in_words(levels) == "Mean absolute difference 20.00 of 255, PSNR 22.1 dB"
    assert psnr(difference(flat(0), flat(255))) == 0
    same = difference(flat(7), flat(7))
    assert psnr(same) == math.inf
    assert in_words(same) == "There is no difference."


def test_a_film_is_no_image(tmp_path):
    """Of two films that begin alike only the first frames were compared."""
    film, image = tmp_path / "film.png", tmp_path / "image.png"
    frames = [flat(level) for level in (10, 90, 200)]
    write_video(film, frames, fps=5.0, loop=False)
    image.write_bytes(png_of(frames[0], ""))
    for pair in ((film, image), (image, film)):
        refused = CliRunner().invoke(main, ["difference", *map(str, pair), str(tmp_path / "d.png")])
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "film.png: a film of 3 frames, expected one image" in refused.stderr
    assert not (tmp_path / "d.png").exists()


def test_an_enlarged_difference_ends_at_white():
    levels = np.array([[[0.0], [0.4]], [[20.0], [64.0]]])
    assert enlarged(levels, 1).ravel().tolist() == [0, 0, 20, 64]
    assert enlarged(levels, 4).ravel().tolist() == [0, 2, 80, 255]


def test_the_larger_image_is_averaged_over_areas():
    pixels = np.arange(16, dtype=np.float64).reshape(4, 4, 1)
    expected = [[(0 + 1 + 4 + 5) / 4, (2 + 3 + 6 + 7) / 4], [(8 + 9 + 12 + 13) / 4, 12.5]]
    assert averaged(pixels, (2, 2))[:, :, 0].tolist() == expected
    fine = flat(0, size=4)
    fine[::2] = 100
    assert (difference(fine, flat(50, size=2)) == 0).all()


def test_what_is_transparent_is_black():
    rgba = flat(200, channels=4)
    rgba[:, :, 3] = 0
    assert (over_black(rgba) == 0).all()
    assert over_black(rgba).shape == (4, 4, 3)
    rgba[:, :, 3] = 255
    assert (difference(rgba, flat(150)) == 50).all()
    with pytest.raises(UserError, match="grey"):
        difference(flat(1), flat(1, channels=1))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (flat(0, size=4), flat(0, size=6), "images of 4x4 and 6x6 pixels"),
        (flat(0), flat(0, channels=1), "one image is grey"),
        (flat(0), b"no picture", "second.png: not a PNG"),
        (flat(0), None, "second.png: No such file"),
    ],
)
def test_pictures_without_a_difference_are_refused_in_a_line(first, second, message, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("first", "second", "out")]
    for path, content in zip(paths, (first, second), strict=False):
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else png_of(content, ""))
    result = CliRunner().invoke(main, ["difference", *map(str, paths)])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert message in result.stderr
    assert not paths[2].exists()


def test_networks_of_two_sizes_are_compared_at_the_smaller_one(files, tmp_path):
    ckpts = files["F"], write_small(tmp_path / "small.safetensors")
    subjects = [open_generator(ckpt, CPU, None) for ckpt in ckpts]
    sources = [GeneratorSource(ckpt=ckpt, device="cpu") for ckpt in ckpts]
    networks = Networks([*zip(subjects, sources, strict=True)])
    recipe = Recipe(seed=3, psi=0.5)
    found = asyncio.run(networks.pair.difference(recipe))
    large, small = (draw_recipe(recipe, subject) for subject in subjects)
    assert found.shape == (16, 16, 3)
    assert np.array_equal(found, np.abs(averaged(large.astype(float), (16, 16)) - small))
    assert networks.pair.size_note().startswith("compared at 16x16")
    for wrong in (Recipe(saved="0" * 16), Recipe(moves=(Move(name="smiling", amount=1),))):
        with pytest.raises(UserError, match="of one network"):
            asyncio.run(networks.png("second", wrong))
    with pytest.raises(UserError, match="no network 'third'"):
        asyncio.run(networks.png("third", recipe))
    networks.studio.close()


def test_controls_are_those_that_both_networks_have(files, tmp_path):
    opened = {name: open_generator(files[name], CPU, None) for name in ("A", "F", "conditional")}
    other = open_generator(write_conditional(tmp_path / "other.safetensors"), CPU, None)
    assert [*hindrances([opened["F"], opened["F"]])] == ["Attributes"]
    assert [*hindrances([opened["conditional"], other])] == ["Attributes"]
    renamed = replace(other, painter=open_generator(other.file, CPU, None).painter)
    renamed.painter.label_names = ("a", "b", "c")
    assert "Class" in hindrances([opened["conditional"], renamed])
    reasons = hindrances([opened["conditional"], opened["A"]])
    assert [*reasons] == ["Class", "Truncation", "Style mixing", "Noise", "Attributes"]
    assert reasons["Noise"] == f"{files['A']} has no noise inputs."
