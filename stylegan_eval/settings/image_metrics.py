"""Settings of the metrics of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Features, Precision, Sampling, check_psi, choice

CLASSIFIERS = ("inception", "efficientnet-lite0")  # feature networks with class scores
Resize = Literal["tf1", "clean", "pytorch-fid"]
Mirror = Literal["auto", "yes", "no"]
Reals = Literal["random", "first", "full"]
RESIZE_HELP = (
    "How images reach Inception's 299x299: as TensorFlow 1, as clean-fid, or as pytorch-fid."
)
MIRROR_HELP = (
    "Flip real images at random; auto: when training is known to have done so, but never with"
    " --reals full."
)
REALS_HELP = (
    "Real images: --num of them at random, the first --num by name, or all of them (fid50k_full)."
)

_BOTH = "Generated images, and as many real ones."


def images(num: int, text: str = _BOTH) -> Any:
    """Field for the number of images of a metric; see `metrics.given.all_images`."""
    return choice(num, text, show_default=f"{num}; with --images all")


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(Sampling):
    """Number of images, and the feature network that sees them."""

    only_own_features: ClassVar[bool] = False  # Whether another network makes it another metric

    num: int = images(50_000)
    features: Features = choice("inception", "Feature network. Only Inception gives an FID.")
    resize: Resize = choice("tf1", RESIZE_HELP)
    precision: Precision = choice(
        "fp32", "Arithmetic of the feature network; tf32 and bf16 are noted in the result."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features != "inception" and self.resize != "tf1":
            raise UserError(
                f"--resize applies to --features inception; {self.features} has its own rule"
            )


@dataclass(frozen=True, kw_only=True)
class GeneratedSettings(FeatureSettings):
    """Sampling variant of a generator; see `generators.variants`."""

    mixing: int = choice(1, "Latents per image, which change over at random layers (style mixing).")
    psi: float = choice(1.0, "Truncation psi, for all layers; 1 disables truncation.")
    generator_precision: Precision = choice(
        "fp32",
        "Arithmetic of the generator; the result's name has tf32 and bf16, the paper's fp32.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mixing < 1:
            raise UserError(f"--mixing must be at least 1, got {self.mixing}")
        check_psi(self.psi)

    @property
    def variation(self) -> dict[str, str]:
        """Non-default values, for names and protocols: {"mixing": "2", "psi": "0.7"}."""
        values = {"mixing": str(self.mixing), "psi": repr(self.psi).removesuffix(".0")}
        values = {name: value for name, value in values.items() if value != "1"}
        if self.generator_precision != "fp32":
            values["generator-precision"] = self.generator_precision
        return values

    def check_no_variation(self, reason: str) -> None:
        """Refuse non-default values."""
        if self.variation:
            options = " and ".join(f"--{name}" for name in self.variation)
            raise UserError(f"{reason}: leave out {options}")


@dataclass(frozen=True, kw_only=True)
class RealSettings(GeneratedSettings):
    """Choice of the real images that generated ones are compared with."""

    reals: Reals = choice(
        "random", REALS_HELP, show_default="random; with --images and no --num, all"
    )
    mirror: Mirror = choice("auto", MIRROR_HELP)

    def check_reals(self, count: int) -> None:
        """Refuse real images that are fewer than the metric needs, which `num` need not be."""
        if count < 2:
            raise UserError("the data has 1 image, two or more are needed: give more data")

    def check_statistics(self) -> None:
        """Refuse choices of real images where there are only statistics of them."""
        for option, chosen in (("reals", self.reals == "first"), ("mirror", self.mirror == "yes")):
            if chosen:
                raise UserError(
                    f"--data is a file of statistics, whose images are chosen: leave out --{option}"
                    f" {getattr(self, option)}"
                )


@dataclass(frozen=True, kw_only=True)
class FidSettings(RealSettings):
    """Protocol of the Fréchet distance; the defaults are those of the paper's FID."""

    floor: bool = choice(
        default=False,
        text="Measure two disjoint random sets of --num real images instead: the value a perfect"
        " generator would get.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor and self.reals != "random":
            raise UserError(
                f"--floor compares random halves of the real images: leave out --reals {self.reals}"
            )


@dataclass(frozen=True, kw_only=True)
class SfidSettings(FidSettings):
    """Protocol of the spatial FID (Nash et al. 2021), as ADM's evaluator measures it."""

    only_own_features: ClassVar[bool] = True

    features: Features = choice(
        "inception-spatial", "Feature network: no other gives an sFID, fid takes any."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features != "inception-spatial":
            raise UserError(
                f"sfid is of --features inception-spatial, got {self.features}: leave it out, or"
                f" use fid --features {self.features}"
            )


@dataclass(frozen=True, kw_only=True)
class MifidSettings(RealSettings):
    """Protocol of the memorization-informed Fréchet distance (Bai et al. 2021)."""

    threshold: float = choice(
        0.1, "Cosine distance from the nearest real images beyond which nothing counts as copied."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold <= 1:
            raise UserError(f"--threshold must be above 0 and at most 1, got {self.threshold}")


@dataclass(frozen=True, kw_only=True)
class AuthenticitySettings(RealSettings):
    """Protocol of authenticity (Alaa et al. 2022)."""

    num: int = images(10_000, "Generated images.")
    reals: Reals = choice("full", REALS_HELP)


@dataclass(frozen=True, kw_only=True)
class CtSettings(AuthenticitySettings):
    """Protocol of C_T (Meehan et al. 2020), as dgm-eval measures it."""

    cells: int = choice(3, "Cells of training images that are compared one by one.")
    components: int = choice(64, "Principal components of the training images' features.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cells", "components"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class KidSettings(RealSettings):
    """Protocol of the Kernel Inception Distance."""

    fewest_option: ClassVar[str] = "subset_size"

    subsets: int = choice(100, "Random subsets whose distances are averaged.")
    subset_size: int = choice(1000, "Images of a subset.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subsets < 1:
            raise UserError(f"--subsets must be at least 1, got {self.subsets}")
        if not 2 <= self.subset_size <= self.num:
            raise UserError(
                f"--subset-size must be from 2 to --num ({self.num}), got {self.subset_size}:"
                f" use {subset_size_for(self.num)}"
            )

    @property
    def fewest(self) -> int:
        """A subset."""
        return self.subset_size

    def check_reals(self, count: int) -> None:
        """Refuse less than a subset."""
        if self.subset_size > count:
            raise UserError(
                f"the data has {count} images, fewer than a subset of kid: use --subset-size"
                f" {subset_size_for(count)} or give more data"
            )


@dataclass(frozen=True, kw_only=True)
class IsSettings(GeneratedSettings):
    """Protocol of the Inception Score."""

    fewest_option: ClassVar[str] = "splits"

    num: int = images(50_000, "Generated images.")
    splits: int = choice(10, "Parts whose scores are averaged.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features not in CLASSIFIERS:
            raise UserError(
                f"--features {self.features} has no class scores: use {' or '.join(CLASSIFIERS)}"
            )
        if not 1 <= self.splits <= self.num:
            raise UserError(f"--splits must be from 1 to --num ({self.num}), got {self.splits}")

    @property
    def fewest(self) -> int:
        """One of each split."""
        return self.splits


@dataclass(frozen=True, kw_only=True)
class PrSettings(RealSettings):
    """Protocol of improved precision and recall (Kynkäänniemi et al. 2019)."""

    fewest_option: ClassVar[str] = "k"

    features: Features = choice("vgg16", "Feature network; VGG16's fc2 is the paper's.")
    k: int = choice(3, "Neighbours that span the radius of a ball.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k < self.num:
            raise UserError(f"--k must be from 1 to --num - 1 ({self.num - 1}), got {self.k}")

    @property
    def fewest(self) -> int:
        """An image and its neighbours."""
        return self.k + 1

    def check_reals(self, count: int) -> None:
        """Refuse too few for the neighbours."""
        if self.k >= count:
            raise UserError(
                f"the data has {count} images, --k {self.k} needs {self.fewest} or more:"
                " use a smaller --k or give more data"
            )


@dataclass(frozen=True, kw_only=True)
class PrdcSettings(PrSettings):
    """Protocol of density and coverage (Naeem et al. 2020)."""

    num: int = images(10_000)
    k: int = choice(5, "Neighbours that span the radius of a ball.")


@dataclass(frozen=True, kw_only=True)
class CmmdSettings(RealSettings):
    """Protocol of the CLIP maximum mean discrepancy (Jayasumana et al. 2024)."""

    only_own_features: ClassVar[bool] = True

    num: int = images(30_000)
    features: Features = choice("clip-vitl14-336", "Feature network; CLIP ViT-L/14@336 is CMMD's.")


@dataclass(frozen=True, kw_only=True)
class VendiSettings(GeneratedSettings):
    """Protocol of the Vendi score (Friedman and Dieng 2023)."""

    num: int = images(50_000, "Generated images.")


@dataclass(frozen=True, kw_only=True)
class StatsSettings(FeatureSettings):
    """Images and network of a file of statistics."""

    _least: ClassVar[int] = 0

    num: int = choice(0, "Images; 0 for all.")
    seed: int = choice(0, "Seed of the choice of images and of flips.")
    reals: Literal["random", "first"] = choice(
        "random", "With --num: images chosen at random, or the first by name."
    )
    mirror: bool = choice(default=False, text="Flip images at random.")

    @property
    def idle(self) -> Mapping[str, str]:
        """--reals without --num, and --seed where nothing is drawn at random."""
        reason = "is for --num: leave it out without --num"
        idle = {} if self.num else {"reals": reason}
        if not self.mirror and (not self.num or self.reals == "first"):
            idle["seed"] = "is for images at random and --mirror: leave it out"
        return idle


def subset_size_for(images: int) -> int:
    """Size of subsets that differ from one another; of few images all of them."""
    return images // 2 if images >= 8 else images
