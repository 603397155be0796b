"""The trial of a GPU on a CPU: its claims, verdicts, exit status and page."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

from benchmarks.gpu_trial import PARTS, numbers, speed
from benchmarks.gpu_trial.__main__ import write_page
from benchmarks.gpu_trial.claims import Bound, Check, Finding, NotTriedError, Record, judge
from benchmarks.gpu_trial.discipline import Reads
from benchmarks.gpu_trial.numbers import official
from benchmarks.gpu_trial.random_numbers import DRAWS, digest
from benchmarks.gpu_trial.trial import DIGESTS, GpuTrial
from benchmarks.kill_trial import children_of
from stylegan.networks.devices import playing
from stylegan_eval.engine.device import LAYOUTS, memory_format
from stylegan_eval.errors import UserError
from stylegan_eval.plugins import resolve
from tests import starting
from tests.elements import Elements

# Parts in which every claim that a CPU can try has a verdict there.
TRIED = ("discipline", "numbers", "random", "resume", "memory", "processes")


def start(out, *options):
    command = [sys.executable, "-m", "benchmarks.gpu_trial", "--out", out, "--device", "cpu"]
    return starting.Popen(
        [*map(str, command), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        nested=3,  # parts, launchers of processes, and these
    )


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def findings_of(out, part=None):
    rows = Record(out).findings
    return [row for row in rows if part in (None, row.part)]


def test_a_trial_that_is_stopped_goes_on_and_holds_on_a_cpu(tmp_path):
    stopped = start(tmp_path, "--gpus", "2")
    wait_for(stopped, lambda: findings_of(tmp_path, "numbers"))
    stopped.send_signal(signal.SIGTERM)
    output, log = stopped.communicate()
    assert stopped.returncode == 128 + signal.SIGTERM, log
    before = findings_of(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert all(row.claim in page for row in before)

    finished = start(tmp_path, "--gpus", "2")
    output, log = finished.communicate()
    assert finished.returncode == 0, log
    after = findings_of(tmp_path)
    assert after[: len(before)] == before  # nothing is tried twice
    assert {row.part for row in after} == set(PARTS)
    assert [row for row in after if row.verdict == "refuted"] == []
    assert all(row.why for row in after if row.verdict == "not tried")
    assert {row.part for row in after if row.verdict == "holds"} == set(TRIED)
    measured = {row.part for row in after if row.measured}
    assert measured == set(PARTS)
    assert f"{len(after)} claims: " in output
    assert str(tmp_path / "index.html") in output
    assert "part 9 of 9, processes" in log
    assert "part 9 of 9, processes" in (tmp_path / "trial.log").read_text()


def test_a_wrong_number_and_a_process_that_dies_refute_their_claims(tmp_path):
    cpu = torch.device("cpu")
    digests = {name: digest(draw(cpu)) for name, draw in DRAWS.items()}
    assert digests == json.loads(DIGESTS.read_text())  # as in earlier versions of this project
    wrong = next(iter(digests))
    (tmp_path / "digests.json").write_text(json.dumps({**digests, wrong: "0" * 32}))
    out = tmp_path / "trial"
    options = ["--only", "discipline", "--only", "random"]
    process = start(out, *options, "--digests", str(tmp_path / "digests.json"))
    wait_for(process, lambda: (out / "results.json").exists() and Record(out).running)
    (worker,) = starting.without_servers(children_of(process.pid))
    os.kill(worker, signal.SIGKILL)
    output, log = process.communicate()
    assert process.returncode == 1, log
    first, *others = findings_of(out)
    assert (first.part, first.verdict) == ("discipline", "refuted")
    assert first.why == "the process ended: ended by SIGKILL"
    refuted = [row.claim for row in others if row.verdict == "refuted"]
    assert refuted == [f"{wrong}: as stored"]
    assert sum(row.verdict == "holds" for row in others) == 1 + 2 * len(digests) - 1
    assert "2 refuted" in output
    words = "\n".join(Elements((out / "index.html").read_text()).words)
    assert "Refuted" in words
    assert "1 digests differ" in words


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound(most=0.5), 0.5, "holds"),
        (Bound(most=0.5), 0.51, "refuted"),
        (Bound(least=0.9, most=1.1), 0.89, "refuted"),
        (Bound(least=2), 3, "holds"),
        (Bound(most=1), math.nan, "refuted"),
        (Bound(least=0), math.nan, "refuted"),
    ],
)
def test_a_number_is_held_against_its_bound(bound, value, verdict):
    check = Check(claim="x", bound=bound, measure=lambda: value)
    assert judge("numbers", check).verdict == verdict


def test_bounds_and_numbers_read_as_text():
    words = [str(bound) for bound in (Bound(most=3), Bound(least=52.083, unit="images/s"))]
    assert words == ["at most 3", "at least 52.1 images/s"]
    assert str(Bound(least=0.75, most=1.25, unit="of it")) == "0.75 to 1.25 of it"
    assert str(Bound(least=0, most=0, unit="tensors")) == "0 tensors"
    assert Bound(unit="GB/s").text(12345.6) == "12,346 GB/s"


def test_what_cannot_be_tried_says_why():
    def measure():
        raise NotTriedError("no GPU")

    finding = judge("speed", Check(claim="x", bound=Bound(most=1), measure=measure))
    assert (finding.verdict, finding.measured, finding.why) == ("not tried", "", "no GPU")
    beside = Check(claim="x", bound=Bound(most=1), measure=lambda: (2, "of 1"), no_verdict="why")
    finding = judge("speed", beside)
    assert (finding.verdict, finding.measured, finding.detail) == ("not tried", "2", "of 1")


def test_values_that_the_host_reads_are_counted():
    x = torch.ones(3)
    with Reads() as reads:
        x.sum()
        x[0].item()
        bool(x[1] > 0)
    assert reads.count == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so_in_one_line_and_leaves_nothing(tmp_path):
    out = tmp_path / "new" / "trial"
    process = start(out, "--device", "cuda")  # the later option counts
    output, log = process.communicate()
    assert process.returncode == 1
    message = "error: --device cuda: this machine has 0 CUDA devices: use --device cpu\n"
    assert (output, log) == ("", message)
    assert list(tmp_path.iterdir()) == []


def test_claims_about_a_gpu_are_told_apart_and_cover_sizes_and_precisions(tmp_path):
    trial = GpuTrial(out=tmp_path, device="cuda", gpus=2)
    claims = {name: [each.claim for each in resolve(PARTS[name].place)(trial)] for name in PARTS}
    for found in claims.values():
        assert len(set(found)) == len(found) > 0
        assert all(claim == " ".join(claim.split()) for claim in found)
    for precision in ("fp32", "tf32", "bf16"):
        for size in (8, 16, 32, 64, 128, 256, 512, 1024):
            step = f"a step at {size} px in {precision}"
            assert sum(claim.startswith(step) for claim in claims["speed"]) >= 3
        assert any(f" in {precision} wait " in claim for claim in claims["discipline"])
        assert any(f" in {precision} is near " in claim for claim in claims["numbers"])
    compiled = [claim for claim in claims["numbers"] if "compiled" in claim]
    assert {claim.split(" is near ")[0] for claim in compiled} == {
        f"{row}: compiled, G's step in {precision}"
        for row in "AF"
        for precision in ("fp32", "bf16")
    }


@pytest.fixture
def layouts(monkeypatch):
    """Have the CPU choose layouts as CUDA does; those that were chosen."""
    chosen = []

    def choose(device, precision="fp32"):
        chosen.append(LAYOUTS["cuda", precision])
        return memory_format(chosen[-1])

    for module in (numbers, speed):
        monkeypatch.setattr(module, "best_format", choose)
    return chosen


def test_steps_and_blurs_are_tried_in_the_layout_that_trains_so(tmp_path, layouts):
    trial = GpuTrial(out=tmp_path, device="cpu")
    with playing("cuda"):
        assert 0 < numbers._precision(trial, "F", "bf16") < 1
        for dtype in (torch.bfloat16, torch.float32):
            speed._of_copy(trial, 4, dtype)
    assert layouts == ["channels_last", "channels_last", "contiguous"]


def test_a_precision_that_the_device_lacks_is_not_tried(tmp_path):
    with pytest.raises(NotTriedError, match="tf32 needs CUDA"):
        numbers._precision(GpuTrial(out=tmp_path, device="cpu"), "F", "tf32")


# The first set-up of PyTorch's compiler warns about its own parts.
@pytest.mark.filterwarnings("ignore")
def test_compiled_numbers_are_held_against_those_in_float64(tmp_path, monkeypatch, layouts):
    """Traced and differentiated as compiled code is, without a compiler."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    golden, cpu = official(GpuTrial(out=tmp_path, device="cpu")), torch.device("cpu")
    with playing("cuda"):
        found = numbers.compiled_step(golden, "A", "bf16", cpu)
    torch._dynamo.reset()
    assert layouts == ["channels_last"]
    assert 0 < numbers._of_bound(golden, "A", "bf16", found) < 1
    wrong = found | {"grad_G": found["grad_G"] * 2}
    assert numbers._of_bound(golden, "A", "bf16", wrong) > 1


def test_the_trial_needs_a_checkout(tmp_path):
    with pytest.raises(NotTriedError, match=r"golden\.py is missing: run the trial in a checkout"):
        official(GpuTrial(out=tmp_path, device="cpu", root=tmp_path))


def test_findings_of_two_machines_are_not_mixed(tmp_path):
    record = Record(tmp_path)
    record.tried_on({"device": "cpu", "version": "1"})
    record.add(Finding(part="speed", claim="x", bound="1"))
    message = f"{tmp_path} holds a trial with version 1, not 2: choose another folder with --out"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Record(tmp_path).tried_on({"device": "cpu", "version": "2"})


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"format": "other"}')
    with pytest.raises(UserError, match=r"results\.json is no stylegan-gpu-trial/1"):
        Record(tmp_path)


@pytest.fixture
def shown(tmp_path, chromium):
    """The page of a trial with a verdict of each kind, in a browser."""
    record = Record(tmp_path)
    record.tried_on({"device": "cpu"})
    hostile = "<script>alert(1)</script> " + "long words about a step " * 6
    for part in PARTS:
        record.add(Finding(part=part, claim=f"{part} {hostile}", bound="at most 1"))
    refuted = Finding(part="speed", claim="slow", bound="at most 1", verdict="refuted")
    record.add(refuted)
    write_page(record, tmp_path)
    with chromium.borrowed() as page:
        page.open(tmp_path / "index.html")
        yield page


def test_the_page_fits_a_telephone_and_asks_for_nothing(shown, tmp_path):
    shown.screenshot(tmp_path / "narrow.png", 390, 844)
    assert shown.run("document.documentElement.scrollWidth") <= 390
    assert shown.complaints == []
    assert [url.rsplit("/", 1)[1] for url in shown.requests] == ["index.html"]
    assert shown.run("document.querySelectorAll('section').length") == 1 + len(PARTS)
    rows = "document.querySelectorAll('section[aria-labelledby=refuted] tbody tr').length"
    assert shown.run(rows) == 1
