"""What the paper and the official README print, as data.

``published.csv`` holds every number of Tables 1 to 4 of Karras, Laine and Aila, *A Style-Based
Generator Architecture for Generative Adversarial Networks*, CVPR 2019 (arXiv 1812.04948), the FIDs
of its LSUN networks (Appendix B), and those of the released network in the official README
(table ``readme``). FID on 50,000 images without truncation; path lengths with LPIPS on VGG16.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a number stands.

    Attributes
    ----------
    table : str
        '1' to '4', 'readme' or 'lsun'.
    dataset : str
        'FFHQ', 'CelebA-HQ', 'LSUN Cat 256x256', ...
    label : str
        Line, in the paper's words; empty where there is but one.
    space : str
        'z', 'w', or empty.
    metric : str
        'fid', 'ppl_full', 'ppl_end' or 'separability'.
    condition : str
        'latents=2', or empty.
    """

    table: str
    dataset: str
    label: str
    space: str
    metric: str
    condition: str


@cache
def published_values() -> Mapping[Place, float]:
    """Every published number by its place."""
    text = files("stylegan_eval").joinpath("published.csv").read_text(encoding="utf-8")
    values = {}
    for row in csv.DictReader(text.splitlines()):
        value = float(row.pop("value"))
        del row["config"]
        values[Place(**row)] = value
    return MappingProxyType(values)
