"""Path length against closed forms, float64 and itself in other batches."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.path_length import in_float64, random_generator
from benchmarks.path_length import main as benchmark
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.sampling import latents, noise_maps, path_positions
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import measure_pairs, slerp
from stylegan_eval.metrics.ppl import choose_distance, load_chosen, measure, metric_name
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from stylegan_eval.networks import lpips as lpips_module
from stylegan_eval.networks.lpips import load_distance
from stylegan_eval.settings.others import PplSettings
from tests.eval.fakes import LinearGenerator

CPU = torch.device("cpu")
KINDS = ("zfull", "zend", "wfull", "wend")


@dataclass(frozen=True)
class Pixels:
    """The embedding is the image: distances are squared differences of pixels."""

    name: str = "pixels"
    mark: str = "pixels"
    identity: str = "pixels v1"

    def embed(self, images):
        return [images]


@dataclass(frozen=True)
class Normalising:
    """A linear generator that normalises z first, as StyleGAN does."""

    z_dim: int = 24
    resolution: int = 16
    noise_shapes: tuple = ((4, 4), (16, 16))

    def mapping(self, z):
        return (z / z.norm(dim=1, keepdim=True) * self.z_dim**0.5)[:, None]

    def synthesis(self, ws, noise):
        return LinearGenerator(z_dim=self.z_dim).synthesis(ws, noise)


def linear_map(generator):
    """The matrix [pixels, z_dim] of a linear generator, in float64."""
    basis = torch.eye(generator.z_dim)[:, None]
    images = generator.synthesis(basis, []) - generator.synthesis(torch.zeros_like(basis), [])
    return images.flatten(1).double().T


def ends(count, z_dim, seed=0):
    return [latents(seed, [2 * i + end for i in range(count)], z_dim).double() for end in (0, 1)]


def settings_of(**choices):
    return PplSettings(**{"num": 64, "crop": "none", "derivative": "both"} | choices)


@pytest.fixture
def run(tmp_path):
    return Run(device=CPU, folder=tmp_path / "work")


@pytest.fixture(scope="module")
def styles():
    """Configuration F with random weights, seen by a small perceptual network."""
    generator = random_generator(apply_preset(CONFIGS["F"], "quick-32"), seed=0)
    distance = load_distance("st-lpips-alex", None, CPU)
    return generator, distance


@pytest.fixture(scope="module")
def truth(styles):
    """Exact derivatives in float64 of the first six pairs."""
    generator, distance = in_float64(styles[0]), styles[1].double()
    found = measure_pairs(generator, distance, settings_of(), range(6), CPU, torch.float64)
    return generator, distance, found


def test_a_linear_generator_has_its_closed_form_in_w():
    generator = LinearGenerator()
    found = measure_pairs(generator, Pixels(), settings_of(space="w"), range(40), CPU)
    w0, w1 = ends(40, generator.z_dim)
    expected = ((w1 - w0) @ linear_map(generator).T).square().sum(dim=1)
    for kind in ("wfull", "wend"):
        torch.testing.assert_close(found[f"{kind}-exact"], expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(found[f"{kind}-finite"], expected, rtol=5e-3, atol=0)


def test_a_linear_generator_has_its_closed_form_in_z():
    generator = LinearGenerator()
    found = measure_pairs(generator, Pixels(), settings_of(space="z"), range(40), CPU)
    z0, z1 = ends(40, generator.z_dim)
    angle = torch.nn.functional.cosine_similarity(z0, z1).arccos()[:, None]
    for kind, t in (("zend", torch.zeros(40, 1)), ("zfull", path_positions(0, range(40))[:, None])):
        # On the unit sphere the derivative is at right angles to the point, as long as the angle.
        ahead = slerp(z0, z1, t + torch.pi / 2 / angle) * angle
        expected = (ahead @ linear_map(generator).T).square().sum(dim=1)
        torch.testing.assert_close(found[f"{kind}-exact"], expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(found[f"{kind}-finite"], expected, rtol=5e-3, atol=0)


def test_mean_of_a_linear_generator_is_twice_the_squared_norm_of_its_matrix(run):
    generator = LinearGenerator()
    results = measure(generator, Pixels(), settings_of(num=4000, batch=500, space="w"), run, {})
    expected = 2 * float(linear_map(generator).square().sum())
    assert [result.protocol["sampling"] for result in results] == ["full", "full", "end", "end"]
    for result in results:
        assert result.distances.mean() == pytest.approx(expected, abs=4 * result.stderr)
        trimmed = trimmed_mean(result.distances)
        assert (result.value, result.stderr) == (trimmed.mean, trimmed.stderr)
        assert trimmed.kept == 4000 - 2 * 39


def test_images_that_do_not_move_have_no_path(run):
    class Still(LinearGenerator):
        def synthesis(self, ws, noise):
            return super().synthesis(torch.zeros_like(ws), noise)

    for result in measure(Still(), Pixels(), replace(settings_of(), derivative="finite"), run, {}):
        assert result.value == result.stderr == 0


def test_scale_of_z_matters_only_where_the_generator_does_not_normalise():
    def exact_z(generator, scale):
        settings = settings_of(space="z", derivative="exact", latent_scale=scale)
        return measure_pairs(generator, Pixels(), settings, range(5), CPU)["zfull-exact"]

    plain, normalising = LinearGenerator(z_dim=24), Normalising()
    torch.testing.assert_close(
        exact_z(plain, "sphere"), 24 * exact_z(plain, "unit"), rtol=1e-5, atol=0
    )
    for scale in ("unit", "sphere"):
        torch.testing.assert_close(
            exact_z(normalising, scale), exact_z(plain, "sphere"), rtol=1e-5, atol=0
        )


def test_float32_derivative_is_that_of_float64(styles, truth):
    found = measure_pairs(*styles, settings_of(), range(6), CPU)
    for kind in KINDS:
        expected = truth[2][f"{kind}-exact"]
        errors = (found[f"{kind}-exact"] / expected - 1).abs().sort().values
        assert errors.median() < 2e-5
        # A ReLU at its kink may fall on the other side in float32, once in many pairs.
        assert errors[-2] < 5e-3
        assert errors[-1] < 5e-2
        # The finite difference is off by kinks and by rounding.
        torch.testing.assert_close(found[f"{kind}-finite"], expected, rtol=0.2, atol=0)


def test_finite_differences_tend_to_the_derivative(truth):
    *network, expected = truth
    errors = []
    for epsilon in (1e-3, 1e-6):
        settings = settings_of(derivative="finite", space="w", sampling="full", epsilon=epsilon)
        found = measure_pairs(*network, settings, range(6), CPU, torch.float64)
        error = (found["wfull-finite"] / expected["wfull-exact"] - 1).abs()
        errors.append(float(error.median()))
    assert errors[1] < 2e-5 < 1e-3 < errors[0]


def test_pairs_are_measured_as_the_official_code_does(truth):
    G, distance, _ = truth
    settings = settings_of(derivative="finite", seed=3)
    found = measure_pairs(G, distance, settings, range(2), CPU, torch.float64)
    epsilon = 1e-4
    for i in range(2):
        z0, z1 = latents(3, [2 * i, 2 * i + 1], G.z_dim).double()
        w0, w1 = G.mapping(torch.stack([z0, z1]))
        noise = [layer.double() for layer in noise_maps(3, [2 * i], G.noise_shapes, CPU)]
        for kind in KINDS:
            t = path_positions(3, [i]).double() * (kind[1:] == "full")
            embedded = []
            for place in (t, t + epsilon):
                if kind[0] == "z":
                    ws = G.mapping(slerp(z0, z1, place)[None])
                else:
                    ws = (w0 + (w1 - w0) * place)[None]
                parts = distance.embed(G.synthesis(ws, noise))
                embedded.append(torch.cat([part.flatten() for part in parts]))
            expected = (embedded[1] - embedded[0]).square().sum() / epsilon**2
            assert float(found[f"{kind}-finite"][i]) == pytest.approx(float(expected), rel=1e-6)


def test_batches_change_rounding_alone(styles):
    results = {}
    for batch in (1, 7, 64):
        settings = settings_of(space="w", sampling="full", batch=batch)
        parts = [
            measure_pairs(*styles, settings, range(start, min(start + batch, 14)), CPU)
            for start in range(0, 14, batch)
        ]
        results[batch] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    for batch in (7, 64):
        exact, finite = (
            (results[batch][f"wfull-{how}"] / results[1][f"wfull-{how}"] - 1).abs()
            for how in ("exact", "finite")
        )
        # Dividing by epsilon magnifies the rounding of float32 ten thousand times.
        assert exact.median() < 1e-5
        assert exact.max() < 5e-2
        assert finite.median() < 2e-2
        assert finite.max() < 0.2


def test_a_resumed_measurement_equals_an_uninterrupted_one(run, tmp_path):
    settings = settings_of(num=640, batch=7, space="w", sampling="end")
    whole = measure(LinearGenerator(), Pixels(), settings, run, {"generator": "linear"})

    calls = []

    class Dying(LinearGenerator):
        def synthesis(self, ws, noise):
            calls.append(len(ws))
            if len(calls) > 50:
                raise KeyboardInterrupt
            return super().synthesis(ws, noise)

    other = Run(device=CPU, folder=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        measure(Dying(), Pixels(), settings, other, {"generator": "linear"})
    assert list((tmp_path / "other").rglob("*.npz"))
    resumed = measure(LinearGenerator(), Pixels(), settings, other, {"generator": "linear"})
    assert resumed == whole


def test_both_derivatives_are_compared(run):
    settings = settings_of(space="w", sampling="full")
    finite, exact = measure(LinearGenerator(), Pixels(), settings, run, {})
    assert (finite.metric, exact.metric) == (
        "ppl_wfull[pixels,nocrop]",
        "ppl_wfull[pixels,nocrop,exact]",
    )
    of_pairs = np.median(np.abs(finite.distances / exact.distances - 1))
    assert 0 < of_pairs < 1e-2
    off = f"{finite.value / exact.value - 1:+.1e} off its limit"
    assert f"{off}; single pairs {of_pairs:.1e} (median)" in finite.note
    assert "off its limit" not in exact.note


def test_path_length_is_measured_in_the_middle_of_the_image(run):
    class Border(LinearGenerator):
        def synthesis(self, ws, noise):
            images = super().synthesis(ws, noise).clone()
            images[:, :, 6:14, 4:12] = 0
            return images

    results = measure(Border(), Pixels(), settings_of(crop="face", derivative="finite"), run, {})
    assert [result.value for result in results] == [0, 0, 0, 0]


def test_the_benchmark_prints_every_kind():
    done = CliRunner().invoke(benchmark, ["--pairs", "2"])
    assert done.exit_code == 0, done.output
    assert all(f"{kind} " in done.output for kind in KINDS)
    assert "float32 derivative" in done.output


def test_names_pin_the_protocol():
    official = replace(Pixels(), mark="")
    st_vgg = replace(Pixels(), mark="st-lpips-vgg")
    assert [metric_name(kind, "finite", PplSettings(), official) for kind in KINDS] == [
        "ppl_zfull",
        "ppl_zend",
        "ppl_wfull",
        "ppl_wend",
    ]
    assert metric_name("wfull", "exact", PplSettings(), st_vgg) == "ppl_wfull[st-lpips-vgg,exact]"
    changed = PplSettings(crop="none", rule="ada", epsilon=1e-3, latent_scale="sphere")
    assert metric_name("wend", "finite", changed, official) == "ppl_wend[nocrop,ada,eps:0.001]"
    assert metric_name("zend", "exact", changed, official) == "ppl_zend[nocrop,ada,sphere,exact]"


def test_settings_say_the_official_protocol():
    settings = PplSettings()
    assert (settings.num, settings.epsilon, settings.crop) == (100_000, 1e-4, "face")
    assert (settings.rule, settings.derivative, settings.latent_scale) == ("v1", "finite", "unit")
    assert settings.spaces == ("z", "w")
    assert settings.samplings == ("full", "end")
    assert PplSettings(space="w", derivative="both").spaces == ("w",)


@pytest.mark.parametrize("epsilon", [0.0, 1e-9, 1.0, float("nan")])
def test_steps_that_measure_nothing_are_refused(epsilon):
    with pytest.raises(UserError, match=r"--epsilon must be from 1e-06 to 0\.1"):
        PplSettings(epsilon=epsilon)


def test_images_too_small_for_the_network_are_refused_first(run):
    settings = settings_of(distance="lpips-vgg", crop="face")
    with pytest.raises(UserError, match=r"lpips-vgg takes images of 16x16 .* gets 8x8: use a gen"):
        load_chosen(settings, None, LinearGenerator().resolution, run)


def test_paths_of_grey_are_those_of_three_equal_channels(run):
    class Equal(LinearGenerator):
        channels = 3

        def synthesis(self, ws, noise):
            return super().synthesis(ws, noise)[:, :1].expand(-1, self.channels, -1, -1)

    class Grey(Equal):
        channels = 1

    equal, grey = (measure(g, Pixels(), settings_of(), run, {}) for g in (Equal(), Grey()))
    assert [row.value for row in equal] == [row.value for row in grey]
    assert equal[0].value > 0


def test_generators_of_two_channels_are_refused(run):
    class TwoChannels(LinearGenerator):
        def synthesis(self, ws, noise):
            return super().synthesis(ws, noise)[:, :2]

    with pytest.raises(UserError, match="grey, RGB and RGBA generators can be"):
        measure(TwoChannels(), Pixels(), settings_of(), run, {})


def test_diverged_generators_are_refused(run):
    class Diverged(LinearGenerator):
        def synthesis(self, ws, noise):
            return super().synthesis(ws, noise) * float("nan")

    with pytest.raises(UserError, match="not finite"):
        measure(Diverged(), Pixels(), settings_of(derivative="finite"), run, {})


def test_generators_that_hide_from_differentiation_are_refused(run):
    class Hidden(LinearGenerator):
        @torch.inference_mode()
        def synthesis(self, ws, noise):
            return super().synthesis(ws, noise)

    with pytest.raises(UserError, match=r"no forward-mode derivative .*: use --derivative finite"):
        measure(Hidden(), Pixels(), settings_of(derivative="exact"), run, {})
    measure(Hidden(), Pixels(), settings_of(derivative="finite"), run, {})


def test_only_the_default_distance_gives_way(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # Nothing listens on port 9: as without a network.
    backbone = replace(lpips_module.BACKBONE, url="http://127.0.0.1:9/vgg16-397923af.pth")
    monkeypatch.setattr(lpips_module, "BACKBONE", backbone)
    name, note = choose_distance(PplSettings(), None, run)
    assert name == "st-lpips-vgg"
    assert note.startswith("st-lpips-vgg instead of lpips-vgg: cannot download")
    assert choose_distance(PplSettings(), tmp_path, run) == ("lpips-vgg", "")
    settings = settings_of(distance="lpips-vgg", num=4)
    with pytest.raises(UserError, match=r"cannot download .* put the file at"):
        load_chosen(settings, None, LinearGenerator().resolution, run)


def test_values_come_with_their_distance(run):
    settings = settings_of(num=4, distance="st-lpips-alex", space="w", sampling="end")
    generator = LinearGenerator(resolution=32)
    distance, note = load_chosen(settings, None, 32, run)
    results = measure(generator, distance, settings, run, {})
    assert [result.metric for result in results] == [
        "ppl_wend[st-lpips-alex,nocrop]",
        "ppl_wend[st-lpips-alex,nocrop,exact]",
    ]
    assert all(np.isfinite(result.value) and result.value > 0 for result in results)
    assert distance.name == "st-lpips-alex"
    assert note == ""
