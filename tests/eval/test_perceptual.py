"""Perceptual distances against the packages whose weights they use."""

import sys
import warnings
from types import ModuleType

import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.forward_mode import derivative
from stylegan_eval.networks import NETWORKS
from stylegan_eval.networks.lpips import (
    BACKBONE,
    check_image_size,
    head_roots,
    load_distance,
    squared_norm,
    unit_channels,
    why_not_lpips,
)
from stylegan_eval.networks.weights import packaged_file

CPU = torch.device("cpu")
NAMES = ("lpips-vgg", "st-lpips-vgg", "st-lpips-alex")


def image_pair(size, count=2, seed=0):
    """Smooth random images and slightly different ones, in [-1, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, count, 3, 8, 8, generator=rng) * 2 - 1
    a, b = (
        torch.nn.functional.interpolate(part, size, mode="bilinear", align_corners=False)
        for part in coarse
    )
    return a, torch.lerp(a, b, 0.2)


@pytest.fixture(scope="module")
def lpips_package():
    """LPIPS of the package: its own heads over a random backbone."""
    import lpips

    with torch.random.fork_rng(), warnings.catch_warnings():
        # torchvision's, of an argument that the package passes
        warnings.simplefilter("ignore", UserWarning)
        torch.random.manual_seed(0)
        return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()


@pytest.fixture(scope="module")
def backbone(lpips_package, tmp_path_factory):
    """The same random backbone as a file in torchvision's naming."""
    state = {}
    for name, value in lpips_package.net.state_dict().items():
        _, place, kind = name.split(".")
        state[f"features.{place}.{kind}"] = value
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def distances(backbone):
    weights = {"lpips-vgg": backbone}
    return {name: load_distance(name, weights.get(name), CPU) for name in NAMES}


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_lpips_equals_the_package(distances, lpips_package, size):
    a, b = image_pair(size, count=1 if size > 64 else 2)
    with torch.no_grad():
        expected = lpips_package(a, b).flatten()
    assert torch.allclose(distances["lpips-vgg"](a, b).float(), expected, rtol=1e-5, atol=0)


def test_lpips_of_large_images_equals_the_package(distances, lpips_package):
    # A strip: whole images of this size take half a minute.
    a, b = (images[..., 400:528] for images in image_pair(1024, count=1))
    with torch.no_grad():
        expected = lpips_package(a, b).flatten()
    assert torch.allclose(distances["lpips-vgg"](a, b).float(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_shift_tolerant_lpips_equals_its_package(distances, net, monkeypatch):
    # The package imports two modules that it neither declares nor uses here.
    for name, attribute in (("IPython", "embed"), ("torchsummary", "summary")):
        module = ModuleType(name)
        setattr(module, attribute, None)
        monkeypatch.setitem(sys.modules, name, module)
    from stlpips_pytorch.stlpips import LPIPS

    package = LPIPS(net=net, variant="shift_tolerant", verbose=False)
    for size in (32, 64):
        a, b = image_pair(size)
        with torch.no_grad():
            expected = package(a, b).flatten()
        found = distances[f"st-lpips-{net}"](a, b)
        assert torch.allclose(found.float(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_distance_is_the_squared_difference_of_embeddings(distances, name):
    distance = distances[name]
    a, b = image_pair(32)
    with torch.no_grad():
        parts = [x - y for x, y in zip(distance.embed(a), distance.embed(b), strict=True)]
    assert torch.allclose(squared_norm(parts), distance(a, b), rtol=1e-4)
    assert torch.equal(distance(a, a), torch.zeros(2, dtype=torch.float64))
    assert (distance(a, b) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_forward_derivative_equals_differences_in_float64(distances, name):
    distance = distances[name].double()
    a, b = (images.double() for images in image_pair(32, count=1))
    tangents = derivative(distance.embed, a, b - a)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (distance.embed(a + sign * step * (b - a)) for sign in (1, -1))
    moved = [(x - y) / (2 * step) for x, y in zip(ahead, behind, strict=True)]
    error = squared_norm([x - y for x, y in zip(tangents, moved, strict=True)])
    assert (error / squared_norm(tangents)).sqrt() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_without_signal_have_a_derivative(dtype):
    x = torch.zeros(1, 3, 2, 2, dtype=dtype)
    x[0, :, 0, 0] = 2
    value = unit_channels(x)
    (tangent,) = derivative(lambda x: [unit_channels(x)], x, x)
    assert torch.isfinite(tangent).all()
    # Length does not change direction, except by the 1e-10 beside the norm.
    assert tangent.abs().max() < 2 * torch.finfo(dtype).eps + 1e-9
    assert value[0, :, 0, 0].square().sum() == pytest.approx(1)
    assert value[0, :, 1, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_smallest_image_is_the_smallest_that_works(distances, name):
    size = NETWORKS[name].smallest
    a, b = image_pair(size)
    assert torch.isfinite(distances[name](a, b)).all()
    check_image_size(name, size, size)
    smaller, other = image_pair(size - 1)
    with pytest.raises(RuntimeError):
        distances[name](smaller, other)
    with pytest.raises(UserError, match=f"{name} takes images of {size}x{size} pixels and more"):
        check_image_size(name, size - 1, size)


def test_names_do_not_pass_for_official_lpips(distances, backbone):
    for name, distance in distances.items():
        assert distance.name == name
        assert distance.weights_sha256 in distance.identity
    assert distances["st-lpips-vgg"].mark == "st-lpips-vgg"
    own = distances["lpips-vgg"]
    assert own.mark == f"weights:{own.weights_sha256[:8]}"


def test_foreign_weights_are_refused(tmp_path, backbone):
    path = tmp_path / "vgg16.pth"
    torch.save({"features.0.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"not torchvision's VGG16: features\.0 does not fit"):
        load_distance("lpips-vgg", path, CPU)
    with pytest.raises(UserError, match="--weights applies to --distance lpips-vgg"):
        load_distance("st-lpips-vgg", backbone, CPU)


def test_heads_that_make_no_distance_are_refused():
    with pytest.raises(UserError, match="lin0 has negative weights"):
        head_roots({"lin0.model.1.weight": torch.full((1, 2, 1, 1), -0.1)}, [2], "f")
    with pytest.raises(UserError, match=r"expected lin0\.model\.1\.weight \[1, 2, 1, 1\]"):
        head_roots({}, [2], "f")


def test_missing_or_altered_packages_are_named():
    with pytest.raises(UserError, match=r'is not installed.*pip install "\.\[demo\]"'):
        packaged_file("no_such_package", "weights.pth", "", "demo")
    with pytest.raises(UserError, match=r"sha256 is .* expected 00: pip install"):
        packaged_file("lpips", "weights/v0.1/vgg.pth", "00", "lpips")


def test_weights_that_are_there_are_a_wish_for_lpips(tmp_path, monkeypatch, backbone):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert why_not_lpips(backbone) == ""
    cached = tmp_path / "hub" / "checkpoints" / BACKBONE.url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    assert why_not_lpips(None) == ""
    with pytest.raises(UserError, match="delete the file to fetch it again"):
        load_distance("lpips-vgg", None, CPU)
