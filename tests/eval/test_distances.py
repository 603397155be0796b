"""The file of path lengths: what the mean of a result was taken of."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from stylegan_eval.results.path_length_file import (
    Distances,
    looks_like_distances,
    read_distances,
    write_distances,
)

GIVEN = Distances(
    lengths={"ppl_wfull[x,nocrop]": np.array([1.0, 2.5]), "ppl_zend": np.arange(3.0)},
    generator="runs/ä \udcff",
    generator_digest="ab" * 32,
    seed=3,
)


@pytest.fixture
def ckpt(tmp_path, fake_loader, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "linear.ckpt"
    path.write_text("FAKE 32")
    return path


def run(command, ckpt, *args):
    words = [command, "--ckpt", ckpt, "--device", "cpu", "--json", *args]
    return CliRunner().invoke(main, [str(word) for word in words])


PPL = ["-n", 40, "--distance", "st-lpips-alex", "--crop", "none", "--space", "w"]


def test_the_mean_of_what_is_kept_is_the_result(ckpt, tmp_path):
    path = tmp_path / "new" / "lengths.npz"
    done = run("ppl", ckpt, *PPL, "--distances", path)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    kept = read_distances(path)
    assert [row["metric"] for row in rows] == list(kept.lengths)
    for row in rows:
        lengths = kept.lengths[row["metric"]]
        assert len(lengths) == row["num"] == 40
        assert trimmed_mean(lengths).mean == row["value"]
    assert kept.generator_digest == rows[0]["generator_digest"]
    assert (kept.generator, kept.seed) == (str(ckpt), 0)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.npz"
    write_distances(path, GIVEN)
    found = read_distances(path)
    assert looks_like_distances(path)
    assert list(found.lengths) == list(GIVEN.lengths)
    for name, lengths in GIVEN.lengths.items():
        np.testing.assert_array_equal(found.lengths[name], lengths)
    assert (found.generator_digest, found.seed) == (GIVEN.generator_digest, 3)


def test_other_files_are_told_in_one_line(tmp_path):
    stats = tmp_path / "stats.npz"
    np.savez(stats, mu=np.zeros(3), sigma=np.eye(3))
    cut = tmp_path / "cut.npz"
    write_distances(cut, GIVEN)
    cut.write_bytes(cut.read_bytes()[:-40])
    for path in (stats, cut, tmp_path / "none.npz"):
        assert not looks_like_distances(path)
        with pytest.raises(UserError, match=r"not a file of path lengths .*--distances FILE\.npz"):
            read_distances(path)


def test_another_version_says_so(tmp_path):
    path = tmp_path / "a.npz"
    about = np.frombuffer(json.dumps({"format": "x/9"}).encode(), np.uint8)
    np.savez(path, about=about)
    with pytest.raises(UserError, match="the format is x/9"):
        read_distances(path)


def test_what_cannot_be_kept_is_refused_before_the_work(ckpt, tmp_path):
    for command, args, message in [
        ("ppl", ["--distances", tmp_path / "a.txt"], "expected a name that ends in .npz"),
        ("ppl", ["--distances", ckpt / "a.npz"], "is not a folder"),
        ("all", ["--metrics", "is", "-n", 20, "--distances", tmp_path / "a.npz"], "is not among"),
    ]:
        refused = run(command, ckpt, *args)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
