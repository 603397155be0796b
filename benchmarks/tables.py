"""The paper's tables as data: which networks, and what is measured of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from stylegan.configs import CONFIGS, Config
from stylegan_eval.errors import UserError
from stylegan_eval.results.published import Place, published_values

Dataset = Literal["ffhq", "celebahq", "lsun-bedroom", "lsun-cat", "lsun-car"]
Space = Literal["", "z", "w"]
Metric = Literal["fid", "precision", "recall", "ppl_full", "ppl_end", "separability"]


def _mixing(percent: int) -> Config:
    return replace(
        CONFIGS["F"],
        name=f"mixing-{percent}",
        change=f"F with mixing of {percent} % instead of 90 %",
        loss=replace(CONFIGS["F"].loss, style_mixing_prob=percent / 100),
    )


def _depth(row: str, name: str, layers: int) -> Config:
    config = CONFIGS[row]
    return replace(
        config,
        name=name,
        change=f"{row} with a mapping network of {layers} layers",
        network=replace(config.network, mapping_layers=layers),
    )


# What is trained, at the paper's scale. Tables 2 to 4 share most of it with Table 1.
NETWORKS: Mapping[str, Config] = MappingProxyType(
    {
        **CONFIGS,
        "mixing-50": _mixing(50),
        "mixing-100": _mixing(100),
        "traditional-8": _depth("B", "traditional-8", 8),
        "style-0": _depth("F", "style-0", 0),
        "style-1": _depth("F", "style-1", 1),
        "style-2": _depth("F", "style-2", 2),
    }
)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column of a table."""

    metric: Metric  # What is measured
    condition: str = ""  # 'latents=2' or 'psi=0.7': how the images are drawn; empty for plainly


@dataclass(frozen=True, kw_only=True)
class TableLine:
    """A line of a table."""

    key: str  # Short name
    label: str  # The paper's words
    network: str  # Key of `NETWORKS`
    space: Space = ""  # Where path length and separability are measured


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A conclusion of the paper from a table: some lines are better than others, on average."""

    better: tuple[str, ...]
    worse: tuple[str, ...]
    """better, worse: Keys of the lines."""
    text: str


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of the paper."""

    name: str  # As the command line calls it
    title: str
    printed: str  # Its name in ``published.csv``; empty where the paper prints no such numbers
    lines: tuple[TableLine, ...]
    quantities: tuple[Quantity, ...]  # Of every line
    datasets: tuple[Dataset, ...] = ("ffhq",)
    """Those that the paper has numbers for; the first is the default."""
    claim: Claim | None = None


# Names of the data sets in ``published.csv``.
_PRINTED: Mapping[Dataset, str] = MappingProxyType(
    {
        "ffhq": "FFHQ",
        "celebahq": "CelebA-HQ",
        "lsun-bedroom": "LSUN Bedroom 256x256",
        "lsun-cat": "LSUN Cat 256x256",
        "lsun-car": "LSUN Car 512x384",
    }
)
_FID = (Quantity(metric="fid"),)
_DISENTANGLEMENT = (
    Quantity(metric="ppl_full"),
    Quantity(metric="ppl_end"),
    Quantity(metric="separability"),
)

TABLES: Mapping[str, PaperTable] = MappingProxyType(
    {
        "table1": PaperTable(
            name="table1",
            title="Table 1: FID of generator designs",
            printed="1",
            lines=tuple(
                TableLine(key=name, label=config.change, network=name)
                for name, config in CONFIGS.items()
            ),
            quantities=_FID,
            datasets=("ffhq", "celebahq"),
            claim=Claim(
                better=("C", "D", "E", "F"),
                worse=("A", "B"),
                text="style-based generators (C to F) are better than traditional ones (A, B)",
            ),
        ),
        "table2": PaperTable(
            name="table2",
            title="Table 2: FID when 1 to 4 latents are mixed at test time",
            printed="2",
            lines=(
                TableLine(key="mixing-0", label="mixing 0%", network="E"),
                TableLine(key="mixing-50", label="mixing 50%", network="mixing-50"),
                TableLine(key="mixing-90", label="mixing 90%", network="F"),
                TableLine(key="mixing-100", label="mixing 100%", network="mixing-100"),
            ),
            quantities=tuple(
                Quantity(metric="fid", condition=f"latents={n}") for n in (1, 2, 3, 4)
            ),
        ),
        "table3": PaperTable(
            name="table3",
            title="Table 3: path length and separability",
            printed="3",
            lines=(
                TableLine(key="B", label="Traditional generator", network="B", space="z"),
                TableLine(key="D", label="Style-based generator", network="D", space="w"),
                TableLine(key="E", label="+ Add noise inputs", network="E", space="w"),
                TableLine(key="mixing-50", label="+ Mixing 50%", network="mixing-50", space="w"),
                TableLine(key="F", label="+ Mixing 90%", network="F", space="w"),
            ),
            quantities=_DISENTANGLEMENT,
        ),
        "table4": PaperTable(
            name="table4",
            title="Table 4: depth of the mapping network",
            printed="4",
            lines=(
                TableLine(key="traditional-0", label="Traditional 0", network="B", space="z"),
                TableLine(
                    key="traditional-8-z",
                    label="Traditional 8",
                    network="traditional-8",
                    space="z",
                ),
                TableLine(
                    key="traditional-8-w",
                    label="Traditional 8",
                    network="traditional-8",
                    space="w",
                ),
                TableLine(key="style-0", label="Style-based 0", network="style-0", space="z"),
                TableLine(key="style-1", label="Style-based 1", network="style-1", space="w"),
                TableLine(key="style-2", label="Style-based 2", network="style-2", space="w"),
                TableLine(key="style-8", label="Style-based 8", network="F", space="w"),
            ),
            quantities=(*_FID, *_DISENTANGLEMENT),
        ),
        "truncation": PaperTable(
            name="truncation",
            title="Truncation in W (Section 2 and Appendix B): quality against variety",
            printed="",
            lines=(TableLine(key="F", label="+ Mixing regularization", network="F", space="w"),),
            quantities=tuple(
                Quantity(metric=metric, condition=f"psi={psi:g}")
                for metric in ("fid", "precision", "recall")
                for psi in (1.0, 0.7, 0.5)
            ),
        ),
        "lsun": PaperTable(
            name="lsun",
            title="LSUN (Appendix B): FID of configuration F",
            printed="lsun",
            lines=(TableLine(key="F", label="", network="F"),),
            quantities=_FID,
            datasets=("lsun-bedroom", "lsun-cat", "lsun-car"),
        ),
    }
)


def named_table(name: str) -> PaperTable:
    """Table by its name."""
    if name not in TABLES:
        raise UserError(f"no table {name!r}; there are: {', '.join(TABLES)}")
    return TABLES[name]


def chosen_lines(table: PaperTable, keys: tuple[str, ...]) -> tuple[TableLine, ...]:
    """Lines of a table by their keys or networks, in the table's order; all where none is named."""
    known = {name for line in table.lines for name in (line.key, line.network)}
    for key in keys:
        if key not in known:
            there = ", ".join(line.key for line in table.lines)
            raise UserError(f"{table.name} has no row {key!r}; there are: {there}")
    return tuple(
        line for line in table.lines if not keys or line.key in keys or line.network in keys
    )


def published(
    table: PaperTable, dataset: Dataset, line: TableLine, quantity: Quantity
) -> float | None:
    """The paper's number in a cell; None where it prints none."""
    place = Place(
        table=table.printed,
        dataset=_PRINTED[dataset],
        label=line.label,
        space="" if quantity.metric == "fid" and table.printed != "4" else line.space,
        metric=quantity.metric,
        condition=quantity.condition,
    )
    return published_values().get(place)
