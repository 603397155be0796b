"""Start a measurement: processes, device, and the driver of the metric that is asked for."""

import importlib
from typing import Any

import torch

from stylegan_eval.blocks import Run
from stylegan_eval.cache import check_cache
from stylegan_eval.catalogue import Entry
from stylegan_eval.evaluation.images import evaluate
from stylegan_eval.loading import pick_device
from stylegan_eval.metrics.image_metric import ImageMetric, Request
from stylegan_eval.processes import processes_from_environment
from stylegan_eval.results import Row
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.everything import AllSettings
from stylegan_eval.settings.images import FeatureSettings
from stylegan_eval.settings.ppl import PplSettings


def open_run(device: str) -> Run:
    """Join the processes that torchrun started, if any, and pick this one's device.

    Raises
    ------
    UserError
        No such device, or an environment that is not torchrun's.
    """
    check_cache()
    processes = processes_from_environment()
    if processes.world > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{processes.local_rank}"
    return Run(device=pick_device(device), processes=processes)


def measure(entry: Entry, inputs: Inputs, settings: Sampling, run: Run) -> list[Row]:
    """Measure what a command line names by one metric of the catalogue.

    Returns
    -------
    list of Row
        Empty in all processes but the first.

    Raises
    ------
    UserError
        Something of the inputs cannot be used.
    """
    found = at(entry.place)
    if isinstance(settings, PplSettings):
        inputs.check_weights("lpips-vgg")
    elif isinstance(settings, FeatureSettings) and not isinstance(settings, AllSettings):
        inputs.check_weights(settings.features)
    if not isinstance(found, ImageMetric):
        rows: list[Row] = found(inputs, settings, run)
        return rows
    assert isinstance(settings, FeatureSettings)
    return evaluate(inputs, [Request(metric=found, settings=settings)], run)


def at(place: str) -> Any:
    """Object at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
