"""Statistics of a set of images to a file."""

from functools import reduce
from operator import add
from pathlib import Path

from stylegan_eval.blocks import Run
from stylegan_eval.detectors import load_detector
from stylegan_eval.errors import UserError
from stylegan_eval.evaluation.images import files_features
from stylegan_eval.evaluation.sources import choose_reals
from stylegan_eval.features import FeatureCollector
from stylegan_eval.images import open_images
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.images import StatsSettings
from stylegan_eval.stats_file import check_new, write_stats


def write_statistics(out: Path, inputs: Inputs, settings: StatsSettings, run: Run) -> str:
    """Write mean and covariance of the features of ``--data`` to `out`.

    Returns
    -------
    str
        What was written, for people.

    Raises
    ------
    UserError
        `out` exists or is no ``.npz``, there are too few images, or the network cannot be had.
    """
    check_new(out)
    if inputs.data is None:
        raise UserError("--data is missing: name a folder or a zip of images")
    inputs.check_weights(settings.features)
    with open_images(inputs.data) as files:
        num = settings.num or len(files)
        reals = choose_reals(files, num, settings.reals, settings, mirror=settings.mirror)
        if num < 2:
            raise UserError(f"a covariance needs two images or more, got {num}")
        detector = load_detector(
            settings.features,
            settings.resize,
            inputs.weights_of(settings.features),
            run.device,
            settings.precision,
        )
        collector = FeatureCollector(detector=detector, kinds=("moments",), num=num)
        features = files_features(reals, collector, run)
    if run.processes.is_first:
        write_stats(out, reduce(add, features.blocks), reals.key)
    return f"{out}: {num} images, {detector.feature_dim} features of {detector.identity}"
