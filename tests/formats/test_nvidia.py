"""Official pickles through the command line, held to the official numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.convert import main as convert
from stylegan.datasets.archive import write_archive
from stylegan.formats.nvidia import read_nvidia
from stylegan.network_file import read_network
from stylegan.opening import load_for_evaluation, open_networks
from stylegan.runtime import Runtime
from stylegan.sample.cli import main as sample
from stylegan.train import main as train
from stylegan.training.run import initial
from stylegan.training.run import run as run_training
from stylegan.training.settings import RunSettings
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from tests.formats import official_pickles as pickles
from tests.train import golden


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


def written(path, value, protocol=4, **how):
    path.write_bytes(pickles.dumps(value, protocol, **how))
    return path


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Pickle (G, D, Gs) of a row."""

    def make(row):
        path = folder / f"{row}.pkl"
        if not path.exists():
            written(path, pickles.progan() if row == "A" else pickles.stylegan(row))
        return path

    folder = tmp_path_factory.mktemp("official")
    return make


def exported(path, row, folder, *options):
    np.save(folder / "z.npy", golden.numbers(row)["latents"])
    out = folder / "images.npy"
    done = run(sample, "export", "--ckpt", path, "--latents", folder / "z.npy", *options, out)
    assert done.exit_code == 0, done.output
    return np.load(out)


def check_images(images, row, key, lod=0):
    step = 2 ** int(lod)
    expected = golden.numbers(row)[key][:, :, ::step, ::step]
    assert images.shape == expected.shape
    assert np.abs(images - expected).max() < 5e-5 * np.abs(expected).max()


# A fuses up-sampling and convolution at every resolution, B to F nowhere at 32x32.
@pytest.mark.parametrize("row", golden.ROWS)
def test_images_and_scores_are_the_official_ones(row, official, tmp_path):
    x, out = tmp_path / "x.npy", tmp_path / "scores.npy"
    np.save(x, golden.numbers(row)["reals"])
    for lod in golden.LODS:
        images = exported(official(row), row, tmp_path, "--lod", lod)
        check_images(images, row, f"images_lod_{lod:g}", lod)
        done = run(sample, "scores", "--ckpt", official(row), "--images", x, "--lod", lod, out)
        assert done.exit_code == 0, done.output
        expected = golden.numbers(row)[f"scores_lod_{lod:g}"]
        np.testing.assert_allclose(np.load(out), expected, atol=1e-5)


@pytest.mark.parametrize("row", ["C", "F"])
def test_latents_and_truncation_are_the_official_ones(row, official, tmp_path):
    generator = load_for_evaluation(official(row), torch.device("cpu")).generator
    ws = generator.mapping(golden.tensor(row, "latents"))
    np.testing.assert_allclose(ws, golden.numbers(row)["G_mapping_dlatents"], atol=1e-5, rtol=1e-5)
    check_images(
        exported(official(row), row, tmp_path, "--psi", 0.7), row, "images_trunc_psi0.7_cut8_lod_0"
    )


@pytest.mark.parametrize("row", golden.ROWS)
def test_the_configuration_is_that_of_the_row(row, official):
    config = read_nvidia(official(row)).config
    assert config.name == row
    wanted = golden.small_config(row)
    found = {key: getattr(config.network, key) for key in ("blur", "styles", "noise", "fused_from")}
    assert found == {key: getattr(wanted.network, key) for key in found}
    assert config.network.mapping_layers == wanted.network.mapping_layers
    assert config.loss.style_mixing_prob == wanted.loss.style_mixing_prob


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old_arrays", [True, False])
def test_every_protocol_gives_the_same_networks(protocol, old_arrays, official, tmp_path):
    path = tmp_path / "x"  # recognised by content
    written(path, pickles.stylegan("F"), protocol, old_arrays=old_arrays)
    _, found = open_networks(path)
    wanted = read_nvidia(official("F"))
    for part, state in wanted.networks.items():
        assert found.networks[part].keys() == state.keys()
        assert all(torch.equal(found.networks[part][name], state[name]) for name in state)
    assert found.config == wanted.config


@pytest.mark.parametrize("version", [2, 3, 4])
def test_versions_of_snapshots(version, tmp_path):
    path = written(tmp_path / "x.pkl", pickles.stylegan("F", version=version))
    check_images(exported(path, "F", tmp_path), "F", "images_lod_0")


def test_one_network_alone(tmp_path):
    path = written(tmp_path / "Gs.pkl", pickles.stylegan_generator("F"))
    check_images(exported(path, "F", tmp_path), "F", "images_lod_0")
    path = written(tmp_path / "D.pkl", pickles.stylegan_discriminator("F"))
    np.save(tmp_path / "x.npy", golden.numbers("F")["reals_group"])
    done = run(sample, "scores", "--ckpt", path, "--images", tmp_path / "x.npy", tmp_path / "s.npy")
    assert done.exit_code == 0, done.output
    expected = golden.numbers("F")["scores_group_lod_0"]
    np.testing.assert_allclose(np.load(tmp_path / "s.npy"), expected, atol=1e-5)
    done = run(sample, "grid", "--ckpt", path, tmp_path / "x.png")
    assert done.exit_code == 1
    assert "holds D alone, images are drawn with G_ema" in done.stderr


def test_a_growing_network_is_drawn_at_its_own_lod(tmp_path):
    path = written(tmp_path / "x.pkl", pickles.stylegan("F", lod=1.7))
    tree = read_nvidia(path)
    assert tree.lod == pytest.approx(1.7)
    check_images(exported(path, "F", tmp_path), "F", "images_lod_1.7", 1.7)


def test_progressive_gan_in_the_layout_of_either_code_base(official, tmp_path):
    path = written(tmp_path / "new.pkl", pickles.progan(library="dnnlib"))
    check_images(exported(path, "A", tmp_path), "A", "images_lod_0")
    new, old = read_nvidia(path).networks, read_nvidia(official("A")).networks
    name = "g.layers.5.conv.weight"
    assert torch.equal(new["G_ema"][name], old["G_ema"][name])


def test_fused_and_pixel_normalised_options_are_followed(tmp_path):
    changes = {"fused_scale": True, "use_pixel_norm": True, "use_instance_norm": False}
    path = written(tmp_path / "x.pkl", pickles.stylegan("F", changes=changes))
    network = read_nvidia(path).config.network
    assert (network.fused_from, network.normalization) == (4, "pixel")
    images = exported(path, "F", tmp_path)
    assert np.abs(images - golden.numbers("F")["images_lod_0"]).max() > 0.1


def test_the_fused_path_is_the_plain_one_with_kernels_turned(tmp_path):
    """Turning every up-sampling kernel by 180 degrees undoes the fused orientation."""
    turned = {
        key: value[::-1, ::-1]
        for key, value in golden.variables("F", "G").items()
        if key.endswith("Conv0_up/weight")
    }
    assert len(turned) == 3
    made = pickles.stylegan("F", changes={"fused_scale": True}, values=turned)
    check_images(exported(written(tmp_path / "x.pkl", made), "F", tmp_path), "F", "images_lod_0")


def test_a_conditional_network(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 32)).astype(np.float32)
    wide = rng.normal(size=(64, 32)).astype(np.float32) * 100
    values = {"G_mapping/LabelConcat/weight": rows, "G_mapping/Dense0/weight": wide}
    made = pickles.stylegan_generator("F", changes={"label_size": 3}, values=values)
    path = written(tmp_path / "x.pkl", made)
    images = [exported(path, "F", tmp_path, "--class", k) for k in range(3)]
    assert np.abs(images[0] - images[1]).max() > 0.1
    # The same network without labels: z and the label's row side by side are its latent.
    z = np.concatenate([golden.numbers("F")["latents"], np.tile(rows[2], (4, 1))], axis=1)
    changes = {"label_size": 0, "latent_size": 64}
    plain = pickles.stylegan_generator(
        "F", changes=changes, values={"G_mapping/Dense0/weight": wide}
    )
    path = written(tmp_path / "plain.pkl", plain)
    np.save(tmp_path / "z.npy", z)
    done = run(
        *(sample, "export", "--ckpt", path, "--latents", tmp_path / "z.npy", tmp_path / "o.npy")
    )
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(images[2], np.load(tmp_path / "o.npy"), atol=1e-4)


def test_conversion_loses_no_bit(official, tmp_path):
    out = tmp_path / "out.safetensors"
    for row in ("A", "F"):
        done = run(convert, official(row), out)
        assert done.exit_code == 0, done.output
        content, tree = read_network(out), read_nvidia(official(row))
        assert content.networks.keys() == {"G", "D", "G_ema"}
        for part, state in tree.networks.items():
            assert all(torch.equal(content.networks[part][name], state[name]) for name in state)
        assert "sha256" in content.facts.note
        check_images(exported(out, row, tmp_path), row, "images_lod_0")


PUBLISHED = {
    "karras2019stylegan-ffhq-1024x1024.pkl": True,
    "karras2019stylegan-celebahq-1024x1024.pkl": True,
    "karras2019stylegan-cats-256x256.pkl": False,
    "stylegan2-ffhq-config-a.pkl": True,
    "stylegan2-church-config-a.pkl": False,
    "network-snapshot-000140.pkl": None,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_whether_training_mirrored_is_known_of_published_networks_alone(name, official, tmp_path):
    path, out = tmp_path / name, tmp_path / "out.safetensors"
    path.write_bytes(official("F").read_bytes())
    assert run(convert, path, out).exit_code == 0
    for each in (path, out):
        loaded = load_for_evaluation(each, torch.device("cpu"))
        assert loaded.mirrored is PUBLISHED[name]


@pytest.mark.parametrize("name", ["G", "Gs"])
def test_a_network_alone_that_is_not_called_the_average_is_noted(name, tmp_path):
    path = written(tmp_path / "x.pkl", pickles.stylegan_generator("F", name))
    notes = "".join(load_for_evaluation(path, torch.device("cpu")).notes)
    assert ("taken for the averaged generator" in notes) == (name == "G")
    assert "sha256" not in notes  # the row has it


def test_which_network_is_converted(tmp_path):
    other = {"dlatent_avg": np.full(32, 7, np.float32)}
    made = pickles.stylegan("F")
    made = (pickles.stylegan_generator("F", "G", values=other), *made[1:])
    path, out = written(tmp_path / "x.pkl", made), tmp_path / "out.safetensors"
    for which, parts in (("ema", {"G_ema"}), ("g", {"G_ema"}), ("d", {"D"})):
        assert run(convert, path, out, "--which", which).exit_code == 0
        content = read_network(out)
        assert content.networks.keys() == parts
        if which != "d":
            is_raw = bool((content.networks["G_ema"]["w_avg"] == 7).all())
            assert is_raw == (which == "g")
            assert ("not the average" in content.facts.note) == (which == "g")
            loaded = load_for_evaluation(out, torch.device("cpu"))
            assert ("not the average" in "".join(loaded.notes)) == (which == "g")
    path = written(tmp_path / "Gs.pkl", made[2])
    done = run(convert, path, tmp_path / "no.safetensors", "--which", "d")
    assert done.exit_code == 1
    assert "holds G_ema alone: --which d is not there" in done.stderr
    assert not (tmp_path / "no.safetensors").exists()


def test_description(tmp_path):
    path = written(tmp_path / "network-snapshot-011185.pkl", pickles.stylegan("F"))
    told = run(convert, "--describe", path)
    assert told.exit_code == 0, told.output
    for said in ("11185.0 kimg", "F (+ Mixing", "32x32", "G_style(", "D_basic(", "latent_size=32"):
        assert said in told.stdout
    foreign = pickles.network("vgg", "build_vgg", {"size": 3}, [("a", np.zeros(3, np.float32))])
    told = run(convert, "--describe", written(tmp_path / "x.pkl", foreign))
    assert told.exit_code == 0, told.output
    assert "vgg of dnnlib, layout 3: 1 variables, 3 numbers" in told.stdout
    assert "was built by build_vgg: expected one of G_style" in told.stdout
    assert run(convert, path).exit_code == 2
    assert run(convert, path, tmp_path / "o", "--describe").exit_code == 2
    assert run(convert, path, path).exit_code == 1


@pytest.fixture(scope="module")
def data32(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise32.zip"
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in images))
    return path


def test_training_goes_on_from_it(official, data32, tmp_path):
    def one_step(config):
        schedule = replace(
            config.schedule, total_kimg=0.004, minibatch=((32, 4),), minibatch_repeats=1
        )
        return replace(config, schedule=schedule)

    settings = RunSettings(
        out=tmp_path / "run", data=data32, seed=0, snapshot_kimg=1, cache=tmp_path / "cache"
    )
    runtime = Runtime.choose("cpu")
    run_training(
        settings.out,
        lambda *, taken: initial(official("F"), one_step, settings, runtime),
        runtime,
    )
    _, after = open_networks(tmp_path / "run")
    before = read_nvidia(official("F"))
    assert after.provenance.init == sha256_of(official("F"))
    assert after.nimg == 4
    # Adam's first step is as long as the learning rate.
    for part, name in (("D", "conv.weight"), ("G", "g.layers.2.conv.weight")):
        moved = (after.networks[part][name] - before.networks[part][name]).abs().max()
        assert float(moved) == pytest.approx(1e-3, rel=1e-2)


def test_training_goes_on_from_whole_files_alone(official, data32, tmp_path):
    path, out = written(tmp_path / "Gs.pkl", pickles.stylegan_generator("F")), tmp_path / "run"
    done = run(train, "--init", path, "--data", data32, "--out", out, "--device", "cpu")
    assert done.exit_code == 1
    assert "holds G_ema alone, training goes on with" in done.stderr
    done = run(train, "--resume", official("F"), "--out", out, "--device", "cpu")
    assert done.exit_code == 1
    assert "holds no state of the optimizers" in done.stderr
    assert not out.exists()


EXPRESSED = [
    ({"fmap_decay": 0.5}, "option fmap_decay=0.5"),
    ({"use_wscale": False}, "option use_wscale=False"),
    ({"nonlinearity": "relu"}, "option nonlinearity='relu'"),
    ({"use_instance_norm": False}, "use_pixel_norm=False, use_instance_norm=False"),
    ({"blur_filter": [1, 3, 3, 1]}, "blur_filter is (1, 3, 3, 1)"),
    ({"resample_kernel": [1, 3, 3, 1]}, "option resample_kernel="),
    ({"structure": "fixed"}, "option structure='fixed'"),
    ({"dtype": "float16"}, "option dtype='float16'"),
    ({"resolution": 48}, "power of two"),
    ({"resolution": 64}, "lacks the variable"),
    ({"resolution": 16}, "foreign variable"),
    ({"resolution": 2**40}, "option resolution is"),
    ({"fmap_max": 16}, "does not fit its options"),
    ({"fmap_max": 2**70}, "of no plain kind"),
    ({"mapping_layers": 4}, "which its options rule out"),
    ({"mapping_layers": 10**6}, "mapping_layers is 1000000"),
    ({"use_noise": False}, "which its options rule out"),
    ({"use_styles": 3}, "use_styles is 3"),
    ({"fused_scale": "never"}, "fused_scale is 'never'"),
    ({"style_mixing_prob": 7}, "style_mixing_prob is 7"),
    ({"label_size": 10**5}, "label_size is 100000"),
    ({"latent_size": float("nan")}, "of no plain kind"),
]


@pytest.mark.parametrize(("changes", "message"), EXPRESSED)
def test_what_cannot_be_expressed_is_refused_by_name(changes, message, tmp_path):
    path = written(tmp_path / "x.pkl", pickles.stylegan_generator("F", changes=changes))
    done = run(convert, path, tmp_path / "out.safetensors")
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.startswith(f"error: {path}: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_networks_that_do_not_belong_together_are_refused(tmp_path):
    G, D, Gs = pickles.stylegan("F")
    other = pickles.stylegan_discriminator("F", changes={"fmap_max": 16})
    for made, message in (
        ((G, other, Gs), "disagree on fmap_max: 32, 16"),
        ((G, D), "holds G, D: expected (G, D, Gs)"),
        ((G, pickles.progan()[1], Gs), "of different code bases"),
    ):
        with pytest.raises(UserError) as error:
            read_nvidia(written(tmp_path / "x.pkl", made))
        assert message in str(error.value)
