"""Generators of users that are no function of their latent, or in other types."""

import csv
import random
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.sampling import draw
from stylegan_eval.generators.factories import generator_from
from stylegan_eval.metrics.path_length import measure_pairs, rounding_share
from stylegan_eval.networks.lpips import load_distance
from stylegan_eval.settings.others import PplSettings
from tests import starting
from tests.eval.kinds import CPU, HEAD, LITE, NOISY, PPL, bits, rows


@pytest.mark.parametrize(
    "body",
    [
        "return draw(z) + .05 * torch.randn(len(z), 3, 32, 32)",
        "return draw(z + .05 * torch.randn_like(z))",
        "return nn.functional.dropout(draw(z), .1, training=True)",
        "return draw(z) + .05 * torch.from_numpy(np.random.randn(len(z), 3, 32, 32)).float()",
        "return draw(z) + .05 * random.gauss(0, 1)",
    ],
)
def test_noise_of_its_own_is_seeded_and_told(kind, body):
    loaded = kind(body)
    assert "noise of its own" in loaded.notes[0]
    assert "two draws of one latent differ" in loaded.impure
    first = bits(loaded)
    for stream in (torch.rand(1), random.random(), np.random.rand()):  # noqa: NPY002
        assert stream is not None  # the user's own draws between change nothing
    assert torch.equal(bits(loaded), first)
    assert not torch.equal(bits(loaded, range(1, 7))[:-1], first[1:])


def test_other_images_and_seeds_have_other_noise(kind):
    loaded = kind("return torch.randn(len(z), 3, 32, 32)")
    images = [draw(loaded.generator, s, at, CPU)[2] for s in (5, 6) for at in ([0, 1], [2, 3])]
    images = torch.cat(images).flatten(1)
    correlation = torch.corrcoef(images) - torch.eye(len(images))
    assert correlation.abs().max() < 5 / 3072**0.5


def test_the_random_numbers_of_the_user_go_on_as_they_were(kind):
    def states():
        legacy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
        return torch.get_rng_state().tolist(), random.getstate(), legacy["key"].tolist()

    before = states()
    bits(kind("return draw(z) + torch.randn(1) + random.random() + np.random.rand()"))
    assert states() == before


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ("return draw(z) + .1 * (next(COUNT) % 7)", "no seed reaches"),
        (
            "return draw(z) + .1 * torch.from_numpy(np.random.default_rng().normal(size=(1, 1)))",
            "no seed reaches",
        ),
        ("x = draw(z); return x - x.mean((0, 2, 3), keepdim=True)", "others of its batch"),
        (
            "return nn.functional.batch_norm(draw(z), None, None, training=True) / 2",
            "others of its batch",
        ),
        # The noise of each batch is that of all others.
        (
            "torch.manual_seed(0); return draw(z) + .1 * torch.randn(len(z), 3, 32, 32)",
            "others of its batch",
        ),
        (
            (
                "x = draw(z); g = torch.Generator().manual_seed(0);"
                " return x + .1 * torch.randn(x.shape, generator=g)"
            ),
            "others of its batch",
        ),
    ],
)
def test_state_and_dependence_on_the_batch_are_told(kind, body, note):
    loaded = kind(body)
    assert note in loaded.notes[0]
    assert len(loaded.notes) == 1
    assert loaded.impure


@pytest.mark.parametrize(
    "body",
    [
        "return draw(z)",
        "torch.randn(3); return draw(z)",  # drawn, not used
        "torch.manual_seed(0); return draw(z) + .1 * torch.randn(1, 3, 32, 32)",  # fixed noise
        "return draw(z.half()).half()",
        "return draw(z.bfloat16()).bfloat16()",
        "return draw(z.double())",
        "return 1.2 * draw(z)",
        "return .1 * draw(z)",
    ],
)
def test_functions_of_the_latent_have_no_note(kind, body):
    loaded = kind(body)
    assert loaded.notes == ()
    assert loaded.impure == ""
    assert bits(loaded).dtype == torch.float32


def test_a_block_has_the_same_bits_in_another_process_without_the_others(tmp_path):
    (tmp_path / "kinds.py").write_text(NOISY)
    program = (
        "import sys, torch\n"
        "from stylegan_eval.generators.factories import generator_from\n"
        "from stylegan_eval.metrics.image_pass import GeneratedImages\n"
        "device = torch.device('cpu')\n"
        "images = GeneratedImages(generator=generator_from('kinds:make', device).generator, seed=3,"
        " batch=4, device=device)\n"
        "for start in map(int, sys.argv[1:]):\n"
        "    block = [part.images for part in images.batches(range(start, start + 10))]\n"
        "torch.save(torch.cat(block), 'last.pt')\n"
    )
    last = []
    for blocks in (["0", "10", "20"], ["20"]):
        starting.run([sys.executable, "-c", program, *blocks], cwd=tmp_path, check=True)
        last.append(torch.load(tmp_path / "last.pt", weights_only=True))
    assert torch.equal(*last)
    assert len(last[0].unique(dim=0)) == 10


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        ("return draw(z) + .05 * torch.randn(len(z), 3, 32, 32)", "noise an input"),
        ("return draw(z) + .1 * (next(COUNT) % 7)", "noise an input"),
        ("x = draw(z); return x - x.mean((0, 2, 3), keepdim=True)", "evaluation mode"),
    ],
)
def test_path_lengths_of_what_is_no_function_of_the_latent_are_refused(kind, body, remedy):
    kind.write(body)
    result = CliRunner().invoke(main, ["ppl", "--generator", "kinds:make", *PPL])
    assert result.exit_code == 1
    assert remedy in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_remedy_of_own_noise_works(kind, tmp_path):
    kind.write("")
    (tmp_path / "kinds.py").write_text(
        f"{HEAD}\nclass Noise:\n"
        "    z_dim, resolution, noise_shapes = 8, 32, [(32, 32)]\n"
        "    def mapping(self, z):\n        return z[:, None]\n"
        "    def synthesis(self, ws, noise):\n        return draw(ws[:, 0]) + .05 * noise[0]\n"
        "def make(device):\n    return Noise()\n"
    )
    loaded = generator_from("kinds:make", CPU)
    assert (loaded.notes, loaded.impure) == ((), "")


def test_all_leaves_path_lengths_of_own_noise_out(kind, image_folder):
    kind.write("return draw(z) + .05 * torch.randn(len(z), 3, 32, 32)")
    data = image_folder("reals", 24, size=32)
    done = CliRunner().invoke(
        main,
        ["all", "--generator", "kinds:make", "--data", str(data), "-n", "24", "--json",
         "--subset-size", "12", *LITE],
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "note: ppl is left out: ppl takes images as functions of their latents" in done.stderr
    assert "ppl" not in done.stdout
    assert done.stdout.count("noise of its own") == done.stdout.count('"metric"')


def test_the_row_of_own_noise_says_so_and_has_the_same_bits_again(kind, tmp_path):
    body = "return draw(z) + .05 * torch.randn(len(z), 3, 32, 32)"
    first, noted = rows(kind, tmp_path, body, "is")
    assert "batch=32" in noted
    assert "noise of its own" in noted
    torch.rand(5)
    assert rows(kind, tmp_path, body, "is")[0] == first


WHOLE = "NET.float(); return torch.tanh(NET(z)).view(-1, 3, 32, 32)"


@pytest.mark.parametrize(
    ("dtype", "derivative", "bound"),
    [
        ("half", "exact", 0.02),
        ("bfloat16", "exact", 0.1),
        ("double", "exact", 1e-4),
        ("double", "finite", 0.02),
    ],
)
def test_path_lengths_of_networks_in_any_float(kind, dtype, derivative, bound):
    settings = PplSettings(
        num=4, space="w", sampling="full", crop="none", derivative=derivative, epsilon=1e-3
    )
    distance = load_distance("st-lpips-alex", None, CPU)

    def lengths(body):
        loaded = kind(body)
        lengths = measure_pairs(loaded.generator, distance, settings, range(4), CPU)
        (found,) = lengths.values()
        return found

    # A naive network: latents of another type than its weights' are an error.
    body = WHOLE.replace("float", dtype)
    torch.testing.assert_close(lengths(body), lengths(WHOLE), rtol=bound, atol=0)


def test_rounding_in_finite_differences_is_what_it_adds(kind):
    settings = PplSettings(num=2, space="w", sampling="full", epsilon=1e-4)
    clean = kind("return draw(z)")
    assert rounding_share(clean.generator, settings, CPU) < 0.01
    coarse = kind("return draw(z).half()")
    share = rounding_share(coarse.generator, settings, CPU)

    def squares(loaded):
        t = torch.linspace(0, 1, 64)
        z = torch.stack([torch.ones(64, 8) * t[:, None], torch.ones(64, 8) * (t[:, None] + 1e-4)])
        z[..., ::2] *= -0.5
        with torch.no_grad():
            a, b = (loaded.generator.synthesis(each[:, None], []) for each in z)
        return float((b - a).double().square().sum())

    assert 0.2 < share < 1
    added = 1 - squares(clean) / squares(coarse)
    assert share == pytest.approx(added, abs=0.25)


@pytest.mark.parametrize(
    ("body", "finite_note"),
    [
        ("return draw(z).half()", "is rounding in the generator"),
        ("return (127.5 * draw(z)).round() / 127.5", "is rounding in the generator"),
        ("return draw(z)", ""),
    ],
)
def test_finite_differences_of_a_coarse_generator_are_noted(kind, tmp_path, body, finite_note):
    options = ("--space", "w", "--sampling", "end", "--derivative", "both")
    kind.write(body)
    table = tmp_path / "out.csv"
    args = ["ppl", "--generator", "kinds:make", "--csv", str(table), *PPL, *options]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    with table.open() as file:
        finite, exact = csv.DictReader(file)
    assert finite_note in finite["note"]
    assert "rounding" in finite["note"] or not finite_note
    assert "rounding in" not in exact["note"]
    assert ("do not change along the paths" in exact["note"]) == (float(exact["value"]) == 0)


def test_a_generator_may_differentiate_inside(kind):
    loaded = kind(
        "with torch.enable_grad():\n"
        "        x = z.clone().requires_grad_(); y = draw(x)\n"
        "        step, = torch.autograd.grad(y.sum(), x)\n"
        "        return draw(x + .1 * step.sign())"
    )
    assert loaded.notes == ()
    assert not bits(loaded).requires_grad


def test_memory_that_is_full_is_told_as_ever(kind):
    kind.write("raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')")
    result = CliRunner().invoke(main, ["ppl", "--generator", "kinds:make", *PPL])
    assert result.exit_code == 1
    assert "out of memory: use a smaller --batch" in result.stderr
