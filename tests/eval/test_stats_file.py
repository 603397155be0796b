import pickle
import zipfile

import numpy as np
import pytest

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import read_stats, write_stats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.pickles.statistics import read_pickled_stats
from tests.data.samples import write_zip


@pytest.fixture
def stats():
    x = np.random.default_rng(0).standard_normal((50, 7)) * np.arange(1, 8)
    return FeatureStats.of(x, "network v1")


def test_statistics_survive_a_file(tmp_path, stats):
    path = tmp_path / "new" / "s.npz"
    write_stats(path, stats, {"content": "ab", "which": "first"})
    read = read_stats(path)
    assert np.array_equal(read.mean, stats.mean)
    assert np.allclose(read.cov, stats.cov, rtol=1e-15)
    assert (read.count, read.detector, read.content) == (50, "network v1", "ab")
    assert frechet_distance(read, stats) < 1e-10


def test_peers_read_ours_and_we_read_theirs(tmp_path, stats):
    from pytorch_fid.fid_score import compute_statistics_of_path

    path = tmp_path / "s.npz"
    write_stats(path, stats, {"content": "ab"})
    mu, sigma = compute_statistics_of_path(str(path), None, 1, 7, "cpu")
    assert np.array_equal(mu, stats.mean)
    assert np.array_equal(sigma, stats.cov)
    theirs = tmp_path / "theirs.npz"
    np.savez_compressed(theirs, mu=mu, sigma=sigma)
    read = read_stats(theirs)
    assert (read.count, read.detector) == (None, "")
    other = FeatureStats.of(np.random.default_rng(1).standard_normal((60, 7)), "network v1")
    assert frechet_distance(read, other) == pytest.approx(frechet_distance(stats, other), rel=1e-12)


def test_singular_statistics_of_unknown_count_are_compared(tmp_path):
    x = np.random.default_rng(0).standard_normal((5, 7))
    few = FeatureStats.of(x, "d")
    np.savez(tmp_path / "few.npz", mu=few.mean, sigma=few.cov)
    assert frechet_distance(read_stats(tmp_path / "few.npz"), few) < 1e-10


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickled_statistics_of_other_evaluators_are_those_of_the_images(tmp_path, protocol):
    x = np.random.default_rng(0).standard_normal((50, 7)) * np.arange(1, 8)
    wanted = FeatureStats.of(x, "d")
    # The layouts are those of EDM2's save_stats and of FeatureStats.save of StyleGAN2-ADA.
    edm2 = {"fid": {"mu": wanted.mean, "sigma": wanted.cov}, "fd_dinov2": {"mu": np.ones(3)}}
    sums = {"raw_mean": x.sum(axis=0), "raw_cov": x.T @ x, "num_items": 50}
    ada = {"capture_all": False, "max_items": None, "all_features": None, **sums}
    for made, count in ((edm2, None), (ada, 50)):
        (tmp_path / "s.pkl").write_bytes(pickle.dumps(made, protocol))
        read = read_pickled_stats(tmp_path / "s.pkl")
        assert read.count == count
        np.testing.assert_allclose(read.mean, wanted.mean, rtol=1e-14)
        np.testing.assert_allclose(read.cov, wanted.cov, rtol=1e-12, atol=1e-13)


class Print:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([1], "not a pickle of statistics: it holds no dictionary"),
        ({}, "it holds nothing"),
        ({"fd_dinov2": {}}, r"of Inception \(it holds fd_dinov2\); expected mu and sigma in fid"),
        ({"fid": {"mu": 1.0, "sigma": np.eye(2)}}, "mu is no array"),
        ({"fid": {"mu": np.ones(2), "sigma": np.ones(2)}}, r"mu is \[2\], sigma \[2\]; expected"),
        ({"fid": {"mu": np.ones(2), "sigma": np.diag([1, -1.0])}}, "negative variance"),
        ({"raw_mean": np.ones(2), "raw_cov": np.eye(3), "num_items": 9}, r"raw_cov \[3, 3\]"),
        ({"raw_mean": np.ones(2), "raw_cov": np.eye(2), "num_items": 1}, "a whole number from 2"),
        (Print(), "not a pickle of statistics: names builtins.print"),
    ],
)
def test_other_pickles_are_refused_and_not_run(tmp_path, capsys, made, message):
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(made, 2))
    with pytest.raises(UserError, match=message.replace("builtins", "(builtins|__builtin__)")):
        read_pickled_stats(tmp_path / "s.pkl")
    assert capsys.readouterr().out == ""


def test_nothing_is_overwritten(tmp_path, stats):
    path = tmp_path / "s.npz"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_stats(path, stats, {})
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match=r"ends in \.npz"):
        write_stats(tmp_path / "s.pkl", stats, {})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.ones(2)}, r"not a file of statistics \(it holds a\); expected mu and sigma"),
        ({"mu": np.ones(3), "sigma": np.ones((2, 2))}, r"mu is \[3\], sigma \[2, 2\]"),
        ({"mu": np.ones((3, 1)), "sigma": np.eye(3)}, r"expected \[D\] and \[D, D\]"),
        ({"mu": np.array([1, np.nan]), "sigma": np.eye(2)}, "mu holds values that are not finite"),
        ({"mu": np.ones(2), "sigma": np.array([[1, 2], [3, 4.0]])}, "not symmetric"),
        ({"mu": np.ones(2), "sigma": -np.eye(2)}, "negative variance"),
        ({"mu": np.array(["a", "b"]), "sigma": np.eye(2)}, "mu is of type <U1; expected numbers"),
        (
            {"mu": np.ones(2), "sigma": np.eye(2), "about": np.array("{}")},
            "`about` metadata is corrupt",
        ),
        ({"mu": np.array([{}, {}], dtype=object), "sigma": np.eye(2)}, "not a file of statistics"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message) as refused:
        read_stats(tmp_path / "x.npz")
    assert "\n" not in str(refused.value)


def test_missing_and_truncated_files_are_refused(tmp_path, stats):
    with pytest.raises(UserError, match="does not exist"):
        read_stats(tmp_path / "absent.npz")
    write_stats(tmp_path / "s.npz", stats, {})
    data = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "s.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a file of statistics"):
        read_stats(tmp_path / "s.npz")


@pytest.mark.parametrize("name", ["mu", "mu.npy", "sigma"])
def test_a_member_that_is_no_array_is_refused_in_one_line(tmp_path, stats, name):
    path = tmp_path / "s.npz"
    np.savez(path, mu=stats.mean, sigma=stats.cov)
    with zipfile.ZipFile(path) as file:
        members = {entry: file.read(entry) for entry in file.namelist()}
    del members[f"{name.removesuffix('.npy')}.npy"]
    with pytest.raises(UserError, match="not a"):
        read_stats(write_zip(tmp_path / "bad.npz", members | {name: b"text"}))
