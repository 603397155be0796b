import os

import pytest
import torch

from stylegan_eval.engine.device import choosing_algorithms, computing_in, strict_float32
from stylegan_eval.errors import UserError
from stylegan_eval.networks.inception import load_inception
from stylegan_eval.networks.network import CPU_IMAGES, load_detector

CPU = torch.device("cpu")


def state():
    backends = torch.backends
    return (
        torch.get_float32_matmul_precision(),
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        backends.mkldnn.matmul.fp32_precision,
    )


@pytest.fixture(autouse=True)
def switches_stay_as_they_were():
    before = state()
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[2]
    torch.backends.mkldnn.matmul.fp32_precision = before[3]
    assert state() == before


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("cudnn", [True, False])
def test_fast_arithmetic_is_off_inside_and_back_outside(precision, cudnn):
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = cudnn
    before = state()
    with strict_float32("cpu"):
        assert state() == ("highest", False, False, "ieee")
    assert state() == before


def test_switches_are_put_back_after_an_error():
    torch.set_float32_matmul_precision("medium")
    before = state()
    with pytest.raises(KeyError), strict_float32("cpu"):
        raise KeyError
    assert state() == before


def test_autocast_is_suspended():
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with strict_float32("cpu"):
            assert (x @ x).dtype == torch.float32


def test_tf32_is_on_inside_and_off_outside_where_there_is_cuda():
    before = state()
    # The switches can be looked at without a CUDA device.
    with computing_in("tf32", "cuda"):
        assert state()[:3] == ("high", True, True)
    assert state() == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_float32_stays_strict_in_the_other_precisions(precision):
    torch.set_float32_matmul_precision("medium")
    with computing_in(precision, "cpu"):
        assert state() == ("highest", False, False, "ieee")


def test_tf32_is_refused_without_cuda(inception_weights):
    with pytest.raises(UserError, match="tf32 needs CUDA"), computing_in("tf32", "cpu"):
        pass
    with pytest.raises(UserError, match="tf32 needs CUDA"):
        load_detector("inception", "tf1", inception_weights, CPU, "tf32")
    with pytest.raises(UserError, match="choose one of fp32, tf32, bf16"):
        load_detector("inception", "tf1", inception_weights, CPU, "half")


@pytest.fixture(scope="module")
def exact(inception_weights):
    return load_inception(inception_weights, "tf1", CPU)


def test_bfloat16_features_are_near_and_float32(exact, inception_weights):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=rng, dtype=torch.uint8)
    coarse = load_inception(inception_weights, "tf1", CPU, "bf16")
    expected, features = exact(images), coarse(images)
    assert features.dtype == torch.float32
    assert 1e-4 < (features - expected).norm() / expected.norm() < 2e-2
    assert coarse.identity == f"{exact.identity} precision=bf16"
    assert torch.equal(coarse.head, exact.head)


def test_features_do_not_depend_on_the_batch(exact):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (CPU_IMAGES + 1, 3, 32, 32), generator=rng, dtype=torch.uint8)
    together = exact(images)
    alone = exact(images[-1:])
    assert (together[-1:] - alone).norm() / alone.norm() < 1e-6
    assert exact(images[:0]).shape == (0, 2048)


def test_logits_are_products_in_strict_float32(exact, inception_weights):
    weights = torch.load(inception_weights, weights_only=True)["fc.weight"]
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(0))
    torch.set_float32_matmul_precision("medium")
    logits = exact.logits(features)
    assert logits.shape == (3, 1008)
    expected = features.double() @ weights.double().T
    assert (logits - expected).norm() / expected.norm() < 1e-6


def switches():
    return (
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_algorithms_are_chosen_for_a_purpose_and_switches_put_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = switches()
    with choosing_algorithms("fastest"):
        assert switches()[:3] == (True, False, False)
        with strict_float32("cpu"):  # a measurement during a training
            assert switches()[:3] == (False, True, False)
        assert switches()[:3] == (True, False, False)
    with choosing_algorithms("deterministic"):
        assert switches() == (False, True, True, ":4096:8", False)
        with computing_in("fp32", "cpu"):
            assert switches()[:3] == (False, True, False)
        assert switches() == (False, True, True, ":4096:8", False)
    assert switches() == before


def test_a_workspace_of_cublas_that_is_not_deterministic_is_refused(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    before = switches()
    refused = "CUBLAS_WORKSPACE_CONFIG to be :4096:8 or :16:8, it is :0:0: unset it"
    with pytest.raises(UserError, match=refused), choosing_algorithms("deterministic"):
        pass
    assert switches() == before
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with choosing_algorithms("deterministic"):
        assert switches()[3] == ":16:8"
    assert switches()[3] == ":16:8"
