"""Measure one metric or `all`: open the run, dispatch, collect rows."""

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.cache import check_cache
from stylegan_eval.engine.command import say
from stylegan_eval.engine.device import device_of_process
from stylegan_eval.engine.processes import processes_from_environment
from stylegan_eval.errors import UndefinedMetricError, UserError
from stylegan_eval.metrics import METRICS, MetricRow, image_metrics, ppl
from stylegan_eval.metrics.everything import AllSettings
from stylegan_eval.metrics.image_metrics import evaluate
from stylegan_eval.metrics.ls import open_separability
from stylegan_eval.networks import weighed
from stylegan_eval.plugins import resolve
from stylegan_eval.results.results import Row
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import GeneratedSettings
from stylegan_eval.settings.others import PplSettings


def open_run(device: str) -> Run:
    """Join the processes that torchrun started, if any, and pick this one's device."""
    check_cache()
    processes = processes_from_environment()
    return Run(device=device_of_process(device, processes), processes=processes)


def measure(metric: MetricRow, inputs: Inputs, settings: Sampling, run: Run) -> list[Row]:
    """Measure what a command line names by one metric.

    Returns no rows in all processes but the first.
    """
    if isinstance(settings, PplSettings):
        inputs.check_weights("lpips-vgg")
    if not metric.is_of_images:
        return resolve(metric.place)(inputs, settings, run)
    assert isinstance(settings, GeneratedSettings)
    inputs.check_weights(settings.features)
    return evaluate(inputs, [settings], run)


def evaluate_all(inputs: Inputs, settings: AllSettings, run: Run) -> list[Row]:
    """Measure all metrics that are chosen.

    Returns no rows in all processes but the first.
    """
    if "" in inputs.weights:
        raise UserError(
            "--weights: several networks take part, say whose file it is: "
            + ", ".join(f"{name}=FILE" for name in weighed())
        )
    names, left_out = settings.chosen_with(
        classifiers=inputs.classifiers is not None, images=inputs.images is not None
    )
    for table in ("influence", "distances"):
        takers = [name for name, metric in METRICS.items() if table in metric.inputs]
        chosen = [name for name in names if name in takers]
        if getattr(inputs, table) is None or len(chosen) == 1:
            continue
        fault = "more than one is" if chosen else "which is not"
        raise UserError(f"--{table} is of {' or '.join(takers)}, {fault} among --metrics")
    of_images = list(settings.of_images(names).values())
    path_lengths = None
    if "ppl" in names:
        try:
            path_lengths = ppl.prepare(inputs, settings.of_ppl(), run)
        except UndefinedMetricError as error:
            if settings.names_metrics:
                raise
            left_out["ppl"] = str(error)
    if run.processes.is_first:
        for name, reason in left_out.items():
            say(f"note: {name} is left out: {reason}", err=True)
    consumers = [open_separability(inputs, settings.of_ls(), run)] if "ls" in names else []
    rows = []
    if of_images or consumers:
        rows = image_metrics.evaluate(inputs, of_images, run, consumers)
    return rows if path_lengths is None else rows + path_lengths()
