"""Generators of the user's own code that do not keep to the protocol, or fail."""

import sys
import warnings

import pytest
import torch

from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import generator_from

CPU = torch.device("cpu")
HEAD = """
import torch
class Good:
    z_dim, resolution, noise_shapes = 4, 8, ()
    def __init__(self, **other):
        vars(self).update(other)
    def mapping(self, z):
        return z[:, None]
    def synthesis(self, ws, noise):
        return ws.new_zeros(len(ws), 3, 8, 8)
"""


@pytest.fixture
def made_by(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def load(text, head=HEAD):
        monkeypatch.delitem(sys.modules, "hostile", raising=False)
        (tmp_path / "hostile.py").write_text(head + text)
        # Else a change within a second goes unnoticed.
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return generator_from("hostile:make", CPU)

    return load


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("z_dim=8.5", "z_dim must be a whole number from 1, got 8.5"),
        ("z_dim='8'", "z_dim must be a whole number from 1, got '8'"),
        ("resolution=0", "resolution must be a whole number from 1, got 0"),
        ("resolution=8.0", "resolution must be a whole number from 1, got 8.0"),
        ("resolution=16", r"images of shape \[1, 3, 8, 8\], expected \[1, 3, 16, 16\]"),
        ("noise_shapes=[4, 8]", r"noise_shapes must be a list of \(height, width\)"),
        ("mapping=lambda z: z", r"mapping gives ws of shape \[1, 4\], expected \[1, layers"),
        ("mapping=lambda z: z.numpy()", "mapping gives ndarray, expected a tensor"),
        ("synthesis=lambda ws, noise: (ws,)", "synthesis gives tuple, expected a tensor"),
        ("synthesis=lambda ws, noise: ws / 0", "images of shape"),
        (
            "synthesis=lambda ws, noise: torch.zeros(1, 3, 8, 8, dtype=torch.uint8)",
            r"synthesis gives torch.uint8; expected floats, images in about \[-1, 1\]",
        ),
        (
            "synthesis=lambda ws, noise: torch.zeros(1, 3, 8, 8, device='meta')",
            "gives a tensor on meta, its input is on cpu",
        ),
        (
            "synthesis=lambda ws, noise: torch.full((1, 3, 8, 8), torch.nan)",
            "NaN or infinite pixels",
        ),
        (
            "synthesis=lambda ws, noise: torch.zeros(len(ws), 8, 8, 3)",
            r"put the channels first, images.permute\(0, 3, 1, 2\)",
        ),
        (
            "synthesis=lambda ws, noise: torch.zeros(len(ws), 2, 8, 8)",
            r"shape \[1, 2, 8, 8\], expected \[1, 3, 8, 8\]: grey, RGB and RGBA generators can be",
        ),
        ("synthesis=lambda ws, noise: {'sample': ws}", "gives dict, expected a tensor: return it"),
        ("synthesis=lambda ws, noise: torch.zeros(1, 3, 8, 8) * 1j", "gives torch.complex64"),
        (
            "synthesis=lambda ws, noise: torch.nn.Module()(ws)",
            'NotImplementedError: Module .Module. is missing the required "forward" function',
        ),
        (
            "synthesis=lambda ws, noise: torch.nn.Linear(2, 2).load_state_dict({})",
            r"Error\(s\) in loading state_dict for Linear: Missing key",
        ),
        ("synthesis=lambda ws, noise: [][0]", r"failed with IndexError: .* \(hostile.py, line 12"),
    ],
)
def test_a_generator_that_breaks_its_word_is_refused_before_the_work(made_by, attributes, message):
    with pytest.raises(UserError, match=message) as told:
        made_by(f"def make(device):\n    return Good({attributes})\n")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_images_of_any_float_are_taken(made_by, dtype):
    loaded = made_by(
        "class Layer(torch.nn.Linear):\n"
        "    z_dim, resolution = 4, 8\n"
        "    def forward(self, z):\n"
        "        return super().forward(z.to(self.weight.dtype)).view(-1, 3, 8, 8)\n"
        f"def make(device):\n    return Layer(4, 192).to(torch.{dtype})\n"
    )
    assert loaded.generator.resolution == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(device):\n    raise ValueError('no\\nfile')\n", "ValueError: no .hostile.py"),
        ("def make(device):\n    raise SystemExit(3)\n", r"ends the program by itself.*\(3\)"),
        ("def make():\n    return Good()\n", "must be a function of one argument"),
        ("make = 3\n", "must be a function of one argument"),
        ("def make(device):\n    return None\n", "gives NoneType; expected a callable z -> images"),
        ("def make(:\n", "cannot be imported .SyntaxError"),
        ("raise RuntimeError('at import')\n", "cannot be imported .RuntimeError: at import"),
    ],
)
def test_a_factory_that_fails_is_told_in_a_line(made_by, text, message):
    with pytest.raises(UserError, match=message) as told:
        made_by(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("made", "lacking", "advice"),
    [
        ("Net(4, 192)", ["z_dim", "resolution"], "for example g.z_dim = 512, g.resolution = 64"),
        ("Net(4, 192, z_dim=4)", ["resolution"], "for example g.resolution = 64"),
        ("Net(4, 192, resolution=8)", ["z_dim"], "for example g.z_dim = 512"),
        ("saved(torch.jit.trace(Net(4, 192), torch.ones(1, 4)))", ["z_dim", "resolution"],
         "a factory that loads the file and sets, for example g.z_dim = 512, g.resolution = 64"),
        ("types.SimpleNamespace(**vars(Good()), **PARTS)", ["z_dim", "resolution", "noise_shapes"],
         "g.noise_shapes = ()"),
        ("types.SimpleNamespace(z_dim=4, resolution=8, **PARTS)", ["noise_shapes"],
         "for example g.noise_shapes = ()"),
    ],
)  # fmt: skip
def test_what_a_generator_lacks_is_named_and_can_be_given_as_is_said(
    made_by, made, lacking, advice
):
    head = HEAD + (
        "import types\n"
        "PARTS = dict(mapping=lambda z: z[:, None], synthesis=lambda ws, noise:"
        " ws.new_zeros(len(ws), 3, 8, 8))\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self, *sizes, **more):\n"
        "        super().__init__(*sizes)\n"
        "        vars(self).update(more)\n"
        "    def forward(self, z):\n"
        "        return torch.nn.functional.linear(z, self.weight, self.bias).view(-1, 3, 8, 8)\n"
        "def saved(scripted):\n"
        "    scripted.save('generator.pt')\n"
        "    return torch.jit.load('generator.pt')\n"
    )
    warnings.simplefilter("ignore", FutureWarning)  # of tracing
    with pytest.raises(UserError) as told:
        made_by(f"def make(device):\n    return {made}\n", head)
    assert f"which lacks {', '.join(lacking)}: " in str(told.value)
    assert advice in str(told.value)
    line = str(told.value).split("for example ")[1].replace(", ", "; ")
    line = line.replace("512", "4").replace("64", "8")
    made_by(f"def make(device):\n    g = {made}\n    {line}\n    return g\n", head)


def test_a_callable_with_parts_that_are_not_used_says_so(made_by):
    head = HEAD.replace(", noise_shapes = 4, 8, ()", " = 4, 8")
    loaded = made_by(
        "class Called(Good):\n"
        "    def __call__(self, z):\n"
        "        return -self.synthesis(z, ())\n"
        "def make(device):\n"
        "    return Called()\n",
        head,
    )
    (said,) = (note for note in loaded.notes if "taken as a callable" in note)
    assert "mapping and synthesis are not used, w is z" in said
    assert "set, for example g.noise_shapes = ()" in said
    assert not loaded.maps


def test_what_a_factory_says_of_its_generator_is_kept(made_by):
    loaded = made_by(
        "from stylegan_eval.engine.protocols import LoadedGenerator\n"
        "def make(device):\n"
        "    return LoadedGenerator(generator=Good(), description='mine', sha256='0',\n"
        "        mirrored=True, notes=['of my own'], details={'cut off': 'psi = 0.5\\n'})\n"
    )
    assert loaded.notes[0] == "of my own"
    assert loaded.details == {"cut_off": "psi_:_0.5"}


MODES = {
    "batch norm": ("torch.nn.BatchNorm1d(192)", True),
    "dropout": ("torch.nn.Dropout(0.2)", True),
    "nothing of the kind": ("torch.nn.Tanh()", False),
    "spectral norm": ("spectral(torch.nn.Linear(192, 192))", True),
    "spectral norm that has settled": ("settled(spectral(torch.nn.Linear(192, 192)))", False),
}


@pytest.mark.parametrize(("layer", "told"), MODES.values(), ids=MODES)
@pytest.mark.parametrize("evaluated", [False, True])
def test_a_generator_that_came_in_training_mode_is_measured_in_evaluation_mode_and_says_so(
    made_by, layer, told, evaluated
):
    loaded = made_by(
        "torch.manual_seed(1)\n"
        "spectral = torch.nn.utils.parametrizations.spectral_norm\n"
        "def settled(layer):\n"
        "    for _ in range(300):\n"
        "        layer(torch.zeros(1, 192))\n"
        "    return layer\n"
        "class Net(torch.nn.Sequential):\n"
        "    z_dim, resolution = 4, 8\n"
        "    def forward(self, z):\n"
        "        return super().forward(z).view(-1, 3, 8, 8)\n"
        "def make(device):\n"
        f"    g = Net(torch.nn.Linear(4, 192), {layer})\n"
        f"    return g.train(not {evaluated})\n"
    )
    said = [note for note in loaded.notes if "came in training mode" in note]
    assert bool(said) == (told and not evaluated)
    assert not loaded.impure
    network = loaded.generator.inner.draw
    assert not any(part.training for part in network.modules())
    if layer.startswith("torch.nn.BatchNorm1d"):
        assert not network[1].running_mean.any()
        assert network[1].num_batches_tracked == 0


@pytest.mark.parametrize("spec", [":make", "..up:make", "os:", "no_such_module:make"])
def test_a_name_that_cannot_be_imported(spec):
    with pytest.raises(UserError, match="cannot be imported"):
        generator_from(spec, CPU)


@pytest.mark.parametrize(
    "holder",
    [
        "Good(net=net())",
        "Good(deep={'nets': [Good(value=torch.full((2,), SHIFT))]})",
        "Good(array=numpy.full(2, SHIFT))",
        "Good(synthesis=closure(torch.full((2,), SHIFT)))",
        "Good(value=torch.full((2,), SHIFT, dtype=torch.bfloat16))",
    ],
)
def test_other_weights_are_another_generator(made_by, tmp_path, holder):
    # The code is the same: as when a factory reads a checkpoint that has changed.
    text = (
        "import numpy, pathlib\n"
        "SHIFT = float(pathlib.Path('weights.txt').read_text())\n"
        "def net():\n"
        "    net = torch.nn.Linear(1, 1)\n"
        "    torch.nn.init.constant_(net.weight, SHIFT)\n"
        "    torch.nn.init.constant_(net.bias, 0)\n"
        "    return net\n"
        "def closure(value):\n"
        "    return lambda ws, noise: ws.new_zeros(len(ws), 3, 8, 8) + 0 * value.sum()\n"
        f"def make(device):\n    return {holder}\n"
    )
    digests = []
    for shift in ("1", "2", "1"):
        (tmp_path / "weights.txt").write_text(shift)
        digests.append(made_by(text).sha256)
    assert digests[0] == digests[2] != digests[1]
