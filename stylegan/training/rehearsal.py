"""Count operations and peak memory of a training step on meta tensors."""

import math
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch._prims_common import suggest_memory_format
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from stylegan.configs import Config, ScheduleConfig
from stylegan.networks.devices import playing
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.runtime import Runtime
from stylegan.training.loop import MicroBatch, StepRandom, Steps
from stylegan.training.optimizer import Adam, Flat
from stylegan.training.partition import Execution, Share, shares
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState

_META = torch.device("meta")
_ATEN = torch.ops.aten
_CONVOLUTION = _ATEN.convolution.default
_BACKWARD = _ATEN.convolution_backward.default
# Nothing is computed and no memory is touched, though they are no views.
_IDLE = (
    _ATEN._unsafe_view.default,
    _ATEN.empty.memory_format,
    _ATEN.empty_like.default,
    _ATEN.new_empty.default,
)
# These read all that they are given a first time for the statistics.
_READING_TWICE = (_ATEN.native_batch_norm.default, _ATEN.native_batch_norm_backward.default)
# The library that computes a convolution works on copies of what it reads and writes.
COPIES_IN_CONVOLUTION = 2


class Meter(TorchDispatchMode):
    """Counts operations and the bytes of all living tensors, below autograd.

    Second derivatives count too; PyTorch's own `FlopCounterMode` follows modules with hooks that
    `autograd.grad` refuses. Convolutions without data forget the memory format; `lays_out` gives
    their results the one that libraries choose.
    """

    flop: int  # Floating-point operations of products and convolutions so far
    moved: int  # Bytes of all tensors that operations read and wrote so far; views move none
    dense: int  # Of these, of products and of convolutions but for those of single channels
    launches: int  # Operations that compute something so far, each at least one kernel
    live: int  # Bytes of the storages that were made inside and are still there
    peak: int  # Most of them at once, the working memory of convolutions included

    def __init__(self, copies: int = COPIES_IN_CONVOLUTION, *, lays_out: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies, self.lays_out = copies, lays_out
        self.flop = self.moved = self.dense = self.launches = self.live = self.peak = 0
        self._storages: dict[int, weakref.ref[Any]] = {}
        self._results = _Results()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = self._results.of(func, args, kwargs)
        if self.lays_out and func in (_CONVOLUTION, _BACKWARD):
            out = _laid_out(out, args[:2] if func is _CONVOLUTION else args[1:3])
        tensors = [t for t in (out if isinstance(out, (tuple, list)) else [out]) if _is_tensor(t)]
        for tensor in tensors:
            self._note(tensor.untyped_storage())
        if not func.is_view and func not in _IDLE:
            size = _bytes(args) * (2 if func in _READING_TWICE else 1) + _bytes(tensors)
            self.moved += size
            self.dense += size if _is_dense(func, args) else 0
            self.launches += len(tensors) if func is _BACKWARD else 1
        if func in (_CONVOLUTION, _BACKWARD):
            work = sum(t.numel() * t.element_size() for t in (*args[:2], *tensors))
            self.peak = max(self.peak, self.live + self.copies * work)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flop += count(*args, **kwargs, out_val=out)
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._storages:
            size = storage.nbytes()
            self._storages[key] = weakref.ref(storage, partial(self._forget, key, size))
            self.live += size
            self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int, _reference: object) -> None:
        del self._storages[key]
        self.live -= size


class _Form(NamedTuple):
    """Shape, stride and type of a tensor without data."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        return cls(tensor.shape, tensor.stride(), tensor.dtype)

    def tensor(self) -> Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=_META)


class _Results:
    """Results of operations on meta tensors, by the forms of what they are given.

    PyTorch finds the form of most results in Python, in 0.3 ms, and a step has thousands that are
    alike. Views, what writes in place, and tensors with data are left to PyTorch.
    """

    def __init__(self) -> None:
        self._forms: dict[Hashable, _Form | tuple[_Form | None, ...]] = {}

    def of(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of `func`."""
        if func.is_view or func._schema.is_mutable:
            return func(*args, **kwargs)
        key = (func, _key(args), *((name, _key(value)) for name, value in kwargs.items()))
        form = self._forms.get(key)
        if isinstance(form, _Form):
            return form.tensor()
        if form is not None:
            return tuple(each and each.tensor() for each in form)
        out = func(*args, **kwargs)
        if _is_tensor(out) and _is_new(out, args):
            self._forms[key] = _Form.of(out)
        elif type(out) is tuple and all(each is None or _is_new(each, args) for each in out):
            self._forms[key] = tuple(each if each is None else _Form.of(each) for each in out)
        return out


def _key(value: Any) -> Hashable:
    """Equal for values with which an operation has results of equal form."""
    if _is_tensor(value):
        return (_Form.of(value), value.device)
    if isinstance(value, (list, tuple)):
        return tuple(_key(each) for each in value)
    return (type(value), value)


def _is_new(out: Any, args: Sequence[Any]) -> bool:
    """Whether `out` is a meta tensor that fills a storage which none of `args` has."""
    if not _is_tensor(out) or not out.is_meta:
        return False
    storage, form = out.untyped_storage(), _Form.of(out)
    filled = form.tensor().untyped_storage().nbytes()
    own = all(storage._cdata != each.untyped_storage()._cdata for each in args if _is_tensor(each))
    return own and storage.nbytes() == filled


def _is_dense(func: Any, args: Sequence[Any]) -> bool:
    """Whether it is what matrix units compute: a product, or a convolution over many channels."""
    if func in (_CONVOLUTION, _BACKWARD):
        groups = args[8] if func is _CONVOLUTION else args[9]
        return bool(groups == 1)
    return func._overloadpacket in flop_registry


def _laid_out(out: Any, operands: Sequence[Tensor]) -> Any:
    """Results of a convolution, channels last if they are so in the images or the kernel."""
    if all(suggest_memory_format(each) != torch.channels_last for each in operands):
        return out
    if _is_tensor(out):
        return out.to(memory_format=torch.channels_last)
    return tuple(
        part.to(memory_format=torch.channels_last) if _is_tensor(part) and part.ndim == 4 else part
        for part in out
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _bytes(values: Sequence[Any]) -> int:
    """Bytes of the tensors among `values` and in lists there."""
    return sum(
        value.numel() * value.element_size()
        if _is_tensor(value)
        else _bytes(value)
        if isinstance(value, (list, tuple))
        else 0
        for value in values
    )


def bytes_of(network: nn.Module) -> int:
    """Bytes of all weights and buffers that are stored with a network."""
    return sum(tensor.nbytes for tensor in network.state_dict().values())


class _Idle:
    """An optimizer that holds its moments and never steps: PyTorch's needs data for that."""

    def __init__(self, flat: Flat, _schedule: ScheduleConfig) -> None:
        self.moments = [torch.zeros_like(flat.weights) for _ in range(2)]

    def update(self, _lrate: Tensor) -> Tensor:
        return torch.empty((), device=_META)


class Counts(NamedTuple):
    """Counts of a `Meter`."""

    flop: int
    moved: int
    dense: int
    launches: int


class Rehearsal:
    """Networks without data on which steps are counted, in the precision of `execution`.

    They compute as on a device of `device_type`. Compiling is left out: what is compiled keeps no
    more. `copies` are those that a convolution works on.
    """

    def __init__(
        self,
        config: Config,
        execution: Execution,
        device_type: str = "cpu",
        *,
        copies: int = COPIES_IN_CONVOLUTION,
    ) -> None:
        # Mixing is rehearsed wherever it can happen.
        mixing = float(math.ceil(config.loss.style_mixing_prob))
        self._config = replace(config, loss=replace(config.loss, style_mixing_prob=mixing))
        self._device_type = device_type
        self._meter = Meter(copies, lays_out=device_type != "cpu")
        execution = replace(execution, compile=False)
        with self._meter:
            layout = execution.memory_format(device_type)
            self._state = _state_without_data(config, layout)
            self._steps = Steps(self._state, self._config, Runtime(_META), execution)

    @property
    def networks(self) -> tuple[Generator, Discriminator]:
        """G and D, on the meta device."""
        return self._state.G, self._state.D

    @property
    def held(self) -> int:
        """Bytes of weights, gradients and moments."""
        return self._meter.live

    def step(self, lod: float, own: int, at_a_time: int) -> tuple[float, int]:
        """Count one step of D and one of G on `own` images in one process.

        `at_a_time` is a multiple of the minibatch deviation's group. Returns floating-point
        operations per image, and the peak in bytes of what tensors take: weights, gradients,
        moments, what the backward passes keep and what is in between; to 3 % what PyTorch's
        profiler finds. The working copies of convolutions come on top and are not reported by
        PyTorch. Not counted: what CUDA, cuDNN and the allocator of a GPU reserve; what a process on
        a CPU is besides (`cost.process_memory`).
        """
        images = self._count(lod, at_a_time)
        meter = self._meter
        # All passes are alike, but for the images that wait for theirs or have had it.
        waiting = (own - at_a_time) * images.nbytes
        return meter.flop / at_a_time, meter.peak + waiting

    def work(self, lod: float, images: int) -> Counts:
        """Counts of a step of D and one of G, without the optimizer.

        Counted in one micro-batch of `images`, a multiple of the minibatch deviation's group.
        """
        self._count(lod, images)
        meter = self._meter
        return Counts(meter.flop, meter.moved, meter.dense, meter.launches)

    def _count(self, lod: float, at_a_time: int) -> Tensor:
        """Run a step of D and one of G under the meter; one of the real images."""
        (share,) = shares(at_a_time, self._config.network.mbstd_group_size)
        meter = self._meter
        meter.flop = meter.moved = meter.dense = meter.launches = 0
        self._steps.random = StepRandom(0, _META)  # which keeps something of each share
        meter.peak = meter.live
        with meter, playing(self._device_type):
            batch = self._batch(share, lod)
            point = replace(training_point(0, self._config), lod=lod, minibatch=at_a_time)
            self._steps.begin(point)
            self._steps.discriminator_step([batch])
            self._steps.generator_step([batch])
        return batch.reals[0]

    def _batch(self, share: Share, lod: float) -> MicroBatch:
        network, size = self._config.network, self._config.resolution >> int(lod)
        reals = torch.empty(share.size, network.num_channels, size, size, device=_META)
        if network.label_size == 0:
            return MicroBatch(share, reals)
        labels = torch.empty(share.size, network.label_size, device=_META)
        return MicroBatch(share, reals, labels, torch.empty_like(labels))


def _state_without_data(config: Config, layout: torch.memory_format) -> TrainState:
    with _META:
        G, D, G_ema = (
            kind(config.network, config.resolution).to(memory_format=layout)
            for kind in (Generator, Discriminator, Generator)
        )
        return TrainState.of(
            cast(Generator, G),
            cast(Discriminator, D),
            cast(Generator, G_ema),
            config,
            cast(type[Adam], _Idle),
        )
