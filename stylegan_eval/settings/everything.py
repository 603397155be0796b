"""Protocol of `stylegan-eval all`: several metrics of one generator in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import choice
from stylegan_eval.settings.images import (
    CmmdSettings,
    FeatureSettings,
    FidSettings,
    IsSettings,
    KidSettings,
    PrdcSettings,
    PrSettings,
    RealSettings,
)
from stylegan_eval.settings.ls import LsSettings
from stylegan_eval.settings.ppl import Crop, Derivative, DistanceName, PplSettings

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
    """Which metrics, and their numbers; what is not here is each metric's default.

    Raises
    ------
    UserError
        An unknown metric, or a number out of range.
    """

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
