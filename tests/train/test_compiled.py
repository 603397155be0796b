"""Compiled networks are the same networks; one program serves every fade."""

import os
import subprocess
import sys

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from stylegan.networks.compiled import compiled
from tests.train import golden

# The first set-up of PyTorch's compiler warns about its own parts.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def programs(monkeypatch):
    """Trace and differentiate as compiled code is, without a compiler; count the programs."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **kw: compile_(*a, backend=counter, **kw))
    yield counter
    torch._dynamo.reset()


def fade_of(lod):
    return torch.tensor(lod % 1) if lod % 1 else None


def test_the_same_images_scores_and_gradients_with_one_program_for_all_fades(programs):
    G, D = golden.generator("F"), golden.discriminator("F").requires_grad_(requires_grad=False)
    draw, score = (compiled(at, torch.float32) for at in (G.g.at_level, D.at_level))
    ws = G.mapping(golden.tensor("F", "latents")).detach()

    def compiled_images(ws, noise, lod):
        return draw(ws, G.g.noise_maps(noise, lod), int(lod), fade_of(lod))

    def compiled_scores(images, _labels, lod):
        return score(images, int(lod), fade_of(lod))

    def results(synthesis, discriminator, lod):
        G.zero_grad()
        images = synthesis(ws, G.g.fixed_noise(lod), lod)
        scores = discriminator(images, None, lod)
        scores.sum().backward()
        return images, scores, G.g.layers[0].conv.weight.grad.clone()

    counts = []
    for lod in (2.0, 2.3, 2.6, 2.9, 3.0):
        found = results(compiled_images, compiled_scores, lod)
        expected = results(G.synthesis, D, lod)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        counts.append(programs.frame_count)
    assert counts == [2, 4, 4, 4, 6]  # one of G and one of D: 8x8, fading to 4x4, 4x4


def test_without_a_compiler_there_is_one_clear_line(tmp_path):
    code = (
        "import torch\n"
        "from stylegan.networks.compiled import check_toolchain\n"
        "from stylegan_eval.errors import UserError\n"
        "try:\n    check_toolchain(torch.device('cpu'))\n"
        "except UserError as error:\n    print(error)\n"
    )
    env = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    assert "C++ compiler" in line
    assert "CXX" in line
