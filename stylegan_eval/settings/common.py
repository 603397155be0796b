"""Settings that all measurements share: inputs, seed and batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from stylegan_eval import plugins
from stylegan_eval.errors import UserError

FEATURES = (
    "inception",
    "inception-spatial",
    "efficientnet-lite0",
    "vgg16",
    "dinov2-vits14",
    "dinov2-vitb14",
    "dinov2-vitl14",
    "clip-vitl14-336",
)
if TYPE_CHECKING:
    Features = str
else:
    Features = Literal[(*FEATURES, *plugins.names(plugins.FEATURES))]
Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files, or what a program holds, and the device a measurement works with."""

    ckpt: Path | None = None  # Checkpoint of the generator
    generator: Any = None
    """Instead of a checkpoint: ``package.module:factory``, which returns a generator; or one."""
    range: tuple[float, float] | None = None
    """Of the values of the images of ``generator``; None for about [-1, 1]."""
    images: Any = None
    """Instead of a generator: the path of generated images or statistics; of a program an
    `images.source.ImageSet`, an `generators.factories.ImageFunction` or statistics."""
    data: Any = None
    """The real images, likewise; of a program an `images.source.ImageSet` or statistics."""
    held_out: Any = None  # Real images that the generator was not trained on, likewise
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Weights files by the network's name; "" stands for the only network of a command. What is not
    named is the official file."""
    classifiers: Path | None = None  # Attribute classifiers (.safetensors)
    distances: Path | None = None
    """Where to write the length of every pair's path (.npz); nowhere by default."""
    influence: Path | None = None
    """Where to write what each image adds to a Fréchet distance (.csv); nowhere by default."""
    pairs: Path | None = None
    """Where to write each generated image's nearest training image (.csv); nowhere by default."""
    device: str = "auto"  # ``auto`` (CUDA when present), ``cpu``, ``cuda``, ``cuda:1``, ...

    def weights_of(self, network: str) -> Path | None:
        """Weights file given for a network; None where the official one is meant."""
        return self.weights.get(network, self.weights.get(""))

    def check_weights(self, network: str) -> None:
        """Check that no weights are given but those of the only network of a command."""
        if others := sorted(set(self.weights) - {"", network}):
            raise UserError(
                f"--weights {others[0]}=FILE: {others[0]} takes no part here, {network} does"
            )


SEEDS = 2**63  # seeds are 0 to one less


def check_seed(name: str, seed: int) -> None:
    """Refuse a seed that the random streams cannot take."""
    if not 0 <= seed < SEEDS:
        raise UserError(f"{name} must be 0 to {SEEDS - 1}, not {seed}")


LARGEST_PSI = 100.0  # far beyond, truncation overflows


def check_psi(psi: float) -> None:
    """Refuse a truncation that no float32 image comes of."""
    if not abs(psi) <= LARGEST_PSI:
        raise UserError(f"--psi must be {-LARGEST_PSI:g} to {LARGEST_PSI:g}, not {psi:g}")


def choice(default: Any, text: str, **about: Any) -> Any:
    """Field of a settings class, with the help text of its option.

    `about` may name `shown` (the default in words), `least`, `above`, `most` (its range), `names`
    (of the option), and what `click.Option` takes, such as `metavar`.
    """
    return field(default=default, metadata={"help": text, **about})


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Seed and batch of a measurement."""

    _least: ClassVar[int] = 2
    fewest_option: ClassVar[str] = ""  # The field that sets `fewest`, where one does

    num: int = choice(50_000, "Images.")
    seed: int = choice(0, "Seed of all that is random: latents, noise, choice of images, flips.")
    batch: int = choice(32, "Images per step; changes rounding only.")

    def __post_init__(self) -> None:
        if self.num < self._least:
            raise UserError(f"--num must be at least {self._least}, got {self.num}")
        if self.batch < 1:
            raise UserError(f"--batch must be at least 1, got {self.batch}")
        check_seed("--seed", self.seed)

    @property
    def idle(self) -> Mapping[str, str]:
        """Fields without effect beside the others, and why; commands refuse their options."""
        return {}

    @property
    def fewest(self) -> int:
        """Images that the metric needs at least."""
        return 2
