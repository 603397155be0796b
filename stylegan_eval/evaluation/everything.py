"""`stylegan-eval all`: every metric of one generator; each image is generated once.

Images are drawn in one pass and shown to all feature networks and classifiers; path lengths need
pairs of images of their own.
"""

from stylegan_eval.blocks import Run
from stylegan_eval.catalogue import METRICS
from stylegan_eval.command import say
from stylegan_eval.errors import UndefinedMetricError, UserError
from stylegan_eval.evaluation import images, ppl
from stylegan_eval.evaluation.ls import separability
from stylegan_eval.evaluation.run import at
from stylegan_eval.metrics.image_metric import Request
from stylegan_eval.results import Row
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.everything import AllSettings


def evaluate(inputs: Inputs, settings: AllSettings, run: Run) -> list[Row]:
    """Measure all metrics that are chosen.

    Returns
    -------
    list of Row
        Empty in all processes but the first.

    Raises
    ------
    UserError
        Something of the inputs cannot be used; before the work where it can be known.
    """
    if "" in inputs.weights:
        raise UserError(
            "--weights: several networks take part, say whose file it is: inception=FILE,"
            " vgg16=FILE, lpips-vgg=FILE"
        )
    asked, left_out = settings.chosen_with(
        classifiers=inputs.classifiers is not None, images=inputs.images is not None
    )
    if inputs.distances is not None and "ppl" not in asked:
        raise UserError("--distances keeps the lengths of ppl, which is not among --metrics")
    requests = [
        Request(metric=at(METRICS[name].place), settings=chosen)
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
    consumers = [separability(inputs, settings.of_ls(), run)] if "ls" in asked else []
    rows = images.evaluate(inputs, requests, run, consumers) if requests or consumers else []
    return rows if path_lengths is None else rows + path_lengths()
