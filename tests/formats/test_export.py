"""A generator leaves as ONNX, pt2 and TorchScript and draws the same images there."""

import io
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan.formats.export import KINDS, export_generator
from stylegan.formats.torch_files import read_peer
from stylegan.networks.generator import GeneratorAtLod, build_generator, truncate
from stylegan.snapshot import Provenance, Snapshot, load_generator
from stylegan_eval.engine.sampling import draw
from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import generator_from
from tests.formats import peers_rosinality
from tests.train import golden

CPU = torch.device("cpu")


def tree_of(row="F", *, lod=0.0, **properties):
    """A network of 16x16 with random weights, which uses both ways to up-sample."""
    config = golden.small_config(row)
    if config.network.mapping_layers:
        properties["mapping_layers"] = 2
    network = replace(config.network, fused_from=16, **properties)
    config = replace(config, resolution=16, network=network)
    made = build_generator(config, seed=0)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in (*made.named_parameters(), ("w_avg", made.w_avg)):
            if name.endswith(("bias", "const", "noise_weight", "w_avg")):
                value.normal_(generator=rng)
    return Snapshot(
        config=config,
        provenance=Provenance(seed=0, data="none", version="0"),
        nimg=0,
        lod=lod,
        networks={"G_ema": made.state_dict()},
    )


def latents(n, z_dim=32):
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def expected(tree, z, psi, cutoff=8):
    network = load_generator(tree, CPU)
    ws = network.mapping(z)
    if psi < 1:
        ws = truncate(ws, network.w_avg, psi, cutoff)
    lod = tree.lod
    return GeneratorAtLod(network, lod).synthesis(ws, network.g.fixed_noise(lod))


def close(images, wanted):
    assert images.shape == wanted.shape
    assert (images - wanted).abs().max() < 1e-5 * wanted.abs().max()


def opened(path, kind):
    """The file as a function of z and psi."""
    if kind == "onnx":
        ort = pytest.importorskip("onnxruntime")
        session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        return lambda **given: torch.from_numpy(
            session.run(["images"], {name: value.numpy() for name, value in given.items()})[0]
        )
    if kind == "pt2":
        return torch.export.load(io.BytesIO(path.read_bytes())).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(io.BytesIO(path.read_bytes()))
    return lambda z, psi=None: module(z) if psi is None else module(z, float(psi))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_images_for_any_batch_and_psi(kind, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    tree, path = tree_of(), tmp_path / "network"
    off = export_generator(tree, path, kind, cutoff=3)
    assert off is None or off < 1e-5
    run = opened(path, kind)
    for n, psi in ((1, 0.5), (3, 1.0), (5, 0.0)):
        z = latents(n)
        close(run(z=z, psi=torch.tensor(psi)), expected(tree, z, psi, cutoff=3))


@torch.no_grad()
def test_a_network_without_mapping_takes_no_psi(tmp_path):
    tree, path = tree_of("B"), tmp_path / "network"
    export_generator(tree, path, "torchscript")
    run = opened(path, "torchscript")
    close(run(z=latents(3)), expected(tree, latents(3), 1.0))
    with pytest.raises(torch.jit.Error, match="psi 1"):
        run(z=latents(3), psi=torch.tensor(0.5))


@torch.no_grad()
def test_an_imported_network(tmp_path):
    tree = read_peer(peers_rosinality.generator((16, 8), fused_from=2, depth=2), Path("some.model"))
    z = latents(3, peers_rosinality.W)
    export_generator(tree, tmp_path / "network", "torchscript")
    images = opened(tmp_path / "network", "torchscript")(z=z, psi=torch.tensor(0.7))
    close(images, expected(tree, z, 0.7))


@torch.no_grad()
def test_labels_are_an_input_also_of_a_network_still_growing(tmp_path):
    tree, path = tree_of(lod=1.5, label_size=3), tmp_path / "network.pt2"
    export_generator(tree, path, "pt2")
    z, labels = latents(4), torch.eye(3)[[0, 1, 2, 0]]
    network = load_generator(tree, CPU)
    ws = truncate(network.mapping(z, labels), network.w_avg, psi=0.7, cutoff=8)
    wanted = GeneratorAtLod(network, 1.5).synthesis(ws, network.g.fixed_noise(1.5))
    assert wanted.shape[-1] == 16
    close(opened(path, "pt2")(z=z, psi=torch.tensor(0.7), labels=labels), wanted)
    with pytest.raises(UserError, match="unconditional"):
        export_generator(tree, tmp_path / "other", "torchscript")


@torch.no_grad()
def test_torchscript_is_measured_like_the_network(tmp_path):
    tree, path = tree_of(lod=1.0), tmp_path / "network.pt"
    export_generator(tree, path, "torchscript")
    loaded = generator_from(str(path), CPU)
    own = GeneratorAtLod(load_generator(tree, CPU), 1.0)
    assert list(loaded.generator.noise_shapes) == own.noise_shapes
    for made, wanted in zip(
        draw(loaded.generator, 0, range(3), CPU), draw(own, 0, range(3), CPU), strict=True
    ):
        torch.testing.assert_close(made, wanted)


def test_what_cannot_be_exported_leaves_nothing(tmp_path):
    path = tmp_path / "network"
    with pytest.raises(UserError, match="expected onnx, pt2, torchscript"):
        export_generator(tree_of(), path, "caffe")
    with pytest.raises(UserError, match="no generator"):
        export_generator(replace(tree_of(), networks={"D": {}}), path, "pt2")
    tree = tree_of()
    tree.networks["G_ema"]["w_avg"].fill_(float("nan"))  # draws nothing to be compared
    with pytest.raises(UserError, match="other images"):
        export_generator(tree, path, "torchscript")
    assert list(tmp_path.iterdir()) == []
