"""Measures image generators, by commands and from Python.

>>> import stylegan_eval as se
>>> se.fid(images, "reals.zip")  # doctest: +SKIP
fid2k 12.35 ± 0.12  (num 2000, seed 0, ...)

Knows a generator only through `engine.protocols.ImageGenerator`. What is public is imported when
it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylegan_eval.api.functions import authenticity as authenticity
    from stylegan_eval.api.functions import cmmd as cmmd
    from stylegan_eval.api.functions import ct as ct
    from stylegan_eval.api.functions import evaluate as evaluate
    from stylegan_eval.api.functions import fid as fid
    from stylegan_eval.api.functions import inception_score as inception_score
    from stylegan_eval.api.functions import influence as influence
    from stylegan_eval.api.functions import kid as kid
    from stylegan_eval.api.functions import linear_separability as linear_separability
    from stylegan_eval.api.functions import load_statistics as load_statistics
    from stylegan_eval.api.functions import mifid as mifid
    from stylegan_eval.api.functions import pairs as pairs
    from stylegan_eval.api.functions import ppl as ppl
    from stylegan_eval.api.functions import prdc as prdc
    from stylegan_eval.api.functions import precision_recall as precision_recall
    from stylegan_eval.api.functions import sfid as sfid
    from stylegan_eval.api.functions import statistics as statistics
    from stylegan_eval.api.functions import vendi as vendi
    from stylegan_eval.api.results import Results as Results
    from stylegan_eval.api.results import frame as frame
    from stylegan_eval.api.results import plan_samples as plan_samples
    from stylegan_eval.api.streaming import FID as FID
    from stylegan_eval.api.streaming import KID as KID
    from stylegan_eval.api.streaming import MIFID as MIFID
    from stylegan_eval.api.streaming import PRDC as PRDC
    from stylegan_eval.api.streaming import SFID as SFID
    from stylegan_eval.api.streaming import Authenticity as Authenticity
    from stylegan_eval.api.streaming import InceptionScore as InceptionScore
    from stylegan_eval.api.streaming import PrecisionRecall as PrecisionRecall
    from stylegan_eval.api.streaming import Vendi as Vendi
    from stylegan_eval.errors import UserError as UserError
    from stylegan_eval.results.results import Row as Result

_HOMES = {
    "functions": (
        "fid", "sfid", "mifid", "kid", "cmmd", "inception_score", "precision_recall", "prdc",
        "vendi", "authenticity", "ct", "ppl", "linear_separability", "evaluate", "influence",
        "pairs", "statistics", "load_statistics",
    ),
    "results": ("Results", "frame", "plan_samples"),
    "streaming": (
        "FID", "SFID", "MIFID", "KID", "InceptionScore", "PrecisionRecall", "PRDC",
        "Authenticity", "Vendi",
    ),
}  # fmt: skip
_PUBLIC = {name: f"stylegan_eval.api.{home}" for home, names in _HOMES.items() for name in names}
__all__ = [*_PUBLIC, "Result", "UserError"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name == "UserError":
        return import_module("stylegan_eval.errors").UserError
    if name == "Result":
        return import_module("stylegan_eval.results.results").Row
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
