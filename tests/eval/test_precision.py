import pytest
import torch

from stylegan_eval.precision import strict_float32


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
