"""`stylegan-eval classifiers`: train attribute classifiers, look at them."""

from pathlib import Path

import click

from stylegan_eval.command import ErrorLineGroup, power_of_two
from stylegan_eval.errors import UserError
from stylegan_eval.files import check_writable
from stylegan_eval.settings.classifiers import TrainSettings

FILE = click.Path(path_type=Path)
_DEFAULTS = TrainSettings()


def _help(name: str) -> str:
    return str(TrainSettings.__dataclass_fields__[name].metadata["help"])


@click.group(cls=ErrorLineGroup)
def classifiers() -> None:
    """Attribute classifiers, which linear separability needs.

    \b
    stylegan-data avatars avatars.zip --count 8000 --resolution 32
    stylegan-eval classifiers train --data avatars.zip --out attributes.safetensors
    """


@classifiers.command()
@click.option(
    "--data", type=FILE, required=True, help="Images with a dataset.json of 0/1 attributes."
)
@click.option("--out", type=FILE, required=True, help="File to write (.safetensors).")
@click.option(
    "--architecture", default=_DEFAULTS.architecture, show_default=True, help=_help("architecture")
)
@click.option(
    "--resolution", type=int, callback=power_of_two, default=_DEFAULTS.resolution,
    show_default=True, help=_help("resolution"),
)  # fmt: skip
@click.option("--epochs", default=_DEFAULTS.epochs, show_default=True, help=_help("epochs"))
@click.option("--batch", default=_DEFAULTS.batch, show_default=True, help=_help("batch"))
@click.option("--lrate", default=_DEFAULTS.lrate, show_default=True, help=_help("lrate"))
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help=_help("seed"))
@click.option("--skip-constant", is_flag=True, help=_help("skip_constant"))
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def train(  # noqa: PLR0913 - one parameter per option
    data: Path,
    out: Path,
    architecture: str,
    resolution: int,
    epochs: int,
    batch: int,
    lrate: float,
    seed: int,
    skip_constant: bool,  # noqa: FBT001 - click passes by name
    device: str,
) -> None:
    """Train a classifier of all attributes; a tenth of the images tests it.

    Prints the table of `show`.
    """
    settings = TrainSettings(
        architecture=architecture,
        resolution=resolution,
        epochs=epochs,
        batch=batch,
        lrate=lrate,
        seed=seed,
        skip_constant=skip_constant,
    )
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
    click.echo(report.table(trained.record))


@classifiers.command()
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Print what a file of classifiers holds, and how well each attribute is read.

    Accuracies are of held-out images: overall, and balanced (0.5 is chance).
    """
    import torch

    from stylegan_eval.classifiers import report, storage

    loaded = storage.load_classifier(file, torch.device("cpu"))
    click.echo(f"{report.table(loaded.record)}\n\nsha256 {loaded.sha256}")
