"""Principal components of w: against NumPy's SVD, a closed form, and whatever batches there are."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.sampling import latents
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import components
from stylegan_eval.metrics.components import (
    covariance_of,
    principal_components,
    sampled_w,
    spread_along,
)
from stylegan_eval.results.directions_file import read_directions
from stylegan_eval.settings.others import ComponentsSettings
from tests.eval.fakes import CPU

SIZE = 6
DEVIATIONS = np.array([0.5, 3.0, 1.0, 0.1, 2.0, 0.2])


def rotation(seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((SIZE, SIZE)))[0]


def test_components_are_those_of_the_singular_value_decomposition():
    w = np.random.default_rng(1).standard_normal((500, SIZE)) * DEVIATIONS @ rotation() + 7
    found = principal_components(covariance_of(w), 4)
    _, singular, vectors = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.spreads, singular[:4] / np.sqrt(499), rtol=1e-12)
    np.testing.assert_allclose(found.shares, (singular**2 / (singular**2).sum())[:4], rtol=1e-12)
    for normal, vector in zip(found.normals, vectors, strict=False):
        np.testing.assert_allclose(normal, vector * np.sign(vector @ normal), atol=1e-12)
    np.testing.assert_allclose(found.normals @ found.normals.T, np.eye(4), atol=1e-12)


def test_of_a_linear_mapping_they_are_its_axes_by_length():
    Q = rotation()
    covariance = Q @ np.diag(DEVIATIONS**2) @ Q.T
    found = principal_components(covariance, SIZE)
    order = np.argsort(-DEVIATIONS)
    np.testing.assert_allclose(found.spreads, DEVIATIONS[order])
    np.testing.assert_allclose(found.shares, DEVIATIONS[order] ** 2 / (DEVIATIONS**2).sum())
    np.testing.assert_allclose(np.abs(found.normals @ Q[:, order]), np.eye(SIZE), atol=1e-9)
    assert found.shares.sum() == pytest.approx(1)
    for normal, spread in zip(found.normals, found.spreads, strict=True):
        assert spread_along(normal, covariance) == pytest.approx(spread)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_entry_of_each_is_positive(seed):
    Q = rotation(seed)
    for signs in (1, -1):
        found = principal_components(signs * Q @ np.diag(DEVIATIONS) @ (signs * Q.T), SIZE)
        largest = found.normals[range(SIZE), np.abs(found.normals).argmax(axis=1)]
        assert (largest > 0).all()


def test_w_that_varies_in_few_directions_has_so_many_components():
    w = np.random.default_rng(2).standard_normal((50, 2)) @ rotation()[:2]
    assert len(principal_components(covariance_of(w), 2).normals) == 2
    with pytest.raises(UserError, match="2 directions only: use --components 2"):
        principal_components(covariance_of(w), 3)
    with pytest.raises(UserError, match="all w are the same"):
        principal_components(covariance_of(np.ones((9, 3))), 1)


class Linear:
    """w is z scaled, entry by entry: the same bits in any batch."""

    scale = torch.tensor(DEVIATIONS, dtype=torch.float32)

    def __init__(self):
        self.batches = []

    def __call__(self, z):
        self.batches.append(len(z))
        return (z * self.scale)[:, None]


def test_batches_change_nothing(monkeypatch):
    settings = ComponentsSettings(num=100, components=3, seed=5)
    results = []
    for batch in (7, 100):
        monkeypatch.setattr(components, "_MAPPED", batch)
        mapping = Linear()
        w = sampled_w(mapping, SIZE, settings, CPU)
        assert max(mapping.batches) == batch
        found = principal_components(covariance_of(w), 3)
        results.append((w.tobytes(), found.normals.tobytes(), found.spreads.tobytes()))
    assert results[0] == results[1]
    expected = latents(5, range(100), SIZE) * Linear.scale
    assert results[0][0] == expected.numpy().tobytes()


@pytest.fixture
def fake(tmp_path, fake_loader):
    path = tmp_path / "fake.ckpt"
    path.write_bytes(b"FAKE 16")
    return path


def run(*args):
    return CliRunner().invoke(main, ["directions", *(str(arg) for arg in args)])


def test_the_command_writes_a_file_of_directions_and_states_the_shares(fake, tmp_path):
    out = tmp_path / "pc.safetensors"
    args = ("--ckpt", fake, "--components", 3, "-n", 200, "--seed", 4, "--device", "cpu")
    done = run(*args, "--out", out)
    assert done.exit_code == 0, done.stderr
    directions = read_directions(out)
    assert directions.names == ("pc1", "pc2", "pc3")
    assert directions.generator_digest == sha256_of(fake)
    assert "200 latents of seed 4" in directions.description
    # The mapping of the fake is the identity.
    found = principal_components(covariance_of(latents(4, range(200), 8).numpy()), 3)
    np.testing.assert_array_equal(directions.normals, found.normals.astype(np.float32))
    np.testing.assert_array_equal(directions.spreads, found.spreads.astype(np.float32))
    assert np.isnan(directions.accuracies).all()
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["component", "spread", "share", "sum"]
    for line, share, remark in zip(lines, found.shares, directions.about, strict=True):
        assert f"{share:.2%}" in line
        assert remark == f"{share:.1%} of the variance of w"
    assert lines[-1].endswith(f"{found.shares.sum():.2%}")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--components 0", 2, "--components"),
        ("--components 9", 1, "w varies in 8 directions only: use --components 8"),
        ("--components 3 -n 1", 1, "--num must be at least 2"),
        ("--components 3 --keep 5", 2, "--keep is for attributes, not for --components"),
        ("--components 3 --csv x.csv", 2, "--csv is for attributes"),
        ("--components 3 --batch 5", 2, "--batch is for attributes"),
    ],
)
def test_bad_input_is_one_line(words, status, message, fake, tmp_path):
    out = tmp_path / "pc.safetensors"
    done = run("--ckpt", fake, "--out", out, "-n", 100, "--device", "cpu", *words.split())
    assert (done.exit_code, done.stdout) == (status, "")
    assert message in done.stderr
    assert not out.exists()
