"""The Python interface: whatever holds the images, the numbers are those of the command."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.images.decoding import in_channels
from stylegan_eval.images.files import open_images
from stylegan_eval.images.memory import batches_of
from tests.eval.fakes import LinearGenerator

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def sides(image_folder):
    """Pixels of 12 fakes, their folder, and a folder of 14 reals."""
    fakes, reals = image_folder("fakes", 12, seed=1), image_folder("reals", 14)
    with open_images(fakes) as files:
        pixels = np.stack([files.read(number) for number in range(len(files))])
    return pixels, fakes, reals


class Foreign:
    """As arrays of other frameworks are, and those of files that are read in parts."""

    def __init__(self, held):
        self.held, self.ndim = held, held.ndim

    def __array__(self, dtype=None, copy=None):
        return self.held

    def __len__(self):
        return len(self.held)

    def __getitem__(self, place):
        return Foreign(self.held[place])


def command(*args):
    words = [*map(str, args), "--features", "efficientnet-lite0", "--device", "cpu", "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["results"]


def holders(pixels):
    tensor = torch.from_numpy(pixels)
    unit = tensor.float() / 255
    batches = [tensor[:5], tensor[5:]]
    images = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels]
    return {
        "array": (pixels, None),
        "array, channels last": (np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), None),
        "array, strided": (pixels[:, ::-1][:, ::-1], None),
        "tensor": (tensor, None),
        "floats from 0": (unit, (0, 1)),
        "float64 to 255": (tensor.double(), (0, 255)),
        "floats from -1": (unit * 2 - 1, (-1, 1)),
        "iterator of batches": (iter(batches), None),
        "single images": (list(tensor), None),
        "PIL": (images, None),
        "with labels": ([(batch, torch.zeros(len(batch))) for batch in batches], None),
        "mappings": ([{"image": batch, "label": 0} for batch in batches], None),
        "DataLoader": (DataLoader(TensorDataset(tensor, torch.arange(12)), batch_size=7), None),
        "Dataset": (TensorDataset(tensor, torch.arange(12)), None),
        "with masks": (DataLoader(TensorDataset(tensor, tensor[:, :1]), batch_size=5), None),
        "with masks of fewer axes": ([(batch, batch[:, 0]) for batch in batches], None),
        "PIL with masks": ([(image, image.convert("P")) for image in images], None),
        "what numpy takes": (Foreign(pixels), None),
    }


def test_whatever_holds_the_images_the_number_is_that_of_the_command(sides):
    pixels, fakes, reals = sides
    (expected,) = command("fid", "--images", fakes, "--data", reals)
    assert expected["metric"] == "fd_efficientnet-lite0_full"
    assert (expected["num"], expected["data_count"]) == (12, 14)  # all images of both sides
    assert se.fid(fakes, str(reals), **LITE).value == expected["value"]
    for name, (held, value_range) in holders(pixels).items():
        result = se.fid(held, reals, range=value_range, **LITE)
        assert result.value == expected["value"], name
        assert result.to_dict()["data_count"] == 14
    for name in ("array, channels last", "floats from 0", "iterator of batches"):
        held, value_range = holders(pixels)[name]
        backwards = se.fid(reals, held, real_range=value_range, **LITE)
        assert backwards.value == pytest.approx(expected["value"], rel=1e-9), name


def test_grey_and_alpha_are_seen_as_rgb_however_they_are_held():
    rgba = np.random.default_rng(4).integers(0, 256, (5, 4, 16, 16), dtype=np.uint8)
    for pixels in (rgba[:, :1], rgba):
        layers = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
        images = [Image.fromarray(image) for image in layers]
        expected = np.stack([in_channels(image, 3) for image in pixels])
        for held in (pixels, torch.from_numpy(pixels), pixels.transpose(0, 2, 3, 1), images):
            seen = np.concatenate(list(batches_of(held, "x", None)))
            np.testing.assert_array_equal(seen, expected)
        (seen,) = batches_of(pixels / 255, "x", (0, 1))
        np.testing.assert_array_equal(seen, expected)


def test_a_number_of_images_is_a_random_choice_of_both_sides(sides):
    pixels, fakes, reals = sides
    (expected,) = command("fid", "--images", fakes, "--data", reals, "-n", 8, "--seed", 3)
    assert expected["metric"] == "fd_efficientnet-lite0"
    assert se.fid(fakes, reals, num=8, seed=3, **LITE).value == expected["value"]
    assert se.fid(pixels, reals, num=8, seed=3, **LITE).value == expected["value"]
    assert expected["value"] != se.fid(fakes, reals, **LITE).value


def test_every_metric_of_images(sides):
    pixels, fakes, reals = sides
    functions = {
        "kid": se.kid, "is": se.inception_score, "pr": se.precision_recall, "prdc": se.prdc,
    }  # fmt: skip
    for name, function in functions.items():
        args = [] if name == "is" else ["--data", reals]
        expected = command(name, "--images", fakes, *args)
        given = [pixels] if name == "is" else [pixels, reals]
        results = function(*given, **LITE)
        rows = [results] if isinstance(results, se.Result) else results
        assert [row.value for row in rows] == [row["value"] for row in expected]
        assert [row.stderr for row in rows] == [row["stderr"] for row in expected]
        assert [row.name for row in rows] == [row["metric"] for row in expected]


def test_one_pass_gives_the_numbers_of_each(sides):
    pixels, _, reals = sides
    results = se.evaluate(pixels, reals, ["fid", "kid", "prdc"], **LITE)
    assert results["fd_efficientnet-lite0_full"].value == se.fid(pixels, reals, **LITE).value
    assert results["kd"].stderr == se.kid(pixels, reals, **LITE).stderr
    table = results.frame()
    assert list(table["metric"]) == [row.name for row in results]
    assert list(se.frame([results[0], results[1:]])["value"]) == list(table["value"])
    with pytest.raises(KeyError, match="'prdc' is in several of"):
        results["prdc"]
    with pytest.raises(TypeError, match="name one"):
        float(results)


def test_a_result_reads_well_and_travels(sides):
    pixels, _, reals = sides
    result = se.fid(pixels, reals, **LITE)
    assert float(result) == result.value
    assert json.loads(json.dumps(result.to_dict()))["metric"] == result.name
    assert repr(result).startswith(f"{result.name} {result.value:.4f}")
    assert f"note: {result.note}" in repr(result)
    assert "<td>fd_efficientnet-lite0_full</td>" in result._repr_html_()
    named = se.Result(
        metric="<b>", value=1.0, num=2, seed=0, protocol={}, precision="", device="", seconds=0
    )
    assert "<b>" not in named._repr_html_()


def test_statistics_stand_for_images_and_survive_a_file(sides, tmp_path):
    pixels, _, reals = sides
    expected = se.fid(pixels, reals, **LITE).value
    stats = se.statistics(reals, **LITE)
    assert se.fid(pixels, stats, **LITE).value == pytest.approx(expected, rel=1e-6)
    stats.save(tmp_path / "reals.npz")
    read = se.load_statistics(tmp_path / "reals.npz")
    assert (read.count, read.detector, read.content) == (14, stats.detector, stats.content)
    of_files = [se.fid(pixels, side, **LITE).value for side in (read, tmp_path / "reals.npz")]
    assert of_files == pytest.approx([expected] * 2, rel=1e-6)
    both = se.fid(se.statistics(pixels, **LITE), stats, **LITE)
    assert both.value == pytest.approx(expected, rel=1e-6)
    with pytest.raises(se.UserError, match="only fid and sfid use it"):
        se.kid(pixels, stats, **LITE)


class Module(torch.nn.Module):
    """Dropout and batch norm: its images differ in training mode."""

    z_dim, resolution = 8, 16

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(8, 3 * 16 * 16), torch.nn.BatchNorm1d(3 * 16 * 16), torch.nn.Dropout()
        )

    def forward(self, z):
        return torch.tanh(self.layers(z)).view(-1, 3, 16, 16)


def test_a_module_in_training_is_measured_and_given_back_as_it_was(sides):
    *_, reals = sides
    module = Module().train()
    module.layers[0].weight.requires_grad = False
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = se.fid(module, reals, num=10, **LITE)
    assert "training mode" in result.note
    assert all(part.training for part in module.modules())
    wanted = [weight.requires_grad for weight in module.parameters()]
    assert wanted == [False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    module.eval()
    assert se.fid(module, reals, num=10, **LITE).value == result.value


def linear(_device):
    return LinearGenerator()


def test_generators_and_checkpoints_are_those_of_the_command(sides, fake_loader, tmp_path):
    *_, reals = sides
    (expected,) = command("fid", "--generator", f"{__name__}:linear", "--data", reals, "-n", 10)
    for given in (LinearGenerator(), f"{__name__}:linear"):
        assert se.fid(given, reals, num=10, **LITE).value == expected["value"]
    (tmp_path / "network.pt").write_text("FAKE 16")
    (expected,) = command("fid", "--ckpt", tmp_path / "network.pt", "--data", reals, "-n", 10)
    assert se.fid(tmp_path / "network.pt", reals, num=10, **LITE).value == expected["value"]
    small = {"num": 6, "distance": "st-lpips-alex", "crop": "none", "device": "cpu"}
    lengths = se.ppl(LinearGenerator(resolution=32), space="w", sampling="full", **small)
    assert float(lengths) == lengths["ppl_wfull"].value > 0


def test_a_function_of_number_and_seed_draws_alike_each_time(sides):
    *_, reals = sides
    calls = []

    def pipeline(n, seed):
        calls.append((n, seed))
        rng = np.random.default_rng(seed)
        return [Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(n)]

    first = se.fid(pipeline, reals, num=10, batch=4, **LITE)
    drawn = calls[3:]  # after a trial
    assert [n for n, _ in drawn] == [4, 4, 2]
    assert len({seed for _, seed in drawn}) == 3
    assert se.fid(pipeline, reals, num=10, batch=4, **LITE).value == first.value
    assert se.fid(pipeline, reals, num=10, batch=4, seed=1, **LITE).value != first.value


def pixels_of(count=4, size=16):
    return np.zeros((count, 3, size, size), dtype=np.uint8)


WRONG = {
    "floats without a range": (lambda r: se.fid(pixels_of() / 255, r), r"range=\(0, 1\)"),
    "a wrong range": (lambda r: se.fid(pixels_of() + 99.0, r, range=(0, 1)), "far outside"),
    "no finite pixel": (lambda r: se.fid(pixels_of() * np.nan, r, range=(0, 1)), "NaN"),
    "integers": (lambda r: se.fid(pixels_of().astype(int), r), "int64; expected uint8"),
    "texts": (lambda r: se.fid(np.array(["a"]), r), "expected uint8 or floats"),
    "two channels": (lambda r: se.fid(pixels_of()[:, :2], r), r"shape \[4, 2, 16, 16\]"),
    "another size of reals": (
        lambda r: se.fid(LinearGenerator(), pixels_of(size=32)),
        "resize them to 16x16",
    ),
    "nothing": (lambda r: se.fid([], r), "no images"),
    "no images": (lambda r: se.fid(object(), r), "got object; expected images"),
    "a mapping": (lambda r: se.fid({"a": 1}, r), "no key 'images'"),
    "no reals": (lambda r: se.fid(r), "^real is missing"),
    "too many": (lambda r: se.fid(r, r, num=99), "num asks for 99: use num=14"),
    "no size": (lambda r: se.fid(torch.nn.Linear(1, 1), r), "set both"),
    "no latents": (lambda r: se.ppl(pixels_of()), "no latents to move in"),
    "a function as reals": (lambda r: se.fid(r, lambda n, seed: n), "draw images first"),
    "too few drawn": (lambda r: se.fid(lambda n, seed: pixels_of(1), r), "asked for 2 .* drew 1"),
    "a failing function": (lambda r: se.fid(lambda n: n, r), "takes 1 positional argument"),
    "a range of files": (lambda r: se.fid(r, r, range=(0, 1)), "leave out the range"),
    "a type": (lambda r: se.fid(r, r, num="9"), "num must be of type int, got '9'"),
    "a word": (lambda r: se.fid(r, r, resize="x"), "must be one of tf1, clean, pytorch-fid"),
    "no such device": (lambda r: se.fid(r, r, device="tpu"), "^device must be auto"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_line_of_python(name, image_folder):
    call, message = WRONG[name]
    with pytest.raises(se.UserError, match=message) as told:
        call(image_folder("reals", 14))
    assert "\n" not in str(told.value)
    reason, _, _ = str(told.value).partition("stylegan-")  # a command has options
    assert "--" not in reason


def test_a_setting_that_is_none_is_a_type_error(image_folder):
    with pytest.raises(TypeError, match="numm"):
        se.fid(pixels_of(), pixels_of(), numm=3)


def test_importing_the_package_is_light_and_names_what_it_has():
    program = "import sys, stylegan_eval as se\n"
    program += "assert not {'torch', 'numpy', 'pandas', 'PIL'} & set(sys.modules)\n"
    program += "assert all(hasattr(se, name) and name in dir(se) for name in se.__all__)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
