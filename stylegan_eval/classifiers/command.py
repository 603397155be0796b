"""`stylegan-eval classifiers`: train attribute classifiers, look at them."""

from pathlib import Path
from typing import Any

import click

from stylegan_eval.command import ErrorLineCommand, ErrorLineGroup, say
from stylegan_eval.errors import UserError
from stylegan_eval.files import check_writable
from stylegan_eval.option_types import SAFETENSORS
from stylegan_eval.options import FILE, INPUTS, options_of
from stylegan_eval.settings.classifiers import TrainSettings


@click.group(cls=ErrorLineGroup)
def classifiers() -> None:
    """Attribute classifiers, which linear separability needs.

    \b
    stylegan-data avatars avatars.zip --count 8000 --resolution 32
    stylegan-eval classifiers train --data avatars.zip --out attributes.safetensors
    """


def _train(data: Path, out: Path, device: str, **values: Any) -> None:
    settings = TrainSettings(**values)
    if out.exists() and out.resolve() == data.resolve():
        raise UserError(f"--out {out} would overwrite the images: name another file")
    check_writable(out)

    from stylegan_eval.classifiers import report, storage, training
    from stylegan_eval.images import open_images
    from stylegan_eval.loading import pick_device

    where = pick_device(device)
    with open_images(data) as files:
        trained = training.train(files, settings, where)
    storage.save_classifier(out, trained)
    say(report.table(trained.record))


classifiers.add_command(
    ErrorLineCommand(
        "train",
        callback=_train,
        help="Train a classifier of all attributes; a tenth of the images tests it. Prints the"
        " table of show.",
        params=[
            click.Option(
                ["--data"], type=FILE, required=True,
                help="Images with a dataset.json of 0/1 attributes.",
            ),
            click.Option(
                ["--out"], type=SAFETENSORS, required=True, help="File to write (.safetensors)."
            ),
            *options_of(TrainSettings),
            INPUTS["device"],
        ],
    )
)  # fmt: skip


@classifiers.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print what a file of classifiers holds, and how well each attribute is read.

    Accuracies are of held-out images: overall, and balanced (0.5 is chance).
    """
    import torch

    from stylegan_eval.classifiers import report, storage

    loaded = storage.load_classifier(file, torch.device("cpu"))
    say(f"{report.table(loaded.record)}\n\nsha256 {loaded.sha256}")
