"""Trained networks with configuration, provenance and progress: content of a file of any format."""

import copy
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.configs import Config, NetworkConfig
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan_eval.engine.device import best_format
from stylegan_eval.errors import UserError
from stylegan_eval.images.labels import checked_names

PARTS = ("G_ema", "G", "D")
NOT_AVERAGED = "the generator here is not the average, but that of the last step"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of networks."""

    seed: int  # Seed of the run
    data: str  # Content key of the training images; a name, where no more is known
    version: str  # Version of this package
    execution: tuple[tuple[int, str], ...] = ((0, "fp32"),)
    """Precision, ((images shown before, 'fp32'), ...): one entry per change."""
    init: str = ""  # SHA-256 of the file whose networks were the first ones; empty for fresh ones

    def going_on(self, nimg: int, execution: str) -> "Provenance":
        """The same, computed in this way from image `nimg` on."""
        if self.execution[-1][1] == execution:
            return self
        return replace(self, execution=(*self.execution, (nimg, execution)))


def check_progress(nimg: Any, lod: Any, config: Config) -> None:
    """Check a number of images and a level of detail from an untrusted file."""
    if type(nimg) is not int or not 0 <= nimg < 2**63:
        raise UserError(f"nimg is {nimg!r:.40}, expected a number of images")
    if type(lod) not in (int, float) or not 0 <= lod <= math.log2(config.resolution) - 2:
        raise UserError(f"lod is {lod!r:.40}, expected 0 to {math.log2(config.resolution) - 2:g}")


def provenance_from_dict(tree: Mapping[str, Any]) -> Provenance:
    """Read the dictionary of a `Provenance` from an untrusted file; may be a ValueError."""
    if not isinstance(tree, Mapping):
        raise ValueError("the provenance is no mapping")
    tree = {"execution": [(0, "fp32")], "init": "", **tree}
    kinds: dict[str, type | tuple[type, ...]] = {
        "seed": int, "data": str, "version": str, "execution": (list, tuple), "init": str
    }  # fmt: skip
    if tree.keys() != kinds.keys():
        raise ValueError(f"the provenance has other keys than {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(tree[key], kind):
            raise ValueError(f"the provenance's {key} has the wrong type")
    if not 0 <= tree["seed"] < 2**63:
        raise ValueError("the provenance's seed is not from 0 to 2^63 - 1")
    changes = [tuple(change) for change in tree["execution"]]
    if not changes or any([type(x) for x in change] != [int, str] for change in changes):
        raise ValueError("the provenance's execution is not [[images, name], ...]")
    return Provenance(**{**tree, "execution": tuple(changes)})


def label_names_from(names: Any, config: Config) -> tuple[str, ...]:
    """Read the names of labels from an untrusted file; older ones have none."""
    if names is None:
        return ()
    try:
        found = checked_names(names)
    except ValueError as error:
        raise UserError(f"names of its labels: {error}") from error
    if found and len(found) != config.network.label_size:
        raise UserError(
            f"it names {len(found)} labels, its networks have {config.network.label_size}"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measured number."""

    metric: str  # Name of the metric
    value: float  # The number
    stderr: float | None  # Its standard error; None where none is known
    command: str  # What measured it


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a file for people."""

    command: str = ""  # What trained the network; empty where unknown
    scores: tuple[Score, ...] = ()  # What it was measured to be
    note: str = ""  # Anything else


@dataclass(frozen=True, kw_only=True)
class ResumeState:
    """State to continue a training, beside the networks: only in checkpoints."""

    optimizers: Mapping[str, Mapping[str, Any]]  # State of Adam, of "G" and "D"
    snapshot_nimg: int  # Images shown at the last snapshot that was due by kimg
    log_nimg: int  # Images shown at the last row of the log
    log_looks: int  # Schedule updates since
    log_sums: Mapping[str, Tensor]  # Sums of the logged terms since


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Content of a network file: what readers return and writers take."""

    config: Config
    provenance: Provenance
    nimg: int  # Real images shown
    lod: float  # Level of detail trained last
    networks: Mapping[str, Mapping[str, Tensor]]  # State dictionaries, of some of `PARTS`
    format: str = ""  # Format of the file that was read
    labels: Tensor | None = None  # [K, label_size], labels to draw from; of a conditional network
    label_names: tuple[str, ...] = ()
    """Names of the numbers in a label, which are classes or attributes; none where not known."""
    facts: Facts = Facts()
    left_out: Mapping[str, str] = field(default_factory=dict)  # Why a part is missing, by part
    resume: ResumeState | None = None

    @property
    def mirrored(self) -> bool | None:
        """Whether training mirrored its images; None of other programs' files, which do not say."""
        known = self.resume is not None or self.provenance.data not in ("", "unknown")
        return self.config.mirror if known else None

    @property
    def trained(self) -> str:
        """Thousands of images shown, as text; other programs' files may not record them.

        Of networks that began with trained ones, `nimg` counts their last training alone.
        """
        known = self.nimg > 0 or self.resume is not None
        before = " after an earlier training" if self.provenance.init else ""
        return f"{self.nimg / 1000:.1f} kimg{before}" if known else "kimg unknown"

    @property
    def description(self) -> str:
        """Configuration, size and training of the networks, in a few words."""
        grown = f", lod {self.lod:.2f}" if self.lod > 0 else ""
        size = f"{self.config.resolution}x{self.config.resolution}"
        return f"config {self.config.name}, {size}, {self.trained}{grown}"


def check_parts(snapshot: Snapshot, parts: Sequence[str], purpose: str) -> None:
    """Check that the networks needed are present; only checkpoints always hold all three."""
    lacking = [part for part in parts if part not in snapshot.networks]
    for part in lacking:
        if part in snapshot.left_out:
            raise UserError(f"{purpose} with {', '.join(parts)}: {snapshot.left_out[part]}")
    if lacking:
        raise UserError(
            f"the file holds {', '.join(snapshot.networks)} alone, {purpose} with"
            f" {', '.join(parts)}: use a checkpoint of the training"
        )


def load_generator(snapshot: Snapshot, device: torch.device) -> Generator:
    """Moving average of the generator, for evaluation."""
    network = _loaded(snapshot, "G_ema", "images are drawn", device)
    assert isinstance(network, Generator)
    return network


def load_discriminator(snapshot: Snapshot, device: torch.device) -> Discriminator:
    """Discriminator, for scoring."""
    network = _loaded(snapshot, "D", "scores are made", device)
    assert isinstance(network, Discriminator)
    return network


def _loaded(snapshot: Snapshot, part: str, purpose: str, device: torch.device) -> nn.Module:
    """A network of a file, for inference alone."""
    check_parts(snapshot, [part], purpose)
    network = copy.deepcopy(on_meta(snapshot.config, part)).to_empty(device="cpu")
    network = network.to(memory_format=best_format(device))
    network.load_state_dict(snapshot.networks[part])
    return network.to(device).requires_grad_(requires_grad=False).eval()


def load_labels(snapshot: Snapshot) -> Tensor:
    """Labels [K, label_size] that a conditional network was trained with."""
    labels, size = snapshot.labels, snapshot.config.network.label_size
    if labels is None or labels.ndim != 2 or labels.shape[1] != size:
        raise UserError("the checkpoint holds no labels for its networks: use another one")
    return labels


def on_meta(config: Config, part: str) -> nn.Module:
    """Network of a part without numbers: nothing is allocated. Copy it to change it."""
    kind = Discriminator if part == "D" else Generator
    return built_on_meta(kind, config.network, config.resolution)


@functools.lru_cache(maxsize=2)  # both networks of a configuration
def built_on_meta(
    kind: type[Generator | Discriminator], config: NetworkConfig, resolution: int
) -> nn.Module:
    """Build a network for `on_meta`."""
    with torch.device("meta"):
        return kind(config, resolution)


def check_tensors(shapes: Mapping[str, list[int]], config: Config, parts: Collection[str]) -> None:
    """Check names (``G_ema.w_avg``) and shapes of tensors against a configuration."""
    expected = {
        f"{part}.{name}": list(value.shape)
        for part in parts
        for name, value in on_meta(config, part).state_dict().items()
    }
    differing = sorted(expected.keys() ^ shapes.keys())
    if differing:
        kind = "lacks" if differing[0] in expected else "has a foreign"
        raise UserError(
            f"{kind} tensor {differing[0]} ({len(differing)} in all differ from those of"
            " the configuration it names)"
        )
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise UserError(f"tensor {name} is F32 {shape}, expected F32 {expected[name]}")
