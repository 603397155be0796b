"""Memory format of a network's weights and activations, by device and precision."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from stylegan_eval.settings.common import Precision

if TYPE_CHECKING:
    import torch

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
    import torch

    return torch.channels_last if layout == "channels_last" else torch.contiguous_format
