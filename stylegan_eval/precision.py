"""Strict float32 for a block of code, whatever the rest of the process has switched on."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

PRECISION = "float32"


@contextlib.contextmanager
def strict_float32(device_type: str) -> Iterator[None]:
    """Compute in IEEE float32 inside the block: no TF32, no bfloat16 products, no autocast.

    PyTorch's default lets cuDNN convolutions run in TF32, which moves features by 1e-3; a result
    must not depend on that. All switches are put back on leaving.

    Parameters
    ----------
    device_type : str
        ``"cpu"``, ``"cuda"``: whose autocast to suspend.
    """
    backends: Any = torch.backends
    # PyTorch keeps an old and a new set of switches and refuses to compute where they disagree,
    # so both are set: the old ones first, because setting them overwrites the new ones.
    matmul, cudnn = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
    switches = [
        switch
        for switch in (
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.cudnn.rnn,
            backends.mkldnn.conv,
            backends.mkldnn.matmul,
        )
        if hasattr(switch, "fp32_precision")
    ]
    before = [switch.fp32_precision for switch in switches]
    try:
        torch.set_float32_matmul_precision("highest")
        backends.cudnn.allow_tf32 = False
        for switch in switches:
            switch.fp32_precision = "ieee"
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        backends.cudnn.allow_tf32 = cudnn
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision
