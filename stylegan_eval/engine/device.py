"""Where and how to compute: device, precision whatever PyTorch's switches say, memory format."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch

from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Precision

Algorithms = Literal["fastest", "same", "deterministic"]
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = (":4096:8", ":16:8")
_AMPERE = 8  # the first with tensor cores for both formats
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def pick_device(name: str) -> torch.device:
    """Device of this name; ``auto`` is CUDA when present, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got {name}") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got {name}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices:"
            " use --device cpu"
        )
    return device


def device_of_process(name: str, processes: Processes) -> torch.device:
    """Device of one of several processes: each takes the GPU of its number on its machine."""
    device = pick_device(name)
    if device.type == "cpu":
        return device
    if processes.world > 1:
        if device.index is not None:
            raise UserError(
                f"--device {name} is one GPU for {processes.world} processes: use --device cuda,"
                " and each takes the GPU of its number"
            )
        if processes.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {processes.local_rank} of this machine has no GPU: start"
                f" {torch.cuda.device_count()} here (--nproc-per-node), or use --device cpu"
            )
        device = torch.device("cuda", processes.local_rank)
    if device.index is not None:
        torch.cuda.set_device(device)  # what allocates without naming a device takes this one
    return device


def device_name(device: torch.device) -> str:
    """The processor's kind; of a GPU its model, on which its random numbers depend."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def check_precision(precision: Precision, device_type: str) -> None:
    """Check that a device can compute in this precision."""
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision}: choose one of {', '.join(PRECISIONS)}")
    if precision == "tf32" and device_type != "cuda":
        raise UserError(f"tf32 needs CUDA, the device is {device_type}: use fp32 or bf16")
    if precision != "fp32" and device_type == "cuda" and torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        if major < _AMPERE:
            raise UserError(
                f"{precision} needs a GPU of compute capability {_AMPERE}.0 (Ampere) or newer,"
                f" {torch.cuda.get_device_name()} has {major}.{minor}: use fp32"
            )


def network_dtype(precision: Precision) -> torch.dtype:
    """Type of a network's weights and activations."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def computing_in(precision: Precision, device_type: str) -> contextlib.AbstractContextManager[None]:
    """Compute in this precision inside the block; all switches are put back on leaving.

    ``fp32`` is IEEE float32; ``tf32`` lets CUDA round the factors of float32 products to 10 bits of
    mantissa; ``bf16`` is float32 for all that is float32: it is the network that is converted,
    once, to `network_dtype` (autocast would convert its weights in every call). Algorithms are the
    ``same`` ones of `choosing_algorithms`, unless the block chooses others.
    """
    check_precision(precision, device_type)
    return _products("tf32" if precision == "tf32" else "ieee", device_type)


def strict_float32(device_type: str) -> contextlib.AbstractContextManager[None]:
    """Compute in IEEE float32 inside the block: no TF32, no bfloat16 products, no autocast.

    PyTorch's default lets cuDNN convolutions run in TF32, which moves features by 1e-3; a result
    must not depend on that. All switches are put back on leaving.
    """
    return _products("ieee", device_type)


@contextlib.contextmanager
def choosing_algorithms(rule: Algorithms) -> Iterator[None]:
    """Choose how CUDA finds its algorithms in the block; all switches are put back on leaving.

    ``fastest`` times those of cuDNN for each new shape, and another run may take others;
    ``same`` takes what cuDNN's rules say for a shape, among those that give equal bits each time;
    ``deterministic`` also refuses every operation of PyTorch that would not.
    """
    cudnn, deterministic = torch.backends.cudnn, rule == "deterministic"
    workspace = os.environ.get(_WORKSPACE)
    if deterministic and (workspace or _WORKSPACES[0]) not in _WORKSPACES:
        raise UserError(
            f"--deterministic needs {_WORKSPACE} to be {' or '.join(_WORKSPACES)}, it is"
            f" {workspace}: unset it"
        )
    before = cudnn.benchmark, cudnn.deterministic
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    switched = torch.are_deterministic_algorithms_enabled() != deterministic
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    try:
        cudnn.benchmark, cudnn.deterministic = rule == "fastest", rule != "fastest"
        if switched:
            torch.use_deterministic_algorithms(deterministic)
        if deterministic:
            os.environ[_WORKSPACE] = workspace or _WORKSPACES[0]  # which PyTorch wants for cuBLAS
            memory.fill_uninitialized_memory = False  # no step reads memory that it has not written
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
        if switched:
            torch.use_deterministic_algorithms(not deterministic, warn_only=warns)
        memory.fill_uninitialized_memory = filled
        if deterministic and workspace is None:
            del os.environ[_WORKSPACE]


@contextlib.contextmanager
def _products(rule: Literal["ieee", "tf32"], device_type: str) -> Iterator[None]:
    """Set every switch of float32 products to `rule`, and suspend autocast."""
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
        torch.set_float32_matmul_precision("highest" if rule == "ieee" else "high")
        backends.cudnn.allow_tf32 = rule == "tf32"
        for switch in switches:
            switch.fp32_precision = rule
        # Tensors without data (meta) have none to switch off.
        has_autocast = torch.amp.is_autocast_available(device_type)
        autocast = torch.autocast(device_type, enabled=False) if has_autocast else nullcontext()
        with autocast, choosing_algorithms("same"):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        backends.cudnn.allow_tf32 = cudnn
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


Layout = Literal["channels_last", "contiguous"]  # PyTorch's names

# The CPU's was measured (docs/performance.md). CUDA's was not: there cuDNN's float32 kernels take
# contiguous maps, tensor cores take channels last, and each would have the other's transposed
# before and after. Other devices are taken to be like CUDA.
LAYOUTS: Mapping[tuple[str, Precision], Layout] = MappingProxyType(
    {
        ("cpu", "fp32"): "channels_last",
        ("cpu", "bf16"): "channels_last",
        ("cuda", "fp32"): "contiguous",
        ("cuda", "tf32"): "channels_last",
        ("cuda", "bf16"): "channels_last",
    }
)


def layout_for(device_type: str, precision: Precision) -> Layout:
    """The best layout known."""
    return LAYOUTS["cpu" if device_type == "cpu" else "cuda", precision]


def best_format(device: torch.device, precision: Precision = "fp32") -> torch.memory_format:
    """PyTorch's object for `layout_for`."""
    return memory_format(layout_for(device.type, precision))


def memory_format(layout: Layout) -> torch.memory_format:
    """PyTorch's object of this name."""
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format
