"""Measure one metric or `all`: open the run, dispatch, collect rows."""

from pkgutil import resolve_name

import torch

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.cache import check_cache
from stylegan_eval.engine.command import say
from stylegan_eval.engine.processes import processes_from_environment
from stylegan_eval.errors import UndefinedMetricError, UserError
from stylegan_eval.generators.loading import pick_device
from stylegan_eval.metrics import METRICS, MetricRow, image_metrics, ppl
from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.metrics.image_metrics import evaluate
from stylegan_eval.metrics.ls import open_separability
from stylegan_eval.metrics.naming import ImageMetric, Request
from stylegan_eval.networks import NETWORKS
from stylegan_eval.results.results import Row
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import FeatureSettings
from stylegan_eval.settings.others import PplSettings


def open_run(device: str) -> Run:
    """Join the processes that torchrun started, if any, and pick this one's device."""
    check_cache()
    processes = processes_from_environment()
    if processes.world > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{processes.local_rank}"
    return Run(device=pick_device(device), processes=processes)


def measure(metric: MetricRow, inputs: Inputs, settings: Sampling, run: Run) -> list[Row]:
    """Measure what a command line names by one metric.

    Returns
    -------
    list of Row
        Empty in all processes but the first.
    """
    found = resolve_name(metric.place)
    if isinstance(settings, PplSettings):
        inputs.check_weights("lpips-vgg")
    elif isinstance(settings, FeatureSettings) and not isinstance(settings, AllSettings):
        inputs.check_weights(settings.features)
    if not isinstance(found, ImageMetric):
        rows: list[Row] = found(inputs, settings, run)
        return rows
    assert isinstance(settings, FeatureSettings)
    return evaluate(inputs, [Request(metric=found, settings=settings)], run)


def evaluate_all(inputs: Inputs, settings: AllSettings, run: Run) -> list[Row]:
    """Measure all metrics that are chosen.

    Returns
    -------
    list of Row
        Empty in all processes but the first.
    """
    asked, left_out = settings.chosen_with(
        classifiers=inputs.classifiers is not None, images=inputs.images is not None
    )
    if "" in inputs.weights:
        networks = [chosen.features for chosen in settings.of_images(asked).values()]
        weighed = dict.fromkeys(name for name in networks if NETWORKS[name].url)
        files = [f"{name}=FILE" for name in (*weighed, "lpips-vgg")]
        raise UserError(
            "--weights: several networks take part, say whose file it is: " + ", ".join(files)
        )
    if inputs.distances is not None and "ppl" not in asked:
        raise UserError("--distances keeps the lengths of ppl, which is not among --metrics")
    requests = [
        Request(metric=resolve_name(METRICS[name].place), settings=chosen)
        for name, chosen in settings.of_images(asked).items()
    ]
    path_lengths = None
    if "ppl" in asked:
        try:
            path_lengths = ppl.prepare(inputs, settings.of_ppl(), run)
        except UndefinedMetricError as error:
            if settings.names_metrics:
                raise
            left_out["ppl"] = str(error)
    if run.processes.is_first:
        for name, reason in left_out.items():
            say(f"note: {name} is left out: {reason}", err=True)
    consumers = [open_separability(inputs, settings.of_ls(), run)] if "ls" in asked else []
    rows = image_metrics.evaluate(inputs, requests, run, consumers) if requests or consumers else []
    return rows if path_lengths is None else rows + path_lengths()
