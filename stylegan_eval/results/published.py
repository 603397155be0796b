"""Published numbers of the paper and of the official README.

``published.csv`` holds every number of Tables 1 to 4 of Karras, Laine and Aila, *A Style-Based
Generator Architecture for Generative Adversarial Networks*, CVPR 2019 (arXiv 1812.04948), the FIDs
of its LSUN networks (Appendix B), and those of the released network in the official README
(table ``readme``). FID on 50,000 images without truncation; path lengths with LPIPS on VGG16.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a number stands."""

    table: str  # '1' to '4', 'readme' or 'lsun'
    dataset: str  # 'FFHQ', 'CelebA-HQ', 'LSUN Cat 256x256', ...
    label: str  # Line, in the paper's words; empty where there is but one
    space: str  # 'z', 'w', or empty
    metric: str  # 'fid', 'ppl_full', 'ppl_end' or 'separability'
    condition: str  # 'latents=2', or empty


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number with its place."""

    place: Place  # Where it stands
    config: str  # Letter of the configuration; empty where it is none of Table 1
    printed: str  # The number with the digits that are printed

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)


# What the paper's own numbers are called by stylegan-eval; any other name is another unit.
_AS_PUBLISHED: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "fid": re.compile(r"fid50k"),
        "ppl_full": re.compile(r"ppl_[zw]full"),
        "ppl_end": re.compile(r"ppl_[zw]end"),
        "separability": re.compile(r"ls_[zw]"),
    }
)


# Pairs of a path length and images of separability; other names say how many (fid50k).
PUBLISHED_NUM: Mapping[str, int] = MappingProxyType(
    {"ppl_full": 100_000, "ppl_end": 100_000, "separability": 200_000}
)


def has_published_unit(metric: str, name: str) -> bool:
    """Whether a result, by its name, is a number as the paper measured it.

    `metric` as in `Place`: what the paper does not print has no unit to differ from.
    """
    pattern = _AS_PUBLISHED.get(metric)
    return pattern is None or pattern.fullmatch(name) is not None


@cache
def published_numbers() -> tuple[Published, ...]:
    """Every published number, in the order of the tables."""
    text = files("stylegan_eval.results").joinpath("published.csv").read_text(encoding="utf-8")
    numbers = []
    for row in csv.DictReader(text.splitlines()):
        printed, config = row.pop("value"), row.pop("config")
        numbers.append(Published(place=Place(**row), config=config, printed=printed))
    return tuple(numbers)


@cache
def published_values() -> Mapping[Place, float]:
    """Every published number by its place."""
    return MappingProxyType({number.place: number.value for number in published_numbers()})
