"""What a step does, by network and size: counted once, remembered in two files.

Counting takes about a second for a network at 1024x1024. So what the rows of the tables do is in
the package (``work.csv``, written by ``python -m benchmarks.plan --count FILE``), and what else was
ever counted is in the cache folder, a file for each network and size.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path

from stylegan import __version__
from stylegan.configs import Config, config_to_dict
from stylegan_eval.cache import cache_dir
from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write

WORK_FILE = "work.csv"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step of D and one of G on n images do ``per_step + n * per_image``.

    Attributes
    ----------
    flop_per_image, flop_per_step : float
        Floating-point operations.
    bytes_per_image, bytes_per_step : float
        Bytes that operations read and write, but for the optimizer's.
    parameters : float
        Weights of G and D together, had they no larger layers.
    """

    flop_per_image: float
    flop_per_step: float
    bytes_per_image: float
    bytes_per_step: float
    parameters: float

    def flop(self, images: float) -> float:
        """Floating-point operations of a step of D and one of G on `images` images."""
        return self.flop_per_step + self.flop_per_image * images

    def moved(self, images: float) -> float:
        """Bytes that they read and write."""
        return self.bytes_per_step + self.bytes_per_image * images


def count_work(config: Config, size: int) -> Work:
    """Count anew: two steps on tensors without data.

    Parameters
    ----------
    config : Config
        What would be trained.
    size : int
        Resolution of the phase in pixels. Fading it in does up to a tenth more.
    """
    from stylegan.training.execution import Execution
    from stylegan.training.rehearsal import Rehearsal

    rehearsal = Rehearsal(replace(config, resolution=size), Execution())
    G, D = rehearsal.networks
    group = config.network.mbstd_group_size
    (flop, moved), (flop_2, moved_2) = (rehearsal.work(0.0, n * group) for n in (1, 2))
    return Work(
        flop_per_image=(flop_2 - flop) / group,
        flop_per_step=2 * flop - flop_2,
        bytes_per_image=(moved_2 - moved) / group,
        bytes_per_step=2 * moved - moved_2,
        parameters=sum(p.numel() for p in (*G.parameters(), *D.parameters())),
    )


def work_of(config: Config, size: int) -> Work:
    """What is known of a step at `size`; counted and remembered where nothing is."""
    key = work_key(config, size)
    if (known := shipped_work().get(key)) is not None:
        return known
    path = cache_dir() / "plan" / f"{key}-{__version__}.json"
    if (known := _read(path)) is not None:
        return known
    counted = count_work(config, size)
    # A machine on which nothing can be kept counts anew each time.
    with suppress(UserError), atomic_write(path) as temporary:
        temporary.write_text(json.dumps(asdict(counted)) + "\n")
    return counted


def work_key(config: Config, size: int) -> str:
    """Digest of all that a step's work at `size` depends on, 16 hexadecimal digits."""
    import hashlib

    tree = {
        "size": size,
        "network": config_to_dict(config)["network"],
        "loss": config.loss.kind,
        "mixing": config.loss.style_mixing_prob > 0,
    }
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


@cache
def shipped_work() -> Mapping[str, Work]:
    """What the package knows, by key."""
    text = (resources.files("benchmarks.plan") / WORK_FILE).read_text()
    names = [field.name for field in fields(Work)]
    return {
        row["key"]: Work(**{name: float(row[name]) for name in names})
        for row in csv.DictReader(text.splitlines())
    }


def write_work(configs: Iterable[tuple[str, Config]], path: Path) -> Iterator[str]:
    """Count every phase of `configs` anew and write the file of the package.

    Parameters
    ----------
    configs : iterable of (str, Config)
        Trainings with their names.
    path : Path
        File to write.

    Yields
    ------
    str
        Each line of the file, once it is counted.
    """
    names = [field.name for field in fields(Work)]
    lines = {"key": ",".join(["network", "size", "key", *names])}
    for name, config in configs:
        for size in sizes(config):
            key = work_key(config, size)
            if key not in lines:
                numbers = (f"{value:.0f}" for value in astuple(count_work(config, size)))
                lines[key] = ",".join([name, str(size), key, *numbers])
                yield lines[key]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines.values()) + "\n")


def sizes(config: Config) -> Iterator[int]:
    """Resolutions through which a training may grow."""
    size = min(config.schedule.initial_resolution, config.resolution)
    while size <= config.resolution:
        yield size
        size *= 2


def _read(path: Path) -> Work | None:
    try:
        return Work(**json.loads(path.read_text()))
    except (OSError, TypeError, ValueError):
        return None
