"""Whether a data set fits a configuration: its size, channels, labels and number of images."""

from collections.abc import Sequence
from pathlib import Path

from stylegan.auto import MOST_EPOCHS
from stylegan.configs import Config
from stylegan.training.batches import RealSet
from stylegan.training.schedule import phases
from stylegan_eval.engine.command import note
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS
from stylegan_eval.images.files import prepare_command
from stylegan_eval.images.labels import shortened


def check_fit(
    config: Config, reals: RealSet, *, fixed: bool = False, named: Sequence[str] = ()
) -> None:
    """Refuse a data set that the configuration cannot be trained on; say if it is shrunk.

    `fixed`: Whether the networks are there already, so that options cannot change them.
    `named`: Names of the classes that they know.
    """
    data = reals.path
    check_sizes(config, reals.resolution, data, fixed=fixed)
    check_channels(config.network.num_channels, reals.channels, data)
    largest = max(point.minibatch for point in phases(config))
    if reals.count < largest:
        raise UserError(
            f"{data} holds {reals.count} images, fewer than the minibatch of "
            f"{largest}: use more images, or --minibatch {reals.count // 4 * 4 or reals.count}"
        )
    epochs = config.schedule.total_kimg * 1000 / reals.count
    if epochs > MOST_EPOCHS:
        note(
            f"{data}: {config.schedule.total_kimg:g} kimg show each of {reals.count:,} images"
            f" {epochs:,.0f} times (FFHQ in the paper: 357): D may memorize them. What helps:"
            f" more images,{'' if config.mirror else ' --mirror,'} --init with a trained network,"
            " and --metrics, which keeps best.pt"
        )
    needed, given = config.network.label_size, reals.label_size
    if needed and needed != given:
        raise UserError(
            f"{data} has {labels_text(given, reals.label_names)}, the networks take"
            f" {labels_text(needed, named)}: use data with the labels that they were made for, or"
            " start anew"
        )
    if needed and named and reals.label_names and tuple(named) != reals.label_names:
        note(
            f"{data} has the labels {shortened(reals.label_names)}, the networks know"
            f" {shortened(named)}: they go by their numbers, and are called as in the data"
        )
    if needed and reals.empty:
        note(
            f"{data} has no images of the classes {shortened(reals.empty)}: what the networks draw"
            " for them means nothing"
        )


def labels_text(size: int, names: Sequence[str]) -> str:
    """Labels in words: by name, where their classes or numbers have names."""
    if size == 0:
        return "no labels"
    if len(names) == size:
        return f"{size} labels ({shortened(names)})"
    return f"labels of {size} classes or numbers"


def check_channels(own: int, given: int, data: Path) -> None:
    """Refuse images of other channels than the networks have."""
    if own == given:
        return
    names = {channels: name for name, channels in CHANNELS.items()}
    if own not in names:
        raise UserError(
            f"the networks have num_channels {own}, images are grey (1), RGB (3) or RGBA (4): only"
            " networks of these can be trained"
        )
    raise UserError(
        f"{data} holds {names[given]} images, the networks have {own} channels ({names[own]}): make"
        f" a set that fits with: {prepare_command(data)} --channels {names[own]}"
    )


def check_sizes(config: Config, size: int, data: Path, *, fixed: bool) -> None:
    """Refuse images of `size` pixels that the networks would enlarge; say if they are shrunk."""
    own = config.resolution
    other = f'--resolution {size} (or "resolution" in the file of --config)'
    if size < own:
        fewer = "start without --init" if fixed else f"use {other}"
        raise UserError(
            f"{data} holds {size}x{size} images, too small for networks of {own}x{own}: make them"
            f" again from larger originals (stylegan-data prepare ORIGINALS {data.stem}-{own}.zip"
            f" --resolution {own}), or {fewer}"
        )
    if size > own:
        how = "" if fixed else f"; {other} keeps them as they are"
        note(f"{data}: images of {size}x{size} are shrunk to {own}x{own}, as the networks are{how}")
