"""A function for each metric: images in, numbers with their error bars out.

What a program hands in becomes the fields of `settings.common.Inputs`.
"""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np
from torch import nn

from stylegan_eval.api.results import Results
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.cache import check_cache
from stylegan_eval.engine.device import pick_device
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import GivenGenerator, ImageFunction
from stylegan_eval.generators.loading import carried_networks
from stylegan_eval.images.arrays import ArrayImages
from stylegan_eval.images.files import ImageFiles
from stylegan_eval.images.memory import MemoryImages, Range, check_range
from stylegan_eval.images.source import ContainerImages
from stylegan_eval.metrics import METRICS, MetricRow
from stylegan_eval.metrics.everything import ALL
from stylegan_eval.metrics.given import all_images, statistics_of
from stylegan_eval.metrics.image_metrics import moments_of
from stylegan_eval.metrics.measure import measure
from stylegan_eval.pickles.statistics import PICKLED, read_pickled_stats
from stylegan_eval.results.image_tables import TABLES, read_table
from stylegan_eval.results.results import Row
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import StatsSettings

if TYPE_CHECKING:
    import pandas as pd

Weights = Mapping[str, str | Path] | str | Path | None
_FAKE = """fake: generated images, or what draws them: a folder, zip, .npz or .npy; arrays or
tensors [N, 3, H, W] or [N, H, W, 3]; an iterable of batches; a checkpoint or the name of a carried
network; a generator with z_dim and resolution; a function (n, seed) -> images; statistics (fid).
"""
_REAL = """real: real images, likewise; or statistics (fid).
"""
_COMMON = {
    "range": "black and white of fake's floats, such as (0, 1)",
    "real_range": "the same of real's",
    "held_out": "real images that the generator was not trained on",
    "weights": "file of the feature network's weights, or {network: file}",
    "classifiers": "attribute classifiers (.safetensors)",
    "device": "auto, cpu, cuda or cuda:N",
}


def measured(
    metric: MetricRow,
    fake: Any,
    real: Any = None,
    *,
    range: Range | None = None,
    real_range: Range | None = None,
    weights: Weights = None,
    classifiers: str | Path | None = None,
    device: str = "auto",
    **settings: Any,
) -> Results:
    """Measure by one metric, or all; `settings` are its own, and others of `Inputs`."""
    with in_python(), as_it_was(fake):
        for given in (range, real_range):
            if given is not None:
                check_range(given)
        if settings.get("floor") and fake is not None:
            raise UserError("floor compares real images with real ones: let fake be None")
        sides = fake_side(fake, range) if fake is not None else {}
        if "images" in sides and "images" not in metric.inputs:
            raise UserError(
                f"{sides['images']}: images have no latents to move in: give a checkpoint, or a"
                " generator with z_dim and resolution"
            )
        if real is not None:
            sides["data"] = real_side(real, real_range)
        if (held_out := settings.pop("held_out", None)) is not None:
            sides["held_out"] = real_side(held_out, real_range)
        inputs = Inputs(
            **sides,
            weights=weights_files(weights),
            classifiers=None if classifiers is None else Path(classifiers),
            **{option: settings.pop(option, None) for option in TABLES},
            device=device,
        )
        settings = all_images(inputs, metric.settings, checked(metric.settings, settings))
        chosen = metric.settings(**settings)
        run = lone_run(device)
        rows = measure(metric, inputs, chosen, run)
        run.finish()
        return Results(rows)


def lone_run(device: str) -> Run:
    """In this process alone, whatever launched it."""
    check_cache()
    return Run(device=pick_device(device))


def _function(called: str, metric: MetricRow, *, single: bool = True) -> Callable[..., Any]:
    """A function of a metric, its signature and documentation made from its settings."""

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        results = measured(metric, given.pop(first, None), **given)
        return results[0] if single else results

    first = "fake" if "images" in metric.inputs else "generator"
    keyword, positional = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    compared = "data" in metric.inputs
    given = ["range", *(["real_range"] if compared else [])]
    given += [key for key in ("held_out", "weights", "classifiers") if key in metric.inputs]
    parameters = [inspect.Parameter(first, positional)]
    parameters += [inspect.Parameter("real", positional, default=None)] if compared else []
    parameters += [inspect.Parameter(key, keyword, default=None) for key in given]
    parameters += [inspect.Parameter("device", keyword, default="auto")]
    lines = [metric.help, "", _FAKE + (_REAL if compared else "")]
    lines += [f"{key}: {_COMMON[key]}" for key in (*given, "device")]
    for field in fields(metric.settings):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        parameters.append(inspect.Parameter(field.name, keyword, default=default))
        lines.append(f"{field.name}: {field.metadata['help']}  [{default!r}]")
    function.__name__ = function.__qualname__ = called
    function.__doc__ = "\n".join(lines)
    signature = inspect.Signature(parameters, return_annotation=Row if single else Results)
    # What `help` and editors show; mypy knows no such attribute of a function.
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def weights_files(weights: Weights) -> dict[str, Path]:
    """Weights as `Inputs` takes them: "" stands for the only network."""
    files = {"": weights} if isinstance(weights, str | Path) else weights or {}
    if not isinstance(files, Mapping):
        raise UserError(f"weights must be a file, or {{network: file}}, got {weights!r:.60}")
    return {name: Path(file) for name, file in files.items()}


def checked(kind: type[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse values of another type than the fields of a settings class have."""
    hints, values = get_type_hints(kind), {}
    for name, value in settings.items():
        if name not in hints or name.startswith("_"):
            names = ", ".join(field.name for field in fields(kind))
            raise UserError(f"no setting {name!r}; there are: {names}")
        hint = hints[name]
        plain = value.item() if isinstance(value, np.generic) else value
        fits = hint is float and type(plain) in (int, float)
        if choices := get_args(hint):
            if plain not in choices:
                raise UserError(f"{name} must be one of {', '.join(choices)}, got {value!r:.60}")
        elif not fits and type(plain) is not hint:
            raise UserError(f"{name} must be of type {hint.__name__}, got {value!r:.60}")
        values[name] = plain
    return values


fid = _function("fid", METRICS["fid"])
sfid = _function("sfid", METRICS["sfid"])
mifid = _function("mifid", METRICS["mifid"])
authenticity = _function("authenticity", METRICS["authenticity"])
ct = _function("ct", METRICS["ct"])
kid = _function("kid", METRICS["kid"])
inception_score = _function("inception_score", METRICS["is"])
precision_recall = _function("precision_recall", METRICS["pr"], single=False)
prdc = _function("prdc", METRICS["prdc"], single=False)
cmmd = _function("cmmd", METRICS["cmmd"])
vendi = _function("vendi", METRICS["vendi"])
ppl = _function("ppl", METRICS["ppl"], single=False)
linear_separability = _function("linear_separability", METRICS["ls"], single=False)
_all = _function("evaluate", ALL, single=False)


def evaluate(
    fake: Any, real: Any = None, metrics: str | Iterable[str] | None = None, **settings: Any
) -> Results:
    """Measure several metrics in one pass: each image is drawn, or read, once.

    `metrics`: names of commands, such as ["fid", "kid", "pr"], or one; by default all that apply.
    """
    chosen = {}
    if metrics is not None:
        several = isinstance(metrics, Iterable) and not isinstance(metrics, str)
        names: list[Any] = list(metrics) if several else [metrics]
        if not all(isinstance(name, str) for name in names):
            raise UserError(f'metrics must be names such as ["fid", "kid"], got {metrics!r:.60}')
        chosen["metrics"] = ",".join(names)
    results: Results = _all(fake, real, **chosen, **settings)
    return results


def influence(fake: Any, real: Any, **settings: Any) -> "pd.DataFrame":
    """By how much `fid` would fall without each image, to first order: of either side, most first.

    Arguments are those of `fid`; of a side that is statistics there are no rows. Columns: side
    ("generated" or "real"), image (name of its file, or number), seed of what was drawn, influence.
    """
    return _image_table("fid", "influence", fake, real, settings)


def pairs(fake: Any, real: Any, **settings: Any) -> "pd.DataFrame":
    """The nearest training image of each generated one, the most suspicious pairs first.

    Arguments are those of `authenticity`. Columns: image and real (names of files, or numbers),
    seed of what was drawn, distance of the two, own (of the real one from the nearest other one).
    """
    return _image_table("authenticity", "pairs", fake, real, settings)


def _image_table(
    metric: str, option: str, fake: Any, real: Any, settings: Mapping[str, Any]
) -> "pd.DataFrame":
    import pandas as pd

    with TemporaryDirectory() as folder:
        given = {**settings, option: Path(folder) / "table.csv"}
        measured(METRICS[metric], fake, real, **given)
        return pd.DataFrame(read_table(given[option], TABLES[option]))


def statistics(
    images: Any,
    *,
    range: Range | None = None,
    weights: Weights = None,
    device: str = "auto",
    **settings: Any,
) -> StoredStats:
    """Mean and covariance of the features of images, which `fid` takes as either side.

    `settings` are those of ``stylegan-eval stats``. Its `save` writes a file that pytorch-fid reads
    too; `load_statistics` reads one.
    """
    with in_python():
        inputs = Inputs(
            data=real_side(images, range), weights=weights_files(weights), device=device
        )
        run = lone_run(device)
        features, key = moments_of(inputs, StatsSettings(**checked(StatsSettings, settings)), run)
        run.finish()
        moments = features.moments
        return StoredStats(
            mean=moments.mean,
            cov=moments.cov,
            count=moments.count,
            detector=features.detector.identity,
            content=str(key["content"]),
        )


def load_statistics(path: str | Path) -> StoredStats:
    """Read a file of statistics: of `statistics`, pytorch-fid, clean-fid or NVIDIA (also .pkl)."""
    return statistics_of(Path(path))


_OPENED = (MemoryImages, ImageFiles, ArrayImages, ContainerImages, StoredStats)
_NETWORKS = (".pt", ".pth", ".pkl", ".safetensors", ".ckpt")
_WORDS = {"ckpt": "fake", "generator": "fake", "images": "fake", "data": "real"}
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: (-?\d[\d.,]*\d|-?\d))?")


def fake_side(fake: Any, value_range: Range | None) -> dict[str, Any]:
    """Generated images, or what draws them: one of ``ckpt``, ``generator`` and ``images``.

    A path is a checkpoint by its ending, by the checkpoints in a folder, or as a carried network's
    name. What has `z_dim` and `resolution` is a generator; another callable is a function
    ``(n, seed) -> images``.
    """
    if isinstance(fake, str | Path):
        return _named(fake, value_range)
    if hasattr(fake, "z_dim") and hasattr(fake, "resolution"):
        return {"generator": GivenGenerator(fake), "range": value_range}
    if isinstance(fake, nn.Module):
        raise UserError(
            f"fake: a {type(fake).__name__} without z_dim or resolution: set both, for example"
            " G.z_dim = 512 and G.resolution = 64"
        )
    if callable(fake):
        return {"images": ImageFunction(fake, value_range)}
    return {"images": _images(fake, "fake", value_range)}


def real_side(real: Any, value_range: Range | None) -> Any:
    """Real images, or their statistics, for ``data``."""
    if isinstance(real, str | Path):
        _no_range(value_range, "real")
        return Path(real)
    if callable(real):
        raise UserError(
            f"real: got a {type(real).__name__}; expected images or statistics: draw images first"
        )
    return _images(real, "real", value_range)


def _named(name: str | Path, value_range: Range | None) -> dict[str, Any]:
    path = Path(name)
    if isinstance(name, str) and ":" in name and not path.exists():
        return {"generator": name, "range": value_range}  # module:factory
    carried = isinstance(name, str) and name in carried_networks()
    if carried and path.exists():
        raise UserError(
            f"fake: {name!r} is a bundled network and a {'folder' if path.is_dir() else 'file'}"
            f" here: write './{name}' for that, stylegan.load({name!r}) for the network"
        )
    of_networks = path.suffix.lower() in _NETWORKS or any(path.glob("checkpoint-*.pt"))
    if path.suffix.lower() == PICKLED and path.is_file():
        of_networks = not _holds_statistics(path)
    _no_range(value_range, "fake")
    return {"ckpt": path} if carried or of_networks else {"images": path}


def _holds_statistics(path: Path) -> bool:
    """Whether a pickle is of statistics; that of a network is refused, with its reason, later."""
    try:
        read_pickled_stats(path)
    except UserError:
        return False
    return True


def _no_range(value_range: Range | None, side: str) -> None:
    if value_range is not None:
        raise UserError(f"{side}: a file says itself what its values are: leave out the range")


def _images(given: Any, side: str, value_range: Range | None) -> Any:
    if isinstance(given, _OPENED):
        return given
    return MemoryImages(given, side, value_range)


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Say in errors the arguments of Python's functions where a command's options are named."""
    try:
        yield
    except UserError as error:
        reason, command, rest = str(error).partition("stylegan-")  # which has options of its own
        text = _OPTION.sub(_argument, reason) + command + rest
        if text == str(error):
            raise
        raise type(error)(text) from error.__cause__


def _argument(option: re.Match[str]) -> str:
    name, value = _WORDS.get(option[1], option[1].replace("-", "_")), option[2]
    if value is None:
        return name
    return f"{name}=({value.replace(',', ', ')})" if "," in value else f"{name}={value}"


@contextlib.contextmanager
def as_it_was(given: Any) -> Iterator[None]:
    """Give a module back as it came: in training mode, and with gradients, where it was."""
    if not isinstance(given, nn.Module):
        yield
        return
    modes: Mapping[nn.Module, bool] = {part: part.training for part in given.modules()}
    gradients = {weight: weight.requires_grad for weight in given.parameters()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for weight, wanted in gradients.items():
            weight.requires_grad = wanted
