"""Checked access to state dicts of other implementations, assembled into our networks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan import __version__
from stylegan.configs import CONFIGS, NetworkConfig
from stylegan.networks.mapping import Mapping as MappingNetwork
from stylegan.snapshot import Facts, Provenance, Snapshot
from stylegan_eval.errors import UserError

State = dict[str, Tensor]

# Indices beyond are no layers: they are left to be refused as foreign tensors.
_LARGEST_INDEX = 63
_LARGEST_RESOLUTION = 2048


@dataclass(frozen=True)
class Layout:
    """Layout of an implementation's files: a row of `formats.LAYOUTS`."""

    name: str
    generator: str  # Pattern that names of a state begin with where it is this layout's G
    # States by the file's name of each; the file; all that the file holds -> networks.
    read: Callable[[Mapping[str, Mapping[Any, Any]], Path, Mapping[Any, Any]], Snapshot]
    discriminator: str = "(?!)"  # As `generator`, of its D; the default matches nothing
    average: str = ""  # Name of the averaged G beside other networks; empty where it stands alone
    alone_is_average: bool = False  # Whether a file of one generator holds the averaged one

    def is_generator(self, state: Mapping[Any, Any]) -> bool:
        """Whether the names of a state are those of this layout's generator."""
        return any(re.match(self.generator, str(name)) for name in state)

    def is_discriminator(self, state: Mapping[Any, Any]) -> bool:
        """Whether the names of a state are those of this layout's discriminator."""
        return any(re.match(self.discriminator, str(name)) for name in state)


class Weights:
    """Tensors by name; each is checked when it is taken, and all must be.

    `part` says what the state is of, for messages: "generator".
    """

    def __init__(self, state: Mapping[Any, Any], path: Path, part: str) -> None:
        self._left = dict(state)
        self._all = frozenset(self._left)
        self._where = f"{path}: {part}"

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def refuse(self, message: str) -> UserError:
        """Error that names file and part."""
        return UserError(f"{self._where} {message}")

    def count(self, pattern: str) -> int:
        """One more than the largest index, the first group of `pattern`, among matching names."""
        matches = [re.fullmatch(pattern, name) for name in self._all if isinstance(name, str)]
        indices = [int(match[1]) for match in matches if match and len(match[1]) <= 2]
        return max((i + 1 for i in indices if i <= _LARGEST_INDEX), default=0)

    def shape(self, name: str, ndim: int) -> tuple[int, ...]:
        """Sizes of a tensor of `ndim` dimensions."""
        value = self._tensor(name)
        if value.ndim != ndim or 0 in value.shape:
            raise self.refuse(
                f"tensor {name} has shape {_said(value.shape)}, expected {ndim} dimensions"
            )
        return tuple(value.shape)

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a tensor of floating-point numbers, all finite, of this very shape."""
        value = self._tensor(name)
        if tuple(value.shape) != shape:
            raise self.refuse(
                f"tensor {name} has shape {_said(value.shape)}, expected {_said(shape)}"
            )
        del self._left[name]
        if not value.dtype.is_floating_point:
            raise self.refuse(f"tensor {name} is {value.dtype}, expected floating-point numbers")
        value = value.detach()
        if value.dtype not in (torch.float32, torch.float64):
            value = value.float()
        if not bool(torch.isfinite(value.float()).all()):  # nor beyond float32
            raise self.refuse(f"tensor {name} holds numbers that are not finite")
        return value

    def take_layer(self, name: str, ours: str, *shape: int) -> State:
        """Take the weight of this shape and the bias of a layer, which is called `ours` here."""
        return {
            f"{ours}.weight": self.take(f"{name}.weight", *shape),
            f"{ours}.bias": self.take(f"{name}.bias", shape[0]),
        }

    def take_blur(self, name: str, channels: int) -> None:
        """Take the kernel of a blur, which must be [1, 2, 1] x [1, 2, 1] / 16."""
        kernel = self.take(name, channels, 1, 3, 3)
        taps = torch.tensor([1.0, 2.0, 1.0], dtype=kernel.dtype) / 4
        if not torch.equal(kernel, torch.outer(taps, taps).expand_as(kernel)):
            raise self.refuse(f"blurs by another kernel than [1, 2, 1]: {name}")

    def finish(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            names = sorted(map(str, self._left))
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise self.refuse(f"has a foreign tensor {names[0][:100]!r}{more}")

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Name the file in what `NetworkConfig` refuses."""
        try:
            yield
        except UserError as error:
            raise self.refuse(f"cannot be had here: {error}") from error

    def _tensor(self, name: str) -> Tensor:
        if name not in self._left:
            raise self.refuse(f"lacks the tensor {name}")
        value = self._left[name]
        if not isinstance(value, Tensor):
            raise self.refuse(f"has no tensor under {name}, but {type(value).__name__}")
        if value.layout != torch.strided or value.device.type != "cpu":
            raise self.refuse(f"tensor {name} is sparse or without data, expected all its numbers")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise self.refuse(
                f"tensor {name} repeats its numbers, and would take more than the file"
            )
        return value


def _said(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def fit_widths(weights: Weights, widths: Mapping[int, int]) -> tuple[int, int]:
    """`fmap_base` and `fmap_max` of these feature maps by resolution (2 for D's dense layer)."""
    if (resolution := max(widths)) > _LARGEST_RESOLUTION:
        raise weights.refuse(f"is for {resolution} pixels, expected at most {_LARGEST_RESOLUTION}")
    largest = max(widths.values())
    # Each width w at stage s bounds the base from below, by w * 2^s: take the least that fits all.
    base = max(width << size.bit_length() - 2 for size, width in widths.items())
    with weights.speaking():
        config = NetworkConfig(fmap_base=base, fmap_max=largest)
    if all(config.fmaps(size) == width for size, width in widths.items()):
        return base, largest
    listed = ", ".join(f"{width} at {size}" for size, width in sorted(widths.items()))
    raise weights.refuse(f"has feature maps that no fmap_base and fmap_max give: {listed}")


def with_mapping(
    network: NetworkConfig, weights: Weights, layers: Sequence[tuple[int, ...]], embedding: str
) -> NetworkConfig:
    """Add the mapping to a configuration, by (out, in) of each dense layer.

    A tensor `embedding` [label_size, z_dim] is in conditional networks only.
    """
    conditional = embedding in weights
    fan_in, w_dim = layers[0][1], layers[-1][0]
    if not conditional and fan_in == 2 * w_dim:
        raise weights.refuse(
            f"lacks the tensor {embedding}: its mapping takes {fan_in} numbers, twice the {w_dim}"
            " of w, as only that of a conditional network does"
        )
    return replace(
        network,
        mapping_layers=len(layers),
        z_dim=fan_in // 2 if conditional else fan_in,
        mapping_fmaps=layers[0][0],
        w_dim=w_dim,
        label_size=weights.shape(embedding, 2)[0] if conditional else 0,
    )


def take_mapping(weights: Weights, network: NetworkConfig, dense: str, embedding: str) -> State:
    """Take the mapping stored as in the official code; `dense` begins its layers' names."""
    state: State = {}
    width = network.z_dim
    if network.label_size:
        state["f.label_embedding.weight"] = weights.take(embedding, network.label_size, width)
        width *= 2
    for k in range(network.mapping_layers):
        last = k == network.mapping_layers - 1
        out = network.w_dim if last else network.mapping_fmaps
        state |= weights.take_layer(f"{dense}{k}", f"f.layers.{k}", out, width)
        width = out
    return state


NOT_SAID = "taken for the averaged generator, though no name in the file says that it is one"
FADED_IN = "its largest trained resolution is taken as wholly faded in (the file does not say)"
EQUAL_CLASSES = "labels: each class as often as the others"
# Latents whose mean w stands in for a moving average that a file lacks.
_LATENTS = 10_240
_BATCH = 1024


def imported(
    layout: str,
    network: NetworkConfig,
    resolution: int,
    states: Mapping[str, State],
    *,
    notes: Sequence[str] = (),
    **progress: Any,
) -> Snapshot:
    """Convert networks of another layout to this package's, in the precision of the file.

    `states` are of "G_ema", "G" and "D", as far as they are there; `notes` say what was made up;
    `progress` is `nimg`, `lod` and `left_out` of `Snapshot`.
    """
    drawn = [EQUAL_CLASSES] if network.label_size else []
    config = replace(
        CONFIGS["F"],
        change=f"imported from the layout of {layout}",
        resolution=resolution,
        network=network,
    )
    return Snapshot(
        config=config,
        provenance=Provenance(seed=0, data="unknown", version=__version__),
        networks=states,
        format=layout,
        labels=torch.eye(network.label_size) if network.label_size else None,
        facts=Facts(note="; ".join((f"layout of {layout}", *notes, *drawn))),
        **{"nimg": 0, "lod": 0.0, **progress},
    )


def mean_w(network: NetworkConfig, state: State) -> Tensor:
    """Mean of w over latents (seed 0) and labels in turns, [w_dim], in the type of the state."""
    f = MappingNetwork(network)
    own = {name[2:]: value for name, value in state.items() if name.startswith("f.")}
    f.to(next(iter(own.values())).dtype).load_state_dict(own)
    rng = torch.Generator().manual_seed(0)
    total = torch.zeros(network.w_dim, dtype=torch.float64)
    labels = None
    with torch.no_grad():
        for _ in range(_LATENTS // _BATCH):
            z = torch.randn(_BATCH, network.z_dim, generator=rng)
            z = z.to(next(f.parameters()).dtype)
            if size := network.label_size:
                labels = torch.eye(size, dtype=z.dtype)[torch.arange(_BATCH) % size]
            total += f(z, labels).double().sum(dim=0)
    return (total / _LATENTS).to(z.dtype)


def drawn_noise(layer: int) -> Tensor:
    """Noise map of a layer whose file lacks it, [1, 1, H, W]; the layer's number is the seed."""
    size = 4 << layer // 2
    return torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(layer))


def trained_blocks(state: State, blocks: int) -> int:
    """Resolutions that were trained, of a generator that was built with `blocks` from the start.

    Some files do not say how far training went. What was never reached still has the noise
    weights and biases it began with, all zeros. Where nothing was trained, all count.
    """
    for i in reversed(range(blocks)):
        layers = [f"g.layers.{2 * i}"] + ([f"g.layers.{2 * i - 1}"] if i else [])
        names = [f"{layer}.epilogue.noise_weight" for layer in layers]
        names += [f"{layer}.epilogue.bias" for layer in layers]
        if any(bool(state[name].any()) for name in (*names, f"g.to_rgb.{i}.bias")):
            return i + 1
    return blocks
