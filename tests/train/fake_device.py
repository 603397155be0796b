"""A device that exists nowhere, for tensors without data: what a GPU would refuse, it refuses.

PyTorch's fake tensors know shapes, types and devices only. On a device other than the CPU an
operation that mixes in a CPU tensor fails as on a GPU, and so does whatever needs a value on the
host. The name "cuda" will not do: backward passes ask its driver, which a machine without a GPU
does not have. So a device of our own is registered, which lasts as long as the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "fakegpu"
_READ = torch.ops.aten._local_scalar_dense.default


class WaitError(Exception):
    """A copy between host and device for which the host waits."""


def register() -> None:
    """Make the device known to this process."""
    _setup_privateuseone_for_python_backend(NAME)
    # Autocast asks for it, also where it is only to be switched off.
    torch.get_device_module(NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]


def device() -> torch.device:
    """The device."""
    return torch.device(f"{NAME}:0")


@contextmanager
def setting_up() -> Iterator[None]:
    """No data; the host may read values, all of which are 1: construction may wait."""
    with FakeTensorMode(), _ReadsOne():
        yield


@contextmanager
def stepping() -> Iterator[None]:
    """Inside `setting_up`: nothing may wait."""
    with _NoWait():
        yield


class _ReadsOne(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return 1 if func is _READ else func(*args, **(kwargs or {}))


class _NoWait(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _READ:
            raise WaitError("a value is read on the host")
        if func is torch.ops.aten._fused_adam_.tensor_lr:  # PyTorch lacks a version without data
            return _on_one_device(args, kwargs)
        if func is torch.ops.aten.copy_.default:
            _refuse_waiting(args[1].device, args[0].device, args[2:3] == (True,))
        if func is torch.ops.aten._to_copy.default:
            source = args[0].device
            asynchronous = kwargs.get("non_blocking", False)
            _refuse_waiting(source, kwargs.get("device") or source, asynchronous)
        return func(*args, **kwargs)


def _refuse_waiting(source: torch.device, target: torch.device, asynchronous: bool) -> None:
    if source != target and not asynchronous:
        raise WaitError(f"a blocking copy from {source} to {target}")


def _on_one_device(args: Any, kwargs: Any) -> None:
    tensors: list[Any] = []
    torch.utils._pytree.tree_map_only(torch.Tensor, tensors.append, (args, kwargs))
    if {tensor.device for tensor in tensors} != {device()}:
        raise RuntimeError(f"fused Adam on {sorted({str(t.device) for t in tensors})}")
