"""Settings of the metrics of images, and of `all`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Features, Precision, Sampling, check_psi, choice
from stylegan_eval.settings.others import Crop, Derivative, DistanceName, LsSettings, PplSettings

_CLASSIFIERS = ("inception", "efficientnet-lite0")
Resize = Literal["tf1", "clean", "pytorch-fid"]
Mirror = Literal["auto", "yes", "no"]
Reals = Literal["random", "first", "full"]
RESIZE_HELP = (
    "How images reach Inception's 299x299: as TensorFlow 1, as clean-fid, or as pytorch-fid."
)
MIRROR_HELP = "Flip real images at random; auto: when training did, but never with --reals full."
REALS_HELP = (
    "Real images: --num of them at random, the first --num by name, or all of them (fid50k_full)."
)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(Sampling):
    """What generated images go through."""

    num: int = choice(50_000, "Generated images, and as many real ones.")
    features: Features = choice("inception", "Feature network. Only Inception gives an FID.")
    resize: Resize = choice("tf1", RESIZE_HELP)
    precision: Precision = choice(
        "fp32", "Arithmetic of the feature network; the fast ones are marked in the result."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features != "inception" and self.resize != "tf1":
            raise UserError(
                f"--resize applies to --features inception; {self.features} has its own rule"
            )


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a generator draws: of one latent without truncation unless something else is said."""

    mixing: int = 1  # Latents per image
    psi: float = 1.0  # Truncation; 1 is none

    @property
    def said(self) -> dict[str, str]:
        """What is not as usual, for names and protocols: {"mixing": "2", "psi": "0.7"}."""
        values = {"mixing": str(self.mixing), "psi": repr(self.psi).removesuffix(".0")}
        return {name: value for name, value in values.items() if value != "1"}

    def check_absent(self, reason: str) -> None:
        """Refuse whatever is said."""
        if self.said:
            options = " and ".join(f"--{name}" for name in self.said)
            raise UserError(f"{reason}: leave out {options}")


@dataclass(frozen=True, kw_only=True)
class GeneratedSettings(FeatureSettings):
    """How a generator draws the images, where not as it was made to; see `variants`."""

    mixing: int = choice(1, "Latents per image, which take turns at random layers.")
    psi: float = choice(1.0, "Truncation of all layers towards the mean w; 1 is none.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mixing < 1:
            raise UserError(f"--mixing must be at least 1, got {self.mixing}")
        check_psi(self.psi)

    @property
    def variant(self) -> Variant:
        """How images are drawn."""
        return Variant(mixing=self.mixing, psi=self.psi)


@dataclass(frozen=True, kw_only=True)
class RealSettings(GeneratedSettings):
    """What generated images are compared with."""

    reals: Reals = choice("random", REALS_HELP)
    mirror: Mirror = choice("auto", MIRROR_HELP)


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
class KidSettings(RealSettings):
    """Protocol of the Kernel Inception Distance."""

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


@dataclass(frozen=True, kw_only=True)
class IsSettings(GeneratedSettings):
    """Protocol of the Inception Score."""

    num: int = choice(50_000, "Generated images.")
    splits: int = choice(10, "Parts whose scores are averaged.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features not in _CLASSIFIERS:
            raise UserError(
                f"--features {self.features} tells no classes: use {' or '.join(_CLASSIFIERS)}"
            )
        if not 1 <= self.splits <= self.num:
            raise UserError(f"--splits must be from 1 to --num ({self.num}), got {self.splits}")


@dataclass(frozen=True, kw_only=True)
class PrSettings(RealSettings):
    """Protocol of improved precision and recall (Kynkäänniemi et al. 2019)."""

    features: Features = choice("vgg16", "Feature network; VGG16's fc2 is the paper's.")
    k: int = choice(3, "Neighbours that span the radius of a ball.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_k(self.k, self.num)


@dataclass(frozen=True, kw_only=True)
class PrdcSettings(RealSettings):
    """Protocol of density and coverage (Naeem et al. 2020)."""

    num: int = choice(10_000, "Generated images, and as many real ones.")
    features: Features = choice("vgg16", "Feature network; VGG16's fc2 is the paper's.")
    k: int = choice(5, "Neighbours that span the radius of a ball.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_k(self.k, self.num)


@dataclass(frozen=True, kw_only=True)
class CmmdSettings(RealSettings):
    """Protocol of the CLIP maximum mean discrepancy (Jayasumana et al. 2024)."""

    num: int = choice(30_000, "Generated images, and as many real ones.")
    features: Features = choice("clip-vitl14-336", "Feature network; CLIP ViT-L/14@336 is CMMD's.")


@dataclass(frozen=True, kw_only=True)
class StatsSettings(FeatureSettings):
    """What goes into a file of statistics."""

    _least: ClassVar[int] = 0

    num: int = choice(0, "Images; 0 for all.")
    reals: Literal["random", "first"] = choice(
        "random", "Which, where fewer are taken than there are: at random, or the first by name."
    )
    mirror: bool = choice(default=False, text="Flip images at random.")


def subset_size_for(images: int) -> int:
    """Size of subsets that differ from one another; of few images all of them."""
    return images // 2 if images >= 8 else images


def _check_k(k: int, num: int) -> None:
    if not 1 <= k < num:
        raise UserError(f"--k must be from 1 to --num - 1 ({num - 1}), got {k}")


_OF_IMAGES: Mapping[str, type[FeatureSettings]] = MappingProxyType(
    {
        "fid": FidSettings,
        "kid": KidSettings,
        "is": IsSettings,
        "pr": PrSettings,
        "prdc": PrdcSettings,
        "cmmd": CmmdSettings,
    }
)
# Fewer images than these cannot do with splits and neighbours that are not choices of `all`.
_LEAST: Mapping[str, int] = MappingProxyType(
    {"is": IsSettings.splits, "pr": PrSettings.k + 1, "prdc": PrdcSettings.k + 1}
)
NAMES = (*_OF_IMAGES, "ppl", "ls")
# CLIP is a download of 900 MB: not without being asked.
_DEFAULT = ",".join(name for name in NAMES if name != "cmmd")


@dataclass(frozen=True, kw_only=True)
class AllSettings(RealSettings):
    """Which metrics, and their numbers; what is not here is each metric's default."""

    metrics: str = choice(
        _DEFAULT, "Which to measure, also cmmd; ls only where --classifiers is given."
    )
    num: int = choice(50_000, "Generated images for all but ppl and ls.")
    subset_size: int = choice(1000, "Images of a subset of kid.")
    pairs: int = choice(100_000, "Pairs of ppl.")
    distance: DistanceName = choice("auto", "Perceptual distance of ppl.")
    crop: Crop = choice("face", "Crop of ppl.")
    derivative: Derivative = choice("finite", "Derivative of ppl.")
    ls_num: int = choice(200_000, "Generated images for ls.")
    ls_keep: int = choice(100_000, "Most confident images of ls kept for each attribute.")
    attributes: str = choice("", "Attributes of ls: names, or -NAME,-OTHER for all others.")

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self._words() if name not in NAMES]
        if unknown or not self._words():
            raise UserError(
                f"--metrics: {', '.join(unknown) or 'nothing'} is not among {', '.join(NAMES)}"
            )
        for name, least in _LEAST.items():
            if name in self._words() and self.num < least:
                raise UserError(
                    f"--metrics {name} needs --num {least} or more, got {self.num}: or leave it out"
                )
        of_latents = [name for name in ("ppl", "ls") if name in self._words()]
        if of_latents and self.names_metrics:
            self.variant.check_absent(
                f"{' and '.join(of_latents)} measure single latents without truncation, name the"
                " other metrics (--metrics fid,kid)"
            )
        # Each metric checks its own numbers.
        self.of_images(self._words())
        if "ppl" in self._words():
            self.of_ppl()
        if "ls" in self._words() and self.metrics != _DEFAULT:
            self.of_ls()

    def _words(self) -> list[str]:
        return [word.strip() for word in self.metrics.split(",") if word.strip()]

    @property
    def names_metrics(self) -> bool:
        """Whether metrics were asked for by name: then none is left out."""
        return self.metrics != _DEFAULT

    def chosen_with(self, *, classifiers: bool, images: bool) -> tuple[list[str], dict[str, str]]:
        """Metrics to measure of a generator or of images, and why others are left out.

        Returns
        -------
        list of str, dict
            Names in the order of `NAMES`, each once; reasons by name.
        """
        words = self._words()
        undefined: dict[str, str] = {}
        for name in ("ppl", "ls"):
            if name in words and images:
                undefined[name] = "it needs a generator's latents, which --images lacks"
            elif name in words and self.variant.said:
                undefined[name] = "it measures single latents without truncation"
        if undefined and self.names_metrics:
            raise UserError(
                f"{' and '.join(undefined)} cannot be measured of --images: name the other"
                " metrics, --metrics fid,kid,is,pr,prdc"
            )
        if "ls" in words and not classifiers:
            if self.names_metrics:
                raise UserError(
                    "--metrics ls needs --classifiers FILE: stylegan-eval classifiers train"
                    " makes one"
                )
            undefined.pop("ls", None)
            words.remove("ls")
        return [name for name in NAMES if name in words and name not in undefined], undefined

    def of_images(self, names: Sequence[str]) -> dict[str, FeatureSettings]:
        """Settings of the metrics of images among `names`.

        With ``--features inception`` each metric looks through the network of its paper,
        otherwise all but cmmd look through the network that is named.
        """
        made: dict[str, FeatureSettings] = {}
        for name, kind in _OF_IMAGES.items():
            if name not in names:
                continue
            known = {field.name for field in fields(kind)}
            values: dict[str, Any] = {
                field.name: getattr(self, field.name)
                for field in fields(self)
                if field.name in known
            }
            if name == "cmmd" or (self.features == "inception" and name in ("pr", "prdc")):
                del values["features"], values["resize"]
            made[name] = kind(**values)
        return made

    def of_ppl(self) -> PplSettings:
        """Settings of path length."""
        return PplSettings(
            num=self.pairs,
            seed=self.seed,
            distance=self.distance,
            crop=self.crop,
            derivative=self.derivative,
        )

    def of_ls(self) -> LsSettings:
        """Settings of linear separability; batch as for the other metrics of images."""
        return LsSettings(
            num=self.ls_num,
            keep=self.ls_keep,
            seed=self.seed,
            batch=self.batch,
            attributes=self.attributes,
        )
