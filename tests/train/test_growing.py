"""`--init` with larger images or with labels: what is new begins without an effect."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.checkpoint import newest_checkpoint, read_checkpoint, save_checkpoint
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import write_archive
from stylegan.presets import Tuning, apply_preset, with_options
from stylegan.snapshot import Provenance
from stylegan.train import main
from stylegan.training.run import initial
from stylegan.training.schedule import phases, training_point
from stylegan.training.settings import RunSettings
from stylegan.training.state import TrainState
from stylegan_eval.engine.files import sha256_of


def run(*words):
    return CliRunner().invoke(main, [*map(str, words), "--device", "cpu"])


def images_of(path, size, labels=0):
    """20 images of noise, in as many classes."""
    pixels = np.random.default_rng(size).integers(0, 256, (20, size, size, 3), dtype=np.uint8)
    write_archive(path, ((x, k % labels if labels else None) for k, x in enumerate(pixels)))
    return path


def row_of(name, resolution=16):
    config = with_options(apply_preset(CONFIGS[name], "tiny-16"), resolution=resolution)
    return replace(config, network=replace(config.network, fmap_base=64))


def trained_networks(path, config, lod, runtime):
    """Networks with weights that are no more the first ones, and an average of its own."""
    state = TrainState.fresh(config, runtime, seed=3)
    rng = torch.Generator().manual_seed(0)
    for network in state.networks.values():
        for tensor in network.state_dict().values():
            tensor.add_(torch.randn(tensor.shape, generator=rng), alpha=0.2)
    state.lod, state.nimg = lod, 5000
    provenance = Provenance(seed=3, data="", version="")
    save_checkpoint(path, state.snapshot(config, provenance))
    return state


def begin(path, runtime, **changes):
    settings = RunSettings(out=path.parent / "new", data=path.parent / "x.zip", seed=9)
    begun = initial(path, lambda trained: with_options(trained, **changes), settings, runtime)
    return begun, begun.state(runtime)


def drawn(network, lod, labels=None):
    """Images [4, 3, H, W] at a level of detail, with the noise that is stored."""
    z = torch.randn(4, network.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.synthesis(network.mapping(z, labels), network.g.fixed_noise(lod), lod)


def scores(D, images, lod, labels=None):
    with torch.no_grad():
        return D(images, labels, lod)


@pytest.mark.parametrize("name", ["A", "F"])
@pytest.mark.parametrize("lod", [0.0, 1.0])
def test_a_grown_network_begins_as_the_old_one(name, lod, runtime, tmp_path):
    path = tmp_path / "x.pt"
    old = trained_networks(path, row_of(name), lod, runtime)
    begun, new = begin(path, runtime, resolution=64, total_kimg=2.0)
    assert begun.provenance.init == sha256_of(path)
    reached = 16 >> int(lod)
    point = training_point(0, begun.config)
    assert (point.resolution, point.lod, new.lod) == (reached, lod + 2, lod + 2)
    sizes = [phase.resolution for phase in phases(begun.config)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (reached, 64)
    for part in ("G", "G_ema"):
        before, after = drawn(getattr(old, part), lod), drawn(getattr(new, part), lod + 2)
        assert torch.equal(before, after)
        assert torch.equal(getattr(old, part).w_avg, getattr(new, part).w_avg)
    images = drawn(old.G, lod)
    assert torch.equal(scores(old.D, images, lod), scores(new.D, images, lod + 2))
    # What is new is the same in G and its average, and the optimizers know nothing.
    fresh = [key for key in new.G.state_dict() if key not in old.G.state_dict()]
    assert any("to_rgb.4" in key for key in fresh)
    assert all(torch.equal(new.G.state_dict()[k], new.G_ema.state_dict()[k]) for k in fresh)
    for optimizer in (new.optimizer_G, new.optimizer_D):
        tree = optimizer.tree()
        assert tree["t"] == 0
        assert all(not moment.any() for moment in tree["exp_avg_sq"].values())


def test_new_layers_fade_in(runtime, tmp_path):
    path = tmp_path / "x.pt"
    old = trained_networks(path, row_of("F"), 0.0, runtime)
    _, new = begin(path, runtime, resolution=32)
    coarse = drawn(old.G, 0.0).repeat_interleave(2, 2).repeat_interleave(2, 3)
    finest = drawn(new.G, 0.0)
    assert not torch.allclose(finest, coarse)
    for fade in (0.75, 0.25):
        mixed = torch.lerp(finest, coarse, fade)
        torch.testing.assert_close(drawn(new.G, fade), mixed)


@pytest.mark.parametrize("name", ["A", "C", "F"])
def test_classes_begin_alike(name, runtime, tmp_path):
    path = tmp_path / "x.pt"
    old = trained_networks(path, row_of(name), 0.0, runtime)
    begun, new = begin(path, runtime, resolution=32, label_size=3)
    assert begun.config.network.label_size == 3
    before = drawn(old.G_ema, 0.0)
    for number in range(3):
        labels = torch.eye(3)[[number] * 4]
        after = drawn(new.G_ema, 1.0, labels)
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
        expected = scores(old.D, before, 0.0)
        torch.testing.assert_close(scores(new.D, before, 1.0, labels), expected)
    # It can learn: the embedding, and what weighs it, have gradients.
    labels = torch.eye(3)[[0, 1, 2, 0]]
    z = torch.randn(4, new.G.z_dim, generator=torch.Generator().manual_seed(1))
    noise = new.G.g.fixed_noise(1.0)
    new.D(new.G.synthesis(new.G.mapping(z, labels), noise, 1.0), labels, 1.0).sum().backward()
    assert new.G.f.label_embedding.weight.grad.abs().min() > 0
    # Truncation goes to the same w, of which a row without a mapping has more numbers.
    mean = new.G_ema.w_avg
    w = new.G_ema.mapping(z, labels)[:, 0]
    before_w = old.G_ema.mapping(z)[:, 0]
    n = before_w.shape[1]
    distance = (w[:, :n] - mean[:n]).norm(dim=1) / (before_w - old.G_ema.w_avg).norm(dim=1)
    assert torch.allclose(distance, torch.full((4,), 2**0.5 if name == "A" else 1.0), atol=1e-4)


def test_a_run_grows_and_goes_on(finished, cache, tmp_path):
    data, out = images_of(tmp_path / "x32.zip", 32, labels=2), tmp_path / "run"
    words = ["--init", finished, "--data", data, "--cache", cache, "--out", out, "--warmup", 0]
    words += ["--kimg", 0.2, "--lrate", 0.002, "--cond"]
    done = run(*words, "--dry-run")
    assert done.exit_code == 0, done.output
    (note,) = [line for line in done.stderr.splitlines() if "networks" in line]
    assert "networks of 16x16 grow to 32x32; --resolution 16 keeps their size; uncond" in note
    assert "unconditional networks get labels, of 2 classes or numbers, and begin as if" in note
    done = run(*words)
    assert done.exit_code == 0, done.output
    saved = read_checkpoint(newest_checkpoint(out))
    config = saved.config
    assert (config.resolution, config.schedule.initial_resolution) == (32, 16)
    assert config.network.label_size == 2
    assert saved.provenance.init == sha256_of(newest_checkpoint(finished))
    assert saved.trained == f"{saved.nimg / 1000:.1f} kimg after an earlier training"
    assert "earlier" not in read_checkpoint(newest_checkpoint(finished)).trained
    assert run("--resume", "--out", out, "--cache", cache, "--kimg", 0.3).exit_code == 0
    assert read_checkpoint(newest_checkpoint(out)).lod < saved.lod
    # With --resolution the networks stay, and images are shrunk.
    done = run("--init", finished, "--data", data, "--resolution", 16, "--dry-run", "--warmup", 0)
    assert done.exit_code == 0
    assert "images of 32x32 are shrunk to 16x16" in done.stderr


def test_auto_plans_the_growth_alone(finished, tmp_path):
    data = images_of(tmp_path / "x64.zip", 64)
    done = run("--init", finished, "--data", data, "--preset", "auto", "--kimg", 8, "--dry-run",
               "--warmup", 0)  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert any("that of the networks that are there" in line for line in lines)
    (phase,) = [line for line in lines if line.startswith("  phase")]
    assert phase.split()[1] == "0.5"  # a quarter of 8, for two fades


def test_what_does_not_fit_is_refused_with_advice_that_works(finished, cache, tmp_path):
    small, large = images_of(tmp_path / "x8.zip", 8), images_of(tmp_path / "originals.zip", 32)
    where = ["--cache", cache, "--out", tmp_path / "run", "--warmup", 0, "--kimg", 0.016]

    def refused(*words):
        done = run(*words, *where)
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        return line

    line = refused("--init", finished, "--data", small)
    assert "8x8 images, too small for networks of 16x16" in line
    command = "stylegan-data prepare ORIGINALS x8-16.zip --resolution 16"
    assert command in line
    from stylegan.data import main as prepare

    made = tmp_path / "x8-16.zip"
    words = ["prepare", str(large), str(made), "--resolution", "16"]
    assert CliRunner().invoke(prepare, words).exit_code == 0
    other = [*where[:3], tmp_path / "made", *where[4:]]
    assert run("--init", finished, "--data", made, *other).exit_code == 0
    line = refused("--init", finished, "--data", large, "--resolution", 8)
    assert "have resolution 16, not 8, and can grow alone: leave the option out" in line
    line = refused("--init", finished, "--data", large, "--width", 32)
    assert "have network.z_dim 16, not 64: leave the option out" in line


def test_options_of_values_go_with_init(finished, data, tmp_path):
    done = run("--init", finished, "--data", data, "--minibatch", 4, "--print-config")
    assert done.exit_code == 0
    assert '"minibatch_base": 4' in done.stdout
    expected = Tuning(minibatch=4).apply(read_checkpoint(newest_checkpoint(finished)).config)
    assert expected.schedule.minibatch == ()
