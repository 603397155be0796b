"""Options of `stylegan-sample` that would have no effect are refused, and leave no file."""

import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.sample.cli import main
from stylegan.sample.recipe import GeneratorSource, Recipe

_NOISE = "is for --noise random: leave it out with --noise"
_ROW = "--row is for --ws FILE: leave it out without --ws"
_MOVE = "--directions is for --move: leave it out without --move"
_CUTOFF = "--cutoff is for --psi: give --psi too, or leave --cutoff out"
_FILM = "--directions is for moves of --recipe: leave it out without --move"
REFUSED = [
    ("image --noise-seed 1 x.png", f"--noise-seed {_NOISE} fixed"),
    ("image --noise-seed 0 x.png", f"--noise-seed {_NOISE} fixed"),
    ("image --noise none --noise-seed 1 x.png", f"--noise-seed {_NOISE} none"),
    ("images --noise-seed 1 --out x", f"--noise-seed {_NOISE} fixed"),
    ("inside --noise-seed 1 --csv x.csv", f"--noise-seed {_NOISE} fixed"),
    ("mixing --noise-seed 1 x.png", f"--noise-seed {_NOISE} fixed"),
    ("mixing --noise-seed 0 x.png", f"--noise-seed {_NOISE} fixed"),
    ("mixing --layout rosinality --noise none --noise-seed 1 x.png", f"--noise-seed {_NOISE} none"),
    ("interpolate --noise-seed 1 x.gif", f"--noise-seed {_NOISE} fixed"),
    ("interpolate --noise-seed 0 x.gif", f"--noise-seed {_NOISE} fixed"),
    ("interpolate --recipe '--noise-seed 0' x.gif", f"--noise-seed {_NOISE} fixed"),
    ("export --latents {z} --seed 1 x.npy", f"--seed {_NOISE} fixed"),
    ("export --latents {z} --noise none --seed 0 x.npy", f"--seed {_NOISE} none"),
    ("image --cutoff 4 x.png", _CUTOFF),
    ("grid --cutoff 4 x.png", _CUTOFF),
    ("mixing --cutoff 8 x.png", _CUTOFF),
    ("interpolate --cutoff 8 x.gif", _CUTOFF),
    ("export --latents {z} --cutoff 8 x.npy", _CUTOFF),
    ("image --row 1 x.png", _ROW),
    ("image --row 0 x.png", _ROW),
    ("inside --row 1", _ROW),
    ("interpolate --recipe '--seed 1 --row 2' x.gif", _ROW),
    ("image --directions no.safetensors x.png", _MOVE),
    ("images --directions no.safetensors --out x", _MOVE),
    ("inside --directions components", _MOVE),
    ("interpolate --directions no.safetensors x.gif", _FILM),
    ("interpolate --recipe '--seed 1' --recipe '--seed 2' --directions components x.gif", _FILM),
]
TAKEN = [
    "mixing --layout rosinality --noise-seed 1 --cutoff 4 {out}.png",
    "mixing --noise random --noise-seed 1 --psi 0.5 --cutoff 4 {out}.png",
    "interpolate --noise random --noise-seed 1 --psi 0.5 --cutoff 4 --frames 2 {out}.gif",
    "export --latents {z} --noise random --seed 1 --psi 0.5 --cutoff 4 {out}.npy",
    "figure 2 --cutoff 4 --lods 2 --rows 1 {out}.png",
    "image --psi 1 --cutoff 4 {out}.png",
]


def run(words, files, folder):
    np.save(folder / "z.npy", np.ones((1, 32), np.float32))
    args = shlex.split(words.format(z=folder / "z.npy", out=folder / "out"))
    at = 1 + (args[0] == "figure")
    return CliRunner().invoke(main, [*args[:at], "--ckpt", str(files["F"]), *args[at:]])


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_an_option_without_effect_is_refused(words, message, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(words, files, tmp_path)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["z.npy"]


@pytest.mark.parametrize("words", TAKEN)
def test_an_option_with_effect_is_taken(words, files, tmp_path):
    done = run(words, files, tmp_path)
    assert done.exit_code == 0, done.output
    assert len(list(tmp_path.iterdir())) == 2


def test_commands_of_the_explorer_name_no_cutoff_without_truncation(files):
    source = GeneratorSource(ckpt=files["F"])
    command = source.command(Recipe(cutoff=4), "x.png")
    assert "--cutoff" not in command
    assert "--cutoff 4" in source.command(Recipe(psi=0.5, cutoff=4), "x.png")
