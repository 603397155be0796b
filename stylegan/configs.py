"""Configurations A to F of Table 1 as data: each is the one before plus one named change.

The values are those of the paper at 1024x1024 on FFHQ with 8 GPUs; other data sets and scales
are named changes on top (`stylegan.presets`).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeVar, get_type_hints

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

T = TypeVar("T")

# Values that depend on the resolution: ((resolution, value), ...), looked up by `at_resolution`.
IntTable = tuple[tuple[int, int], ...]
FloatTable = tuple[tuple[int, float], ...]
# Numbers beyond these are mistakes: they are refused before anything is allocated.
_WIDEST = 2**16
_DEEPEST = 64
_LARGEST = 2**16
_UTMOST = 1e12
_LONGEST = 200
_LARGEST_FILE = 2**20  # bytes; a configuration takes 3 kB
# Metadata of a field that is written only where it has another value than its default, so that
# files and names from before it was there stay what they are.
_WRITTEN_IF_OTHER = "written_if_other"


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise UserError(message)


def check_resolution(resolution: int) -> None:
    """Refuse a resolution that is no power of two from 4 up."""
    _require(
        resolution >= 4 and resolution & (resolution - 1) == 0,
        f"resolution must be a power of two of at least 4, not {resolution}",
    )
    _require(
        resolution <= _LARGEST, f"resolution must be at most {_LARGEST} pixels, not {resolution}"
    )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Architecture of generator and discriminator."""

    num_channels: int = 3  # Colour channels of an image
    label_size: int = 0  # Number of classes; 0 for an unconditional network
    z_dim: int = 512  # Width of the latent
    w_dim: int = 512  # Width of the intermediate latent
    mapping_fmaps: int = 512  # Width of the mapping's hidden layers
    mapping_layers: int = 0  # Depth of the mapping network; 0 passes the normalised latent on as w
    mapping_lrmul: float = 0.01  # Learning-rate multiplier of the mapping (Appendix C: 0.01)
    fmap_base: int = 8192  # Feature maps at stage s = log2(resolution) - 1:
    fmap_max: int = 512  # min(fmap_base / 2^s, fmap_max)
    blur: bool = False
    """Bilinear resampling, that is [1, 2, 1] x [1, 2, 1] / 16 after every up-sampling of G and
    before every down-sampling of D. Without it, nearest neighbour and box (Progressive GAN)."""
    fused_from: int = 4
    """Resolution from which the official code fuses up-sampling and convolution in G. The fused
    kernel is the mirror image of the unfused one, so this belongs to the network's identity."""
    styles: bool = False  # AdaIN styles after every layer
    normalization: Literal["pixel", "instance"] = "pixel"
    """Normalisation at the end of every layer of G."""
    constant_input: bool = False  # Learned 4x4 constant; otherwise a dense layer fed with w (or z)
    noise: bool = False  # Noise inputs after every convolution of G
    mbstd_group_size: int = 4  # Largest group of the minibatch standard deviation
    instance_eps: float = field(default=1e-8, metadata={_WRITTEN_IF_OTHER: True})
    """Added to the variance by instance normalisation. The official code's unless imported, as are
    the following."""
    bias_before_blur: bool = field(default=False, metadata={_WRITTEN_IF_OTHER: True})
    """Add the bias of an up-sampling layer before its blur, whose zero padding then darkens it
    along the border."""
    shared_noise: bool = field(default=False, metadata={_WRITTEN_IF_OTHER: True})
    """One noise map per resolution, added in both of its layers."""
    from_rgb_lrelu: bool = field(default=True, metadata={_WRITTEN_IF_OTHER: True})
    """Leaky ReLU after every FromRGB of D."""

    def __post_init__(self) -> None:
        for name in ("num_channels", "z_dim", "w_dim", "mapping_fmaps", "fmap_base", "fmap_max"):
            _require(getattr(self, name) >= 1, f"network {name} must be at least 1")
            _require(getattr(self, name) <= _WIDEST, f"network {name} must be at most {_WIDEST}")
        _require(
            0 <= self.mapping_layers <= _DEEPEST,
            f"network mapping_layers must lie from 0 to {_DEEPEST}",
        )
        _require(self.mbstd_group_size >= 1, "network mbstd_group_size must be at least 1")
        _require(self.label_size >= 0, "network label_size must not be negative")
        _require(self.normalization in ("pixel", "instance"), "unknown network normalization")
        _require(0 < self.instance_eps <= 1, "network instance_eps must lie from 0 to 1, above 0")

    def fmaps(self, resolution: int) -> int:
        """Feature maps of the layers at `resolution` px."""
        stage = int(math.log2(resolution)) - 1
        return max(1, min(self.fmap_base // 2**stage, self.fmap_max))


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Losses of both networks."""

    kind: Literal["wgan-gp", "logistic-r1"] = "wgan-gp"
    """WGAN-GP with drift, or the non-saturating logistic loss with R1."""
    r1_gamma: float = 10.0  # Weight gamma of R1 (gamma / 2 times the squared gradient norm)
    gp_lambda: float = 10.0  # WGAN-GP: penalty weight
    gp_target: float = 1.0  # WGAN-GP: target norm
    drift: float = 0.001  # WGAN-GP: weight of D(real)^2
    style_mixing_prob: float = 0.0  # Probability that a minibatch mixes two latents

    def __post_init__(self) -> None:
        _require(self.kind in ("wgan-gp", "logistic-r1"), f"unknown loss {self.kind!r}")
        _require(0 <= self.style_mixing_prob <= 1, "style_mixing_prob must lie in [0, 1]")
        for name in ("r1_gamma", "gp_lambda", "drift"):
            _require(getattr(self, name) >= 0, f"loss {name} must not be negative")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Resolution, minibatch and learning rate by the number of images shown."""

    initial_resolution: int = 4  # Resolution at the start of growing, in pixels
    training_kimg: float = 600.0  # Thousands of real images to train at a resolution
    transition_kimg: float = 600.0  # ... and to fade in the next
    total_kimg: float = 12000.0  # Length of the training
    minibatch: IntTable = ((4, 512), (8, 256), (16, 128), (32, 64), (64, 32))
    """Images per step over all devices, by resolution."""
    minibatch_base: int = 32  # Where the table is silent
    lrate: FloatTable = ((128, 0.0015), (256, 0.002), (512, 0.003), (1024, 0.003))
    """Learning rate of both networks, by resolution."""
    lrate_base: float = 0.001  # Where the table is silent
    tick_kimg: FloatTable = (
        *((4, 160.0), (8, 140.0), (16, 120.0), (32, 100.0), (64, 80.0)),
        *((128, 60.0), (256, 40.0), (512, 30.0), (1024, 20.0)),
    )  # Images between two lines of the log, by resolution; 1 kimg where the table is silent
    minibatch_repeats: int = 4  # Steps between two schedule updates
    beta1: float = 0.0  # Adam's constants
    beta2: float = 0.99
    eps: float = 1e-8
    ema_kimg: float = 10.0  # Half-life of the moving average of G's weights, in thousands of images

    def __post_init__(self) -> None:
        _require(0 < self.total_kimg <= 1e6, "total_kimg must be positive, and at most 1000000")
        _require(self.minibatch_repeats >= 1, "minibatch_repeats must be at least 1")
        for name in ("training_kimg", "transition_kimg"):
            _require(getattr(self, name) >= 0, f"{name} must not be negative")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"{name} must lie in [0, 1)")
        for name in ("ema_kimg", "eps", "lrate_base"):
            _require(getattr(self, name) > 0, f"{name} must be positive")
        for name in ("lrate", "tick_kimg"):
            positive = all(value > 0 for _, value in getattr(self, name))
            _require(positive, f"every entry of {name} must be positive")
        sizes = [size for _, size in self.minibatch] + [self.minibatch_base]
        _require(min(sizes) >= 1, "every minibatch must hold at least one image")
        check_resolution(self.initial_resolution)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One row of Table 1, or a change of it."""

    name: str  # Row of the table
    change: str  # What it changes, in the paper's words
    resolution: int = 1024  # Full resolution of the images, in pixels
    mirror: bool = True  # Mirror the real images at random
    network: NetworkConfig = NetworkConfig()
    loss: LossConfig = LossConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        network = self.network
        w_dim = network.z_dim * (2 if network.label_size else 1)
        _require(
            network.mapping_layers > 0 or network.w_dim == w_dim,
            f"without mapping layers w is the normalised latent: network w_dim must be {w_dim}",
        )


def at_resolution(table: tuple[tuple[int, T], ...], resolution: int, base: T) -> T:
    """Value of `table` at `resolution`, or `base` if the resolution is not listed."""
    return dict(table).get(resolution, base)


A = Config(name="A", change="Baseline Progressive GAN")
B = replace(
    A,
    name="B",
    change="+ Tuning (incl. bilinear up/down)",
    network=replace(A.network, blur=True, fused_from=128),
    loss=replace(A.loss, kind="logistic-r1"),
    schedule=replace(A.schedule, initial_resolution=8, total_kimg=25000.0),
)
C = replace(
    B,
    name="C",
    change="+ Add mapping and styles",
    network=replace(B.network, mapping_layers=8, styles=True, normalization="instance"),
)
D = replace(
    C,
    name="D",
    change="+ Remove traditional input",
    network=replace(C.network, constant_input=True),
)
E = replace(D, name="E", change="+ Add noise inputs", network=replace(D.network, noise=True))
F = replace(
    E, name="F", change="+ Mixing regularization", loss=replace(E.loss, style_mixing_prob=0.9)
)
CONFIGS: Mapping[str, Config] = MappingProxyType(
    {
        **{row.name: row for row in (A, B, C, D, E, F)},
    }
)


def diff(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Fields, but for names, in which two configurations differ, such as loss.style_mixing_prob."""
    before, after = flat(asdict(old)), flat(asdict(new))
    return {
        key: (before[key], value)
        for key, value in after.items()
        if before[key] != value and key not in ("name", "change")
    }


def changes_of_row(config: Config) -> dict[str, str]:
    """How a configuration differs from its row, by field; from F, where it has another name."""
    changes = diff(CONFIGS.get(config.name, F), config)
    return {key: f"{_brief(old)} -> {_brief(new)}" for key, (old, new) in changes.items()}


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of a tree by dotted name: ``loss.r1_gamma``."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain dictionary; what only imported networks have is left out where it is official."""
    tree = asdict(config)
    for entry in fields(NetworkConfig):
        if _WRITTEN_IF_OTHER in entry.metadata and tree["network"][entry.name] == entry.default:
            del tree["network"][entry.name]
    return tree


def config_from_dict(tree: Mapping[str, Any]) -> Config:
    """Parse `config_to_dict`'s dictionary, read from an untrusted file."""
    return _dataclass_from(Config, tree)


def _dataclass_from(kind: type[T], tree: Mapping[str, Any]) -> T:
    if not isinstance(tree, Mapping):
        raise UserError(f"configuration: {kind.__name__} must be a mapping")
    hints = get_type_hints(kind)
    unknown = set(tree) - set(hints)
    known = fields(kind)  # type: ignore[arg-type]
    missing = {entry.name for entry in known if _WRITTEN_IF_OTHER not in entry.metadata} - set(tree)
    if unknown or missing:
        wrong = ", ".join(sorted(str(key)[:40] for key in unknown | missing))
        raise UserError(f"configuration: {kind.__name__} has unknown or missing keys: {wrong}")
    return kind(**{key: _value_from(hints[key], key, value) for key, value in tree.items()})


def _value_from(hint: Any, key: str, value: Any) -> Any:
    if is_dataclass(hint):
        return _dataclass_from(hint, value)  # type: ignore[arg-type]
    if hint in (IntTable, FloatTable):
        return _table_from(int if hint == IntTable else float, key, value)
    expected: tuple[type, ...] = (hint,) if isinstance(hint, type) else (str,)
    if hint is float:
        expected = (float, int)
    if not isinstance(value, expected) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"configuration: {key} has the wrong type: {value!r:.60}")
    if isinstance(value, int | float) and not abs(value) <= _UTMOST:  # NaN compares with nothing
        raise UserError(f"configuration: {key} is no number to work with: {value!s:.20}")
    if isinstance(value, str) and (len(value) > _LONGEST or not value.isprintable()):
        raise UserError(f"configuration: {key} must be a line of at most {_LONGEST} characters")
    return value


def _table_from(hint: type, key: str, value: Any) -> tuple[tuple[int, Any], ...]:
    """[[resolution, value], ...] as a table."""
    rows = isinstance(value, list | tuple)
    if not rows or not all(isinstance(row, list | tuple) and len(row) == 2 for row in value):
        raise UserError(f"configuration: {key} must be a list of [resolution, value]")
    return tuple(
        (_value_from(int, key, size), _value_from(hint, key, entry)) for size, entry in value
    )


def config_text(config: Config) -> str:
    """JSON of a configuration; `read_config` reads it back."""
    return json.dumps(config_to_dict(config), indent=2, allow_nan=False)


def read_config(path: Path) -> Config:
    """Read a whole configuration (``stylegan-train --print-config``) from an untrusted file."""
    with parsing(path, "cannot be read as a configuration"):
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise UserError(f"{path}: no such file: give a row A to F, or a JSON file")
        if size > _LARGEST_FILE:
            raise UserError(f"{path}: {size} bytes are no configuration: expected a few kB of JSON")
        text = path.read_text(encoding="utf-8")
    return config_from_text(text, str(path))


def config_from_text(text: str, where: str) -> Config:
    """Read `config_text`'s JSON; errors begin with `where`."""
    with parsing(where, "not JSON", "stylegan-train --print-config shows what is expected"):
        tree = json.loads(text, parse_constant=refuse_constant)
    with parsing(where):
        return config_from_dict(tree)


def refuse_constant(constant: str) -> NoReturn:
    """Raise ValueError for NaN and infinities, which JSON does not know."""
    raise ValueError(f"{constant} is no number")
