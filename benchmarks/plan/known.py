"""The trainings whose work the package knows: all rows of the tables at their scales."""

from collections.abc import Iterator

from benchmarks.scales import SCALES, training_config
from benchmarks.tables import NETWORKS, Dataset
from stylegan.configs import Config

# They differ in the loss; all other data sets have the loss of one of them.
_DATASETS: tuple[Dataset, ...] = ("ffhq", "celebahq")


def known_trainings() -> Iterator[tuple[str, Config]]:
    """Every network of the tables at every scale with either loss, with a name."""
    for scale in SCALES.values():
        for dataset in _DATASETS:
            for network in NETWORKS:
                config = training_config(network, scale, dataset)
                yield f"{network} {scale.name} {dataset}", config
