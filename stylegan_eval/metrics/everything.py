"""`all`: which metrics are measured together, and with which settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import COMPARED, METRICS, MetricRow, of_images
from stylegan_eval.settings.common import choice
from stylegan_eval.settings.image_metrics import GeneratedSettings, RealSettings, images
from stylegan_eval.settings.others import Crop, Derivative, DistanceName, LsSettings, PplSettings

_DEFAULT = ",".join(name for name, metric in METRICS.items() if metric.in_all)
_OTHERS = ", ".join(name for name, metric in METRICS.items() if not metric.in_all)
_OF_ONE = {
    "kid": ("subset_size",),
    "ppl": ("pairs", "distance", "crop", "derivative"),
    "ls": ("ls_num", "ls_keep", "attributes"),
}


@dataclass(frozen=True, kw_only=True)
class AllSettings(RealSettings):
    """Which metrics, and their numbers; what is not here is each metric's default."""

    metrics: str = choice(_DEFAULT, f"Metrics to measure; also {_OTHERS}. ls needs --classifiers.")
    num: int = images(50_000, "Generated images for all but ppl and ls.")
    subset_size: int = choice(1000, "Images of a subset of kid.")
    pairs: int = choice(100_000, "Pairs of ppl.")
    distance: DistanceName = choice("auto", "Perceptual distance of ppl.")
    crop: Crop = choice("face", "Crop of ppl.")
    derivative: Derivative = choice("finite", "Derivative of ppl.")
    ls_num: int = choice(200_000, "Generated images for ls.")
    ls_keep: int = choice(100_000, "Most confident images of ls kept for each attribute.")
    attributes: str = choice(
        "", "Attributes of ls: names, or -NAME,-OTHER for all others.", show_default="all"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self._words() if name not in METRICS]
        if unknown or not self._words():
            raise UserError(
                f"--metrics: {', '.join(unknown) or 'nothing'} is not among {', '.join(METRICS)}"
            )
        for name, metric in of_images().items():
            too_few = name in self._words() and self.num < metric.fewest
            # Where the number is a choice of `all` too, the metric's own message helps.
            if too_few and not hasattr(self, metric.settings.fewest_option):
                raise UserError(
                    f"--metrics {name} needs --num {metric.fewest} or more, got {self.num}: or"
                    " leave it out"
                )
        of_latents = [name for name in ("ppl", "ls") if name in self._words()]
        if of_latents and self.names_metrics:
            self.check_no_variation(
                f"{' and '.join(of_latents)} measure single latents without truncation, name the"
                " other metrics (--metrics fid,kid)"
            )
        # Each metric checks its own numbers.
        self.of_images(self._words())
        if "ppl" in self._words():
            self.of_ppl()
        if "ls" in self._words() and self.metrics != _DEFAULT:
            self.of_ls()

    @property
    def idle(self) -> Mapping[str, str]:
        """Options of metrics that are not measured."""
        return {
            field: f"is for {name}: leave it out without {name} among --metrics"
            for name, own in _OF_ONE.items()
            for field in own
            if name not in self._words()
        }

    def _words(self) -> list[str]:
        return [word.strip() for word in self.metrics.split(",") if word.strip()]

    @property
    def names_metrics(self) -> bool:
        """Whether metrics were asked for by name: then none is left out."""
        return self.metrics != _DEFAULT

    def chosen_with(self, *, classifiers: bool, images: bool) -> tuple[list[str], dict[str, str]]:
        """Metrics to measure of a generator or of images, and why others are left out.

        Returns names in the order of `METRICS`, each once; reasons by name.
        """
        words = self._words()
        undefined: dict[str, str] = {}
        for name in ("ppl", "ls"):
            if name in words and images:
                undefined[name] = "it needs a generator's latents, which --images lacks"
            elif name in words and self.variation:
                undefined[name] = "it measures single latents without truncation, in float32"
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
        return [name for name in METRICS if name in words and name not in undefined], undefined

    def of_images(self, names: Sequence[str]) -> dict[str, GeneratedSettings]:
        """Settings of the metrics of images among `names`; see `MetricRow.features`."""
        chosen: dict[str, GeneratedSettings] = {}
        for name, metric in of_images().items():
            if name not in names:
                continue
            kind: Any = metric.settings
            shared = {field.name for field in fields(self)} & {field.name for field in fields(kind)}
            values = {field: getattr(self, field) for field in shared}
            values["features"] = metric.features(self.features)
            if values["features"] != self.features:
                del values["resize"]  # Inception's
            chosen[name] = kind(**values)
        return chosen

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


ALL = MetricRow(
    place="stylegan_eval.metrics.measure:evaluate_all",
    settings=AllSettings,
    inputs=(*COMPARED, "held_out", "classifiers", "distances", "influence"),
    help="Several metrics at once; each image is generated once.",
)
