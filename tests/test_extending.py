"""What docs/extending.md adds works, in a copy of the packages, without any other change."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan.configs import CONFIGS
from stylegan.networks.generator import build_generator
from stylegan.presets import apply_preset
from stylegan_eval.engine.sampling import latents, to_uint8
from stylegan_eval.images.files import open_images
from tests import starting

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n# (\S+) \((.*)\)\n((?s:.*?))```")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the packages with all blocks of the document."""
    folder = tmp_path_factory.mktemp("extended")
    for package in ("stylegan", "stylegan_eval"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```python")
    for name, where, code in blocks:
        path = folder / name
        old = path.read_text(encoding="utf-8") if where != "new" else ""
        path.write_text(with_block(old, where, code), encoding="utf-8")
    return folder


def with_block(old, where, code):
    if where == "new":
        return code
    if where == "at the end":
        return f"{old}\n\n{code}"
    if where.startswith("after `"):
        line = where.removeprefix("after `").removesuffix("`")
        assert old.count(f"{line}\n") == 1
        return old.replace(f"{line}\n", f"{line}\n{code}")
    if where == "imports":
        return re.sub(r"^from stylegan", f"{code}\\g<0>", old, count=1, flags=re.MULTILINE)
    table = where.removeprefix("in ")
    begins = r"[^=]*= (?:(?:MappingProxyType|plugins.Table)\(\s*)?[({\[]\n"
    start = re.search(rf"^{table}\b{begins}", old, flags=re.MULTILINE)
    return old[: start.end()] + code + old[start.end() :]


def run(extended, *args, module="stylegan_eval"):
    environment = {**os.environ, "PYTHONPATH": str(extended)}
    command = [sys.executable, "-m", module, *map(str, args)]
    return starting.run(
        command, capture_output=True, text=True, cwd=extended, env=environment, check=False
    )


def test_a_configuration_a_preset_and_an_option_of_training(extended, tmp_path):
    config = ["--config", "G", "--preset", "tiny-32"]
    done = run(extended, *config, "--print-config", module="stylegan.train")
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert (tree["name"], tree["resolution"], tree["loss"]["r1_gamma"]) == ("G", 32, 20.0)
    data, out = tmp_path / "data.zip", tmp_path / "run"
    make = ["avatars", data, "--count", 8, "--resolution", 32]
    assert run(extended, *make, module="stylegan.data").returncode == 0
    start = [*config, "--data", data, "--out", out, "--kimg", 0.02, "--warmup", 0]
    start += ["--title", "Of a document", "--cache", tmp_path, "--device", "cpu"]
    done = run(extended, *start, module="stylegan.train")
    assert done.returncode == 0, done.stderr
    assert "Of a document:" in (out / "train.log").read_text()
    assert json.loads((out / "run.json").read_text())["title"] == "Of a document"
    assert "--title TEXT" in run(extended, "--help", module="stylegan.train").stdout


def test_a_format_of_data_sets(extended, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    records = [bytes([number]) + image.tobytes() for number, image in enumerate(pixels)]
    source = tmp_path / "data_batch_1.bin"
    source.write_bytes(b"".join(records))
    done = run(extended, "prepare", source, tmp_path / "out.zip", module="stylegan.data")
    assert done.returncode == 0, done.stderr
    with open_images(tmp_path / "out.zip") as files:
        assert np.array_equal(np.stack([files.read(number) for number in range(5)]), pixels)
        assert files.labels.tolist() == [0, 1, 2, 3, 4]
    source.write_bytes(b"".join(records)[:-1])
    done = run(extended, "inspect", source, module="stylegan.data")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "expected records of 3073 bytes" in done.stderr


def test_an_importer_of_networks(extended, tmp_path):
    network = build_generator(apply_preset(CONFIGS["F"], "demo-32"), seed=0)
    torch.save(network.state_dict(), tmp_path / "bare.pt")
    words = ["grid", "--ckpt", tmp_path / "bare.pt", "--seeds", "0", tmp_path / "one.png"]
    done = run(extended, *words, module="stylegan.sample.cli")
    assert done.returncode == 0, done.stderr
    z = latents(0, [0], network.z_dim)
    with torch.inference_mode():
        image = network.synthesis(network.mapping(z), network.g.fixed_noise())
    expected = to_uint8(image)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "one.png")), expected)
    torch.save({**network.state_dict(), "more": torch.zeros(1)}, tmp_path / "bare.pt")
    done = run(extended, *words, module="stylegan.sample.cli")
    assert "has a foreign tensor 'more'" in done.stderr
