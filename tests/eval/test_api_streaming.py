"""Metrics in other people's loops: the same bits whatever the batches and processes."""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import stylegan_eval as se
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.metrics.image_tables import influence
from tests import starting

LITE = {"features": "efficientnet-lite0", "device": "cpu"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLEGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def noise(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8).repeat(4, 2).repeat(4, 3)


FAKES, REALS = noise(24, 1), noise(30, 2)


def seen(metric, batches):
    for batch in batches:
        metric.update(batch)
    return metric


@pytest.fixture(scope="module")
def whole():
    """All images at once."""
    return seen(se.FID(real=REALS, **LITE), [FAKES])


def test_a_distance_is_that_of_the_function_whatever_the_batches(whole):
    expected = se.fid(FAKES, REALS, **LITE)
    result = whole.compute()
    assert result.name == expected.name
    assert result.value == pytest.approx(expected.value, rel=1e-9)
    assert (result.num, result.to_dict()["data_count"]) == (24, 30)
    pieces = [FAKES[16:], FAKES[:8], FAKES[8:16]]  # of 8: a network rounds by the batch
    one = seen(se.FID(real=REALS, **LITE), [FAKES[:8], FAKES[8:16], FAKES[16:]])
    other = seen(se.FID(real=REALS, **LITE), pieces)
    assert one.compute().value == other.compute().value
    assert one.compute().value == pytest.approx(result.value, rel=1e-6)


def test_a_distance_of_more_images_than_features_has_its_errors():
    rng = np.random.default_rng(3)
    x, y = (rng.standard_normal((1400, 1280), np.float32) + shift for shift in (0.5, 0.0))
    metric = se.FID(**LITE)
    metric.load_state_dict({**metric.state_dict(), "fake": x, "real": y})
    result = metric.compute()
    of_images = influence(x, FeatureStats.of(x, "d"), FeatureStats.of(y, "d"))
    assert result.stderr == pytest.approx(np.sqrt(np.square(of_images).sum()), rel=0.5)
    assert float(result.details["stderr-reals-redrawn"]) > result.stderr
    assert len(result.details["reals-projected"].split(",")) == 3


def test_real_images_come_likewise_or_as_statistics(whole):
    both = se.FID(**LITE)
    both(torch.from_numpy(REALS[20:]), real=True)
    both(torch.from_numpy(FAKES), real=False)
    both.update(torch.from_numpy(REALS[:20]), True)
    assert both.compute().value == pytest.approx(whole.compute().value, rel=1e-6)
    stored = seen(se.FID(real=se.statistics(REALS, **LITE), **LITE), [FAKES])
    assert stored.compute().value == pytest.approx(whole.compute().value, rel=1e-6)
    assert stored.compute().protocol["reals"] == "statistics"


OTHERS = ("KID", "InceptionScore", "PrecisionRecall", "PRDC", "MIFID", "Authenticity", "Vendi")


@pytest.mark.parametrize("name", OTHERS)
def test_the_others(name):
    made = {
        "MIFID": (se.MIFID, se.mifid, {"threshold": 1.0}),
        "Authenticity": (se.Authenticity, se.authenticity, {}),
        "Vendi": (se.Vendi, se.vendi, {}),
        "KID": (se.KID, se.kid, {"subset_size": 10}),
        "InceptionScore": (se.InceptionScore, se.inception_score, {"splits": 1}),
        "PrecisionRecall": (se.PrecisionRecall, se.precision_recall, {}),
        "PRDC": (se.PRDC, se.prdc, {}),
    }
    kind, function, settings = made[name]
    given = {**LITE, **settings}
    reals = {} if name in ("InceptionScore", "Vendi") else {"real": REALS}
    result = seen(kind(**reals, **given), [FAKES]).compute()
    expected = function(FAKES, *reals.values(), **given)
    if isinstance(result, se.Result):
        result, expected = [result], [expected]
    # Subsets of kid are drawn of images in another order.
    tolerance = {"abs": 3 * expected[0].stderr} if name == "KID" else {"rel": 1e-6}
    for one, other in zip(result, expected, strict=True):
        assert one.name == other.name
        assert one.value == pytest.approx(other.value, **tolerance)


def test_a_spatial_distance(inception_weights):
    given = {"weights": inception_weights, "device": "cpu"}
    result = seen(se.SFID(real=REALS[:4], **given), [FAKES[:3]]).compute()
    expected = se.sfid(FAKES[:3], REALS[:4], **given)
    assert result.name == expected.name
    assert result.value == pytest.approx(expected.value, rel=1e-6)


def test_states_merge_in_any_order_travel_and_go_on(whole):
    parts = [seen(se.FID(real=REALS, **LITE), [FAKES[at : at + 8]]) for at in (0, 8, 16)]
    values = set()
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = se.FID(real=REALS, **LITE)
        merged.merge_state([parts[number] for number in order])
        values.add(merged.compute().value)
        travelled = pickle.loads(pickle.dumps(merged))  # noqa: S301 - of this test
        values.add(travelled.compute().value)
    state = seen(se.FID(real=REALS, **LITE), [FAKES[:8], FAKES[8:16]]).state_dict()
    resumed = se.FID(real=REALS, **LITE)
    resumed.load_state_dict(state)
    values.add(seen(resumed, [FAKES[16:]]).compute().value)
    assert len(values) == 1
    resumed.reset()
    assert seen(resumed, [FAKES]).compute().value == whole.compute().value
    with pytest.raises(se.UserError, match="choose the same features"):
        se.FID(**LITE, precision="bf16").load_state_dict(state)


PROCESS = """
import sys
import torch.distributed as dist
import stylegan_eval as se
from tests.eval.test_api_streaming import FAKES, LITE, REALS
dist.init_process_group("gloo")
values = []
for swapped in (False, True):
    second = (dist.get_rank() == 1) != swapped
    metric = se.FID(**LITE)
    metric.update(FAKES[8:] if second else FAKES[:8])
    metric.update(REALS[:10] if second else REALS[10:], real=True)
    everywhere = [None, None]
    dist.all_gather_object(everywhere, metric.compute().value)
    values += everywhere
if dist.get_rank() == 0:
    open(sys.argv[1], "w").write(" ".join(map(repr, values)))
dist.barrier()
dist.destroy_process_group()
"""


def test_processes_compute_the_same_bits(tmp_path):
    script, out = tmp_path / "process.py", tmp_path / "out"
    script.write_text(PROCESS)
    alone = seen(se.FID(**LITE), [FAKES[:8], FAKES[8:]])
    for part in (REALS[:10], REALS[10:]):
        alone.update(part, real=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [*TORCHRUN, script, out]
    starting.run(command, check=True, capture_output=True, env=environment, nested=True)
    values = out.read_text().split()
    assert len(values) == 4
    assert set(values) == {repr(alone.compute().value)}


def test_what_is_wrong_is_told_in_one_line(whole):
    wrong = {
        "call update first": lambda: se.FID(**LITE).compute(),
        "name them, real=DATA": lambda: seen(se.FID(**LITE), [FAKES]).compute(),
        "num is what `update` gets": lambda: se.FID(num=3),
        "no setting 'feature'": lambda: se.FID(feature=3),
        "update with fakes": lambda: whole.update(FAKES, real=True),
        r"update: float64 .* range=\(0, 1\)": lambda: whole.update(FAKES / 255),
        "subset_size": lambda: seen(se.KID(real=REALS, **LITE), [FAKES]).compute(),
        "none does not exist; expected images": lambda: seen(
            se.FID(real="none", **LITE), [FAKES]
        ).compute(),
    }
    for message, call in wrong.items():
        with pytest.raises(se.UserError, match=message):
            call()


class Extractor(torch.nn.Module):
    """Few features of our network, as torchmetrics takes a network."""

    num_features = 1280

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).double()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_calls_are_torchmetrics_and_so_is_the_number():
    from torchmetrics.image.fid import FrechetInceptionDistance

    ours = se.FID(**LITE)
    theirs = FrechetInceptionDistance(feature=Extractor(ours.network)).set_dtype(torch.float64)
    for metric in (ours, theirs):
        for at in range(0, 24, 8):
            metric.update(torch.from_numpy(FAKES[at : at + 8]), real=False)
        metric.update(torch.from_numpy(REALS), real=True)
    expected = float(theirs.compute())
    assert ours.compute().value == pytest.approx(expected, rel=1e-4)
    for metric in (ours, theirs):
        metric.reset()
        metric.update(torch.from_numpy(REALS), True)
        metric.update(torch.from_numpy(FAKES[:20]), False)
    assert ours.compute().value == pytest.approx(float(theirs.compute()), rel=1e-4)
