"""The trainings whose work the package knows: all rows of the tables at their scales."""

from collections.abc import Iterator
from dataclasses import replace

from stylegan.configs import CONFIGS, Config
from stylegan.presets import apply_preset


def known_trainings() -> Iterator[tuple[str, Config]]:
    """Every network of Tables 1 to 4 at every scale, with a name."""
    for preset in ("demo-32", "demo-64", "paper-ffhq", "paper-celebahq"):
        for name, config in networks().items():
            yield f"{name} {preset}", apply_preset(config, preset)


def networks() -> dict[str, Config]:
    """Rows A to F, and the depths of the mapping of Table 4."""
    rows = dict(CONFIGS)
    found = {**rows, "traditional-8": _with_depth(rows["B"], 8)}
    for depth in (0, 1, 2):
        found[f"style-{depth}"] = _with_depth(rows["F"], depth)
        found[f"style-{depth} without mixing"] = _with_depth(rows["E"], depth)
    return found


def _with_depth(config: Config, depth: int) -> Config:
    return replace(config, network=replace(config.network, mapping_layers=depth))
