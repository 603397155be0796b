"""The list of metrics, and where each one lives.

A plain table, so that command lines can name the metrics without importing PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stylegan_eval.settings import FidSettings


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A metric.

    Attributes
    ----------
    module : str
        Where ``evaluate(inputs, settings) -> list[Row]`` is.
    settings : type
        Its frozen settings.
    help : str
        What it measures, in one sentence.
    """

    module: str
    settings: type[FidSettings]
    help: str


METRICS: Mapping[str, Entry] = MappingProxyType(
    {
        "fid": Entry(
            module="stylegan_eval.metrics.fid",
            settings=FidSettings,
            help="Fréchet distance between features of generated and of real images.",
        ),
    }
)
