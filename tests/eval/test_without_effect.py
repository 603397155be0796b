"""Options of `stylegan-eval` and `stylegan-convert` without effect are refused before the work."""

import pytest
from click.testing import CliRunner

from stylegan.convert import main as convert
from stylegan_eval.cli import main
from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.settings.image_metrics import StatsSettings
from stylegan_eval.settings.others import PplSettings

_DATA = "is for --data: leave it out without --data"
REFUSED = [
    ("ppl --ckpt demo --derivative exact --epsilon 1e-3", "leave it out with --derivative exact"),
    ("ppl --ckpt demo --derivative exact --epsilon 1e-4", "leave it out with --derivative exact"),
    ("ppl --ckpt demo --space w --latent-scale sphere", "leave it out with --space w"),
    ("directions --ckpt demo --normal plain --apart 1 --out x.safetensors", "--normal plain"),
    ("all --ckpt demo --data d --metrics fid --subset-size 9", "leave it out without kid"),
    ("all --ckpt demo --data d --metrics fid,kid --crop none", "leave it out without ppl"),
    ("all --ckpt demo --data d --metrics fid --ls-num 9", "leave it out without ls"),
    ("stats x.npz --data d --reals first", "leave it out without --num"),
    ("stats x.npz --data d --seed 1", "--seed is for images at random and --mirror"),
    ("report --ckpt demo -o x.html --features vgg16", f"--features {_DATA}"),
    ("report --ckpt demo -o x.html --weights w.pth", f"--weights {_DATA}"),
    ("report --ckpt demo -o x.html --samples 0 --seed 1", "leave it out with --samples 0"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_an_option_without_effect_is_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(CliRunner().invoke(main, words.split()), message, tmp_path)


@pytest.mark.parametrize("words", ["--which all", "--to onnx"])
def test_a_description_writes_no_networks(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(convert, ["demo", "--describe", *words.split()])
    refused(done, "leave it out with --describe", tmp_path)


def refused(done, message, folder):
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "options", "idle"),
    [
        ("ppl", {}, set()),
        ("ppl", {"derivative": "both", "space": "z"}, set()),
        ("stats", {"num": 5}, set()),
        ("stats", {"num": 5, "reals": "first"}, {"seed"}),
        ("stats", {"mirror": True}, {"reals"}),
        ("all", {"metrics": "kid,ppl,ls", "subset_size": 9}, set()),
    ],
)
def test_options_with_effect_are_not_among_the_idle(kind, options, idle):
    settings = {"ppl": PplSettings, "stats": StatsSettings, "all": AllSettings}[kind]
    assert set(settings(**options).idle) == idle
