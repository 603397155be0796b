"""What a training leaves on the disk."""

from pathlib import Path

from stylegan.configs import Config


def training_storage(
    config: Config,
    *,
    snapshot_kimg: float | None = None,
    keep: int = 3,
    keeps_best: bool = False,
) -> int:
    """Bytes of a finished training's folder, at most.

    Parameters
    ----------
    config : Config
        What is trained.
    snapshot_kimg : float, optional
        Thousands of images between checkpoints; None for a twentieth of the length.
    keep : int
        Checkpoints that are kept. While one is written there is one more, which counts.
    keeps_best : bool
        Whether the best checkpoint is kept beside them.
    """
    from stylegan.training.footprint import run_files
    from stylegan.training.metric_names import MetricSettings
    from stylegan.training.settings import RunSettings

    metrics = MetricSettings(metrics="fid" if keeps_best else "")
    settings = RunSettings(
        out=Path(), data=Path(), snapshot_kimg=snapshot_kimg, keep=keep, metrics=metrics
    )
    files = run_files(config, settings)
    return sum(item.total for item in files)
