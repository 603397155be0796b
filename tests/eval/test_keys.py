"""Names under which work and statistics are kept: a change loses what users have in their caches.

tests/golden/keys.json holds the keys of version 0.1.0. What depends on the machine stands there as
a word in angle brackets.
"""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.classifiers.storage import load_classifier, save_classifier
from stylegan_eval.classifiers.training import train
from stylegan_eval.cli import main
from stylegan_eval.engine.blocks import WORK_FORMAT, Run, key_digest
from stylegan_eval.engine.files import PACKAGE
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.features import cached_files, read_entry
from stylegan_eval.settings.others import TrainSettings
from tests.eval.labelled import draw, write

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/keys.json").read_text())
LITE = "--features efficientnet-lite0 --device cpu"
COMMANDS = {
    "fid of a generator": f"fid --ckpt CKPT --data DATA -n 6 {LITE} --seed 3 --batch 5",
    "fid of images": f"fid --images IMAGES --data DATA -n 5 {LITE} --mirror yes",
    "fid of a floor": f"fid --floor --data DATA -n 3 {LITE} --seed 1",
    "kid": f"kid --ckpt CKPT --data DATA -n 6 {LITE} --psi 0.5 --subset-size 4 --reals first",
    "all": (
        f"all --metrics fid,kid,is,pr,prdc,ppl,ls --ckpt CKPT --data DATA -n 11 {LITE}"
        " --subset-size 6 --pairs 3 --distance st-lpips-alex --crop none --ls-num 14 --ls-keep 6"
        " --classifiers CLASSIFIERS --reals full"
    ),
    "stats": f"stats --data DATA STATS.npz {LITE} --mirror",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Images, classifiers and a checkpoint."""
    folder = tmp_path_factory.mktemp("keys")
    pixels, labels = draw(12, 32)
    write(folder / "data", pixels, labels.tolist())
    write(folder / "images", pixels[:7], labels[:7].tolist())
    pixels, labels = draw(100, 8)
    with open_images(write(folder / "labelled", pixels, labels.tolist())) as files:
        trained = train(files, TrainSettings(epochs=1), torch.device("cpu"))
    save_classifier(folder / "classifiers.safetensors", *trained)
    (folder / "linear.ckpt").write_text("FAKE 32")
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_keys_are_those_of_before(name, made, tmp_path, fake_loader, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Run, "finish", lambda _: None)  # as if killed: the work stays
    files = {
        "CKPT": made / "linear.ckpt", "DATA": made / "data", "IMAGES": made / "images",
        "CLASSIFIERS": made / "classifiers.safetensors", "STATS.npz": tmp_path / "stats.npz",
    }  # fmt: skip
    words = [str(files.get(word, word)) for word in COMMANDS[name].split()]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    work = {}
    for path in (tmp_path / "cache" / "work").iterdir():
        key = json.loads((path / "key.json").read_text())
        made_by = {"format": WORK_FORMAT, "version": version(PACKAGE)}
        assert path.name == key_digest({**key, **made_by})[:32]
        work[path.name] = {**key, "blocks": sorted(file.name for file in path.glob("*.npz"))}
    kept = []
    for path in cached_files():
        entry = read_entry(path)
        assert entry.whole
        assert path.name == f"{key_digest(entry.key)[:32]}.npz"
        kept.append(entry.key)
    found = {"work": list(work.values()), "reals": kept}
    assert in_order(as_on_any_machine(found, made)) == GOLDEN[name]


def as_on_any_machine(found, made):
    text = json.dumps(found).replace(f'"torch": "{torch.__version__}"', '"torch": "<version>"')
    for name in ("data", "images"):
        text = text.replace(content_digest(open_images(made / name)), f"<{name}>")
    classifier = load_classifier(made / "classifiers.safetensors", torch.device("cpu"))
    return json.loads(text.replace(classifier.sha256, "<classifiers>"))


def in_order(found):
    return {what: sorted(keys, key=str) for what, keys in found.items()}


def test_a_digest_of_a_key_is_that_of_before():
    assert key_digest({"b": 1, "a": 0.5, "c": "é"}) == GOLDEN["digest of a key"]
