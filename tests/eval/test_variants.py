"""Several latents per image and truncation, by a generator whose rows of w show their latent."""

import csv
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from stylegan_eval.cli import main
from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.engine.sampling import Stream, draw, latents, noise_maps
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import write_stats
from stylegan_eval.errors import UserError
from stylegan_eval.generators.loading import load_generator
from stylegan_eval.generators.variants import CENTRE_LATENTS, mean_ws, owners, vary
from stylegan_eval.settings.image_metrics import FidSettings, GeneratedSettings

CPU = torch.device("cpu")
LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


@dataclass(frozen=True)
class Layered:
    """ws[l] = z + l; the image's column l shows the first three numbers of row l."""

    layers: int = 6
    z_dim: int = 4
    resolution: int = 8
    noise_shapes = ()

    def mapping(self, z):
        return z[:, None] + torch.arange(self.layers)[None, :, None]

    def synthesis(self, ws, noise):
        images = torch.zeros(len(ws), 3, self.resolution, self.resolution)
        images[..., : self.layers] = ws[:, :, :3].transpose(1, 2)[:, :, None, :] / 10
        return images


def make_layered(device):
    return Layered()


def make_plain(device):
    def draw_images(z):
        return z[:, :3, None, None].expand(-1, 3, 8, 8).tanh()

    draw_images.z_dim, draw_images.resolution = 4, 8
    return draw_images


def loaded(generator=None, *, maps=True):
    return LoadedGenerator(
        generator=generator or Layered(), description="", sha256="", mirrored=False, maps=maps
    )


def varied(**choices):
    return vary(loaded(), GeneratedSettings(**choices), CPU).generator


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_each_layer_gets_the_latent_that_the_normals_choose(count):
    mixed, original = varied(mixing=count), Layered()
    assert mixed.z_dim == count * 4 + 5
    z = latents(0, range(20), mixed.z_dim)
    ws = mixed.mapping(z)
    for row, normals, latent in zip(ws, z[:, count * 4 :], z, strict=True):
        crossovers = sorted((normals.sort(descending=True).indices[: count - 1] + 1).tolist())
        for layer in range(6):
            number = sum(crossover <= layer for crossover in crossovers)
            own = latent[4 * number : 4 * number + 4]
            assert torch.equal(row[layer], original.mapping(own[None])[0, layer])


@pytest.mark.parametrize(("layers", "count"), [(6, 2), (6, 3), (5, 5), (14, 4)])
def test_every_choice_of_crossovers_is_as_probable(layers, count):
    draws = 20_000
    normals = torch.randn(draws, layers - 1, generator=torch.Generator().manual_seed(3))
    changes = owners(normals, count).diff(dim=1).nonzero()
    assert len(changes) == draws * (count - 1)
    found = Counter(map(tuple, (changes[:, 1] + 1).reshape(draws, -1).tolist()))
    possible = list(combinations(range(1, layers), count - 1))
    assert set(found) == set(possible)
    if len(possible) > 1:
        assert chisquare([found[each] for each in possible]).pvalue > 1e-3


@given(
    st.integers(2, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
    st.integers(0, 99),
)
@settings(deadline=None)
def test_latents_follow_each_other(shape, seed):
    layers, count = shape
    rng = torch.Generator().manual_seed(seed)
    owner = owners(torch.randn(5, layers - 1, generator=rng), count)
    assert owner[:, 0].eq(0).all()
    assert owner[:, -1].eq(count - 1).all()
    assert set(owner.diff(dim=1).unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("choices", [{"mixing": 3}, {"psi": 0.5}, {"mixing": 2, "psi": 0.7}])
def test_an_image_depends_on_its_number_alone(choices):
    generator = varied(**choices)
    *_, together = draw(generator, 5, range(9), CPU)
    apart = [draw(generator, 5, part, CPU)[2] for part in (range(4), range(4, 5), range(5, 9))]
    assert torch.equal(together, torch.cat(apart))


def test_one_latent_without_truncation_is_the_generator_itself():
    one = loaded()
    assert vary(one, GeneratedSettings(mixing=1, psi=1.0), CPU).generator is one.generator


def test_the_first_layer_is_that_of_the_plain_image():
    (_, plain, _), (_, mixed, _) = (
        draw(generator, 2, range(8), CPU) for generator in (Layered(), varied(mixing=4))
    )
    assert torch.equal(plain[:, 0], mixed[:, 0])
    assert (plain[:, -1] != mixed[:, -1]).any(dim=1).all()


def test_truncation_pulls_every_layer_towards_the_mean():
    z = latents(1, range(5), 4)
    plain = Layered().mapping(z)
    centre = mean_ws(Layered(), CPU)
    draws = latents(0, range(CENTRE_LATENTS), 4, Stream.CENTRE).double()
    expected = draws.mean(dim=0) + torch.arange(6)[:, None]
    torch.testing.assert_close(centre.double(), expected, rtol=0, atol=1e-6)
    for psi in (-1.0, 0.5, 0.7, 2.0):
        torch.testing.assert_close(
            varied(psi=psi).mapping(z), centre + psi * (plain - centre), rtol=1e-6, atol=1e-6
        )
    assert torch.equal(varied(psi=0.0).mapping(z), centre.expand(5, -1, -1))


def test_the_mean_is_of_latents_that_no_image_uses():
    assert not torch.equal(latents(0, range(3), 4), latents(0, range(3), 4, Stream.CENTRE))


def test_latents_are_truncated_before_they_mix():
    both, mixed = varied(mixing=3, psi=0.5), varied(mixing=3)
    z = latents(0, range(7), both.z_dim)
    expected = torch.lerp(mean_ws(Layered(), CPU), mixed.mapping(z), 0.5)
    torch.testing.assert_close(both.mapping(z), expected)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(UserError, match=r"6 layers .* use --mixing 6 or less"):
        varied(mixing=7)
    with pytest.raises(UserError, match="needs a mapping network"):
        vary(loaded(maps=False), GeneratedSettings(psi=0.7), CPU)


def test_names_and_protocols_say_what_is_not_as_usual(image_folder, tmp_path):
    data, table = image_folder("reals", 40, size=8), tmp_path / "results.csv"
    common = ["--generator", f"{__name__}:make_layered", *LITE, "--csv", table, "--num", 24]
    compared = [*common, "--data", data]
    for args in (
        ("fid", *compared),
        ("fid", *compared, "--mixing", 1, "--psi", 1),
        ("fid", *compared, "--mixing", 2),
        ("fid", *compared, "--psi", 0.7),
        ("kid", *compared, "--subset-size", 12, "--mixing", 3, "--psi", 0.5),
        ("is", *common, "--mixing", 2),
        ("pr", *compared, "--mixing", 2),
        ("all", *compared, "--metrics", "fid,prdc", "--mixing", 2),
    ):
        done = run(*args)
        assert done.exit_code == 0, done.output
    with table.open() as file:
        rows = list(csv.DictReader(file))
    plain, same, mixed, truncated, kid, *others, again, _, _, _, _ = rows
    assert plain["metric"] == same["metric"] == "fd_efficientnet-lite0"
    assert plain["value"] == same["value"]
    assert plain["protocol"] == same["protocol"]
    assert "mixing" not in plain["protocol"]
    assert mixed["metric"] == again["metric"] == "fd_efficientnet-lite0[mixing:2]"
    assert mixed["value"] == again["value"]
    assert "mixing=2" in mixed["protocol"].split()
    assert truncated["metric"] == "fd_efficientnet-lite0[psi:0.7]"
    assert "psi=0.7" in truncated["protocol"].split()
    assert len({row["value"] for row in (plain, mixed, truncated)}) == 3
    assert kid["metric"] == "kd_efficientnet-lite0[mixing:3,psi:0.5]"
    assert all("mixing:2" in row["metric"] for row in others)
    done = run("compare", table)
    assert done.exit_code == 1  # one generator: nothing to compare with


def test_unlike_ones_are_not_compared(image_folder, tmp_path):
    data, tables = image_folder("reals", 40, size=8), (tmp_path / "a.csv", tmp_path / "b.csv")
    common = ["fid", "--generator", f"{__name__}:make_layered", *LITE, "--num", 24, "--data", data]
    assert run(*common, "--csv", tables[0]).exit_code == 0
    assert run(*common, "--csv", tables[1], "--mixing", 2).exit_code == 0
    done = run("compare", *tables)
    assert done.exit_code == 1
    assert "no metric is in two of" in done.stderr


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ("--generator {layered} --mixing 7", 1, "has 6 layers"),
        ("--generator {layered} --mixing 0", 1, "--mixing must be at least 1"),
        ("--generator {layered} --psi nan", 1, "--psi must be -100 to 100"),
        ("--generator {layered} --psi some", 2, "--psi"),
        ("--generator {plain} --psi 0.7", 1, "needs a mapping network"),
        ("--generator {plain} --mixing 2", 1, "has 1 layers"),
        ("--images {data} --mixing 2", 1, "leave out --mixing"),
        ("--images {stats} --psi 0.7", 1, "leave out --psi"),
        ("--images {data} --generator-precision bf16", 1, "leave out --generator-precision"),
        ("--floor --mixing 2 --psi 0.5", 1, "leave out --mixing and --psi"),
    ],
)
def test_refusals_are_one_line(args, status, message, image_folder, tmp_path):
    names = {
        "layered": f"{__name__}:make_layered",
        "plain": f"{__name__}:make_plain",
        "data": image_folder("reals", 8, size=8),
        "stats": tmp_path / "stats.npz",
    }
    write_stats(names["stats"], FeatureStats.of(np.eye(4), "d"), {"content": "x"})
    words = [word.format(**names) for word in args.split()]
    done = run("fid", *words, "--data", names["data"], "--num", 4, *LITE)
    assert done.exit_code == status
    assert message in done.stderr
    assert done.stdout == ""
    if status == 1:
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("metrics", ["ppl", "fid,ls", "ppl,ls,fid"])
def test_latent_metrics_know_nothing_of_it(metrics):
    done = run("all", "--ckpt", "x", "--data", "y", "--metrics", metrics, "--mixing", 2)
    assert done.exit_code == 1
    assert "leave out --mixing" in done.stderr


def test_a_generator_draws_in_bfloat16_what_its_network_draws_in_it():
    loaded = load_generator(Path("demo"), CPU)
    low = vary(loaded, GeneratedSettings(generator_precision="bf16"), CPU).generator
    _, ws, full = draw(loaded.generator, 0, range(2), CPU)
    noise = noise_maps(0, range(2), low.noise_shapes, CPU)
    with torch.inference_mode():
        expected = loaded.generator.original.synthesis(ws, noise, dtype=torch.bfloat16)
    images = draw(low, 0, range(2), CPU, "bf16")[2]
    assert torch.equal(images, expected)
    assert not torch.equal(images, full)


def test_a_generator_that_cannot_compute_in_a_precision_is_refused():
    with pytest.raises(UserError, match="needs a generator of --ckpt"):
        vary(loaded(), GeneratedSettings(generator_precision="bf16"), CPU)
    with pytest.raises(UserError, match="tf32 needs CUDA"):
        vary(loaded(), GeneratedSettings(generator_precision="tf32"), CPU)


def test_psi_is_named_to_the_last_digit():
    said = [FidSettings(psi=psi).variation for psi in (0.1234567, 0.1234568, 2.0)]
    assert said == [{"psi": "0.1234567"}, {"psi": "0.1234568"}, {"psi": "2"}]
    assert FidSettings(generator_precision="bf16").variation == {"generator-precision": "bf16"}
