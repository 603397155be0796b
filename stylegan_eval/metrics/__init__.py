"""The table of metrics. Whatever depends on the kind of a metric asks its row here.

Imports nothing heavy, so that command lines can name the metrics.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from stylegan_eval import plugins
from stylegan_eval.settings.common import Features, Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    AuthenticitySettings,
    CmmdSettings,
    CtSettings,
    FeatureSettings,
    FidSettings,
    GeneratedSettings,
    IsSettings,
    KidSettings,
    MifidSettings,
    PrdcSettings,
    PrSettings,
    RealSettings,
    SfidSettings,
    VendiSettings,
)
from stylegan_eval.settings.others import LsSettings, PplSettings

GENERATOR = ("ckpt", "generator", "range")
GENERATED = (*GENERATOR, "images")
COMPARED = (*GENERATED, "data", "weights")


# ``moments``: mean and scatter; ``vectors``: every feature vector; ``classes``: the sums of the
# Inception Score.
Kind = Literal["moments", "vectors", "classes"]


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """A row of the table."""

    place: str
    """``module:name`` of a function. A metric of images computes its values from what a feature
    network saw, ``(settings, fake, real) -> list[Value]`` with two `features.ImageFeatures`; any
    other metric does all of its work, ``(inputs, settings, run) -> list[Row]``."""
    settings: type[Sampling]
    """Its frozen settings: defaults, help texts, checks, the fewest images, the feature network."""
    inputs: tuple[str, ...]
    """The fields of `settings.common.Inputs` that it reads, beside the device. A metric of images
    that reads ``held_out`` takes what the network saw in these as its last argument."""
    help: str  # What it measures, in one sentence
    fake: tuple[Kind, ...] = ()
    """Parts gathered of generated images; empty if it is no metric of images."""
    real: tuple[Kind, ...] = ()  # And of real ones; empty if it compares with none
    names: tuple[str, ...] = ()
    """How the names of its results begin, where it is not its own name."""
    higher_is_better: bool | None = False  # None where it is best in the middle
    in_all: bool = True  # Measured by `all` unless metrics are named

    @property
    def fewest(self) -> int:
        """Images that it needs at least, by its default settings."""
        return self.settings().fewest

    @property
    def is_of_images(self) -> bool:
        """Whether it sees images through a feature network."""
        return bool(self.fake)

    def features(self, network: Features) -> Features:
        """Feature network that it uses where several metrics share the choice of `network`.

        A metric with a network of its own uses that instead of Inception, and where it is defined
        by that network, instead of any.
        """
        assert issubclass(self.settings, FeatureSettings)
        own: Features = self.settings().features
        return own if network == "inception" or self.settings.only_own_features else network


# Commands that are no metrics.
COMMANDS = (
    "all",
    "cache",
    "classifiers",
    "compare",
    "directions",
    "plan-samples",
    "report",
    "stats",
)


def _check(name: str, row: MetricRow, rows: Mapping[str, MetricRow]) -> None:
    """Refuse a package's row that the commands could not use."""
    from stylegan_eval.engine.options import options_of

    taken = {start for key, metric in rows.items() for start in metric.names or (key,)}
    for start in (name, *row.names):
        if not re.fullmatch("[a-z]+", start):
            raise ValueError(f"a name is small letters alone, got {start!r}")
        if start in taken or start in COMMANDS:
            raise ValueError(f"{start} is a name of another")
    if row.settings in [metric.settings for metric in rows.values()]:
        raise ValueError(f"{row.settings.__name__} is another metric's: derive a class from it")
    needed = RealSettings if row.real else GeneratedSettings if row.fake else Sampling
    if not issubclass(row.settings, needed):
        raise TypeError(f"{row.settings.__name__} is not derived from {needed.__name__}")
    known = {*(field.name for field in fields(Inputs)), *get_args(Kind)}
    if unknown := {*row.inputs, *row.fake, *row.real} - known:
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown")
    row.settings()
    options_of(row.settings)


METRICS = plugins.Table(
    {
        "fid": MetricRow(
            place="stylegan_eval.metrics.fid:fid",
            settings=FidSettings,
            inputs=(*COMPARED, "influence"),
            help="Fréchet distance between features of generated and of real images.",
            fake=("moments",),
            real=("moments",),
            names=("fid", "fd"),
        ),
        "sfid": MetricRow(
            place="stylegan_eval.metrics.fid:sfid",
            settings=SfidSettings,
            inputs=(*COMPARED, "influence"),
            help="Spatial FID: Fréchet distance of Inception's spatial features.",
            fake=("moments",),
            real=("moments",),
            in_all=False,
        ),
        "mifid": MetricRow(
            place="stylegan_eval.metrics.mifid:mifid",
            settings=MifidSettings,
            inputs=COMPARED,
            help="Memorization-informed FID: larger if generated images copy real ones.",
            fake=("moments", "vectors"),
            real=("moments", "vectors"),
            names=("mifid", "mifd"),
            in_all=False,
        ),
        "authenticity": MetricRow(
            place="stylegan_eval.metrics.authenticity:authenticity",
            settings=AuthenticitySettings,
            inputs=(*COMPARED, "pairs"),
            help="Share of generated images that are no copies of training images.",
            fake=("vectors",),
            real=("vectors",),
            higher_is_better=True,
            in_all=False,
        ),
        "ct": MetricRow(
            place="stylegan_eval.metrics.ct:ct",
            settings=CtSettings,
            inputs=(*COMPARED, "held_out"),
            help="C_T: below 0 where generated images are nearer to the training images than"
            " held-out ones are.",
            fake=("vectors",),
            real=("vectors",),
            higher_is_better=None,  # below 0 are copies, above images that are no new ones either
            in_all=False,
        ),
        "kid": MetricRow(
            place="stylegan_eval.metrics.kid:kid",
            settings=KidSettings,
            inputs=COMPARED,
            help="Kernel Inception Distance, unbiased.",
            fake=("vectors",),
            real=("vectors",),
            names=("kid", "kd"),
        ),
        "is": MetricRow(
            place="stylegan_eval.metrics.inception_score:inception_score",
            settings=IsSettings,
            inputs=(*GENERATED, "weights"),
            help="Inception Score.",
            fake=("classes",),
            higher_is_better=True,
        ),
        "pr": MetricRow(
            place="stylegan_eval.metrics.precision_recall:precision_recall_values",
            settings=PrSettings,
            inputs=COMPARED,
            help="Improved precision and recall.",
            fake=("vectors",),
            real=("vectors",),
            higher_is_better=True,
        ),
        "prdc": MetricRow(
            place="stylegan_eval.metrics.precision_recall:prdc_values",
            settings=PrdcSettings,
            inputs=COMPARED,
            help="Density and coverage, with the precision and recall of that paper.",
            fake=("vectors",),
            real=("vectors",),
            higher_is_better=True,
        ),
        "cmmd": MetricRow(
            place="stylegan_eval.metrics.cmmd:of_images",
            settings=CmmdSettings,
            inputs=COMPARED,
            help="Maximum mean discrepancy of CLIP embeddings.",
            fake=("vectors",),
            real=("vectors",),
            in_all=False,  # CLIP is a download of 900 MB
        ),
        "vendi": MetricRow(
            place="stylegan_eval.metrics.vendi:vendi",
            settings=VendiSettings,
            inputs=(*GENERATED, "weights"),
            help="Vendi score: the effective number of distinct images.",
            fake=("vectors",),
            higher_is_better=True,
            in_all=False,
        ),
        "ppl": MetricRow(
            place="stylegan_eval.metrics.ppl:evaluate",
            settings=PplSettings,
            inputs=(*GENERATOR, "weights", "distances"),
            help="Perceptual path length in z and in w.",
        ),
        "ls": MetricRow(
            place="stylegan_eval.metrics.ls:evaluate",
            settings=LsSettings,
            inputs=(*GENERATOR, "classifiers"),
            help="Linear separability of attributes in z and in w.",
        ),
    },
    plugins.METRICS,
    MetricRow,
    _check,
)


def of_images() -> dict[str, MetricRow]:
    """The metrics that see images through a feature network."""
    return {name: metric for name, metric in METRICS.items() if metric.is_of_images}


def metric_of(settings: Sampling) -> MetricRow:
    """The metric that these settings are of."""
    return next(row for row in METRICS.values() if row.settings is type(settings))


def names_of_results() -> dict[str, str]:
    """Metrics by how the names of their results begin: ``fd`` is of ``fid``."""
    return {start: name for name, metric in METRICS.items() for start in metric.names or (name,)}


def higher_is_better(result: str) -> bool | None:
    """Whether larger is better; None where the best value lies between, or for unknown metrics.

    `result`: name of a result, as tables have it.

    >>> [higher_is_better(name) for name in ("is50k", "pr50k3_recall", "prdc1k5_density")]
    [True, True, True]
    >>> [higher_is_better(name) for name in ("fid50k", "ppl_wend", "ct500", "issue")]
    [False, False, None, None]
    """
    beginning = re.match(r"[a-z]*", result)
    assert beginning is not None
    metric = names_of_results().get(beginning[0])
    return None if metric is None else METRICS[metric].higher_is_better
