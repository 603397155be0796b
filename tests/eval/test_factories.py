import sys
import warnings

import pytest
import torch
from torch import nn

from stylegan_eval.engine.sampling import draw
from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import GivenGenerator, generator_from
from stylegan_eval.metrics.sources import generator_key
from stylegan_eval.plugins import sources
from stylegan_eval.settings.common import Sampling

CPU = torch.device("cpu")


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.z_dim: int = 5
        self.resolution: int = 8
        self.layer = nn.Linear(5, 3 * 64)
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for value in self.parameters():
                value.normal_(generator=rng)

    def forward(self, z):
        return self.layer(z).view(-1, 3, 8, 8)


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def make(text, name="own_generators"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return make


def test_a_factory_with_all_parts_is_taken_as_it_is(module):
    name = module(
        "from tests.eval.fakes import LinearGenerator\n"
        "def make(device):\n    return LinearGenerator(resolution=8)\n"
    )
    loaded = generator_from(f"{name}:make", CPU)
    assert loaded.generator.resolution == 8
    assert loaded.description == f"{name}:make"
    assert not loaded.mirrored


def test_a_plain_module_is_drawn_with_w_equal_to_z(module):
    name = module(
        "from tests.eval.test_factories import Affine\ndef make(device):\n    return Affine()\n"
    )
    loaded = generator_from(f"{name}:make", CPU)
    z, ws, images = draw(loaded.generator, 0, range(3), CPU)
    assert torch.equal(ws[:, 0], z)
    with torch.inference_mode():
        assert torch.allclose(images, Affine()(z))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_what_a_generator_does_to_its_input_changes_no_latent(module, mode):
    name = module(
        "from tests.eval.fakes import LinearGenerator\n"
        "class Scaling(LinearGenerator):\n"
        "    def mapping(self, z):\n        return super().mapping(z.mul_(2))\n"
        "    def synthesis(self, ws, noise):\n        return super().synthesis(ws.mul_(3), noise)\n"
        "def plain(device):\n    return LinearGenerator(resolution=8)\n"
        "def scaling(device):\n    return Scaling(resolution=8)\n"
    )
    with mode():
        z, ws, images = draw(generator_from(f"{name}:plain", CPU).generator, 0, range(3), CPU)
        own_z, own_ws, own = draw(
            generator_from(f"{name}:scaling", CPU).generator, 0, range(3), CPU
        )
    assert torch.equal(own_z, z)
    assert torch.allclose(own_ws, 2 * ws)
    assert not torch.allclose(own, images)


def test_the_digest_knows_code_and_weights(module):
    text = (
        "from tests.eval.test_factories import Affine\n"
        "def make(device):\n    G = Affine()\n    G.layer.weight.data += {}\n    return G\n"
        "def same(device):\n    return make(device)\n"
    )
    digests = {}
    for change in (0, 1):
        name = module(text.format(change))
        digests[change] = generator_from(f"{name}:make", CPU).sha256
        assert generator_from(f"{name}:make", CPU).sha256 == digests[change]
    assert digests[0] != digests[1]


def test_the_digest_knows_what_a_factory_imports_beside_it(module, tmp_path):
    (tmp_path / "parts").mkdir()
    text = (
        "import beside\n"
        "def make(device):\n"
        "    from tests.eval.test_factories import Affine\n"
        "    from parts import deep\n"
        "    return Affine()\n"
    )
    files = {
        "beside.py": "import json\n",
        "parts/__init__.py": "from . import deep\n",
        "parts/deep.py": "from .deeper import this\n",
        "parts/deeper.py": "this = 1\n",
        "unused.py": "",
        "parts/unused.py": "",
    }

    def digest(**changed):
        for name, code in {**files, **changed}.items():
            (tmp_path / name).write_text(code)
            sys.modules.pop(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), 0)
        return generator_from(f"{module(text)}:make", CPU).sha256

    plain = digest()
    for name, code in files.items():
        assert (digest(**{name: f"{code}# changed\n"}) == plain) == ("unused" in name)
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("plugin.py", "another.py"):
        (installed / name).write_text("import another\n")
    assert sources([installed / "plugin.py"], installed) == [installed / "another.py"]
    (installed / "another-1.0.dist-info").mkdir()
    assert sources([installed / "plugin.py"], installed) == []


def test_unfinished_work_knows_code_of_other_files_and_of_a_program(module):
    def key(spec):
        return generator_key(generator_from(spec, CPU), Sampling(), CPU)

    module("import body\ndef make(device):\n    return body.Net()\n")
    text = (
        "from tests.eval.test_factories import Affine\n"
        "class Net(Affine):\n    def forward(self, z):\n        return super().forward(z){}\n"
    )
    keys = []
    for change in ("", "", ".tanh()"):
        sys.modules.pop("own_generators", None)
        module(text.format(change), "body")
        keys.append(key("own_generators:make"))
    assert keys[0] == keys[1] != keys[2]

    def net(method):  # as a cell of a notebook defines the same class again
        return GivenGenerator(type("Net", (Affine,), {"forward": method})())

    plain = key(net(lambda self, z: Affine.forward(self, z)))
    assert plain == key(net(lambda self, z: Affine.forward(self, z)))
    assert plain != key(net(lambda self, z: Affine.forward(self, z).tanh()))


def test_torchscript_is_read(tmp_path):
    path = tmp_path / "generator.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Affine()).save(str(path))
    loaded = generator_from(str(path), CPU)
    z, _, images = draw(loaded.generator, 3, range(2), CPU)
    with torch.inference_mode():
        assert torch.allclose(images, Affine()(z))
    assert len(loaded.sha256) == 64


class Failing(Affine):
    def forward(self, z):
        if z.shape[0] > 0:
            raise ValueError("latents of unit length, please")
        return self.layer(z)


class Misshapen(Affine):
    def forward(self, z):
        return self.layer(z[:, :3])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Failing, r"ValueError: latents of unit length, please \(test_factories.py, line \d+\)"),
        (Misshapen, r"RuntimeError: .*mat1 and mat2 shapes.* \(\w+.py, line \d+\)"),
    ],
)
def test_what_fails_inside_torchscript_keeps_its_reason(tmp_path, network, reason):
    path = tmp_path / "generator.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network()).save(str(path))
    with pytest.raises(UserError, match=reason) as told:
        generator_from(str(path), CPU)
    assert "\n" not in str(told.value)
    assert "TorchScript interpreter" not in str(told.value)


def test_weights_without_code_are_told_from_torchscript(tmp_path):
    torch.save(Affine().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match=r"weights without code: .* --ckpt, or a factory"):
        generator_from(str(tmp_path / "weights.pt"), CPU)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "neither a TorchScript file nor package.module:factory"),
        ("no_such_module:make", "cannot be imported"),
        ("own_generators:absent", "cannot be imported"),
        ("own_generators:nothing", "must be a function of one argument, the torch.device"),
        (
            "own_generators:number",
            "gives int; expected a callable z -> images",
        ),
        ("text.pt", "not a TorchScript file"),
    ],
)
def test_what_is_no_generator_is_refused(module, tmp_path, spec, message):
    module("def nothing():\n    return 1\ndef number(device):\n    return 1\n")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(UserError, match=message) as refused:
        generator_from(spec, CPU)
    assert "\n" not in str(refused.value)
