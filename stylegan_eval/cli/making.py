"""Commands that make files for others: statistics, attribute classifiers, directions in W."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_eval.cli.metrics import FORMATS, INPUTS
from stylegan_eval.engine.command import (
    ErrorLineCommand,
    ErrorLineGroup,
    refuse_idle,
    refuse_typed,
    say,
)
from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.options import CSV, FILE, SAFETENSORS, options_of
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import StatsSettings
from stylegan_eval.settings.others import ComponentsSettings, DirectionsSettings, TrainSettings

if TYPE_CHECKING:
    from stylegan_eval.metrics.components import Components
    from stylegan_eval.metrics.flip import FoundDirections

# What is asked of a command line with --components.
_OF_COMPONENTS = ("components", "ckpt", "generator", "device", "out", "num", "seed", "quiet")
_INPUTS = ("ckpt", "generator", "range", "classifiers", "device")


@click.pass_context
def _find(
    ctx: click.Context,
    /,
    out: Path,
    components: int | None,
    csv: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    if components is not None:
        _find_components(ctx, out, components)
        return

    from stylegan_eval.metrics.flip import evaluate
    from stylegan_eval.metrics.measure import open_run
    from stylegan_eval.results import results
    from stylegan_eval.results.directions_file import write_directions

    inputs = Inputs(**{key: values.pop(key) for key in _INPUTS})
    settings = DirectionsSettings(**values)
    refuse_idle(settings.idle)
    check_writable(out)
    if csv is not None:
        results.read_table(csv)
    run = open_run(inputs.device)
    result = evaluate(inputs, settings, run)
    if result is not None:
        write_directions(out, result.directions)
        click.echo(results.to_json(result.rows) if as_json else table(result, settings))
        for note in _notes(result, settings.samples):
            say(f"note: {note}", err=True)
        if csv is not None:
            results.append_csv(csv, result.rows, run.receipt)
    run.finish()


def _find_components(ctx: click.Context, out: Path, count: int) -> None:
    """Write the principal components of w, and print their shares."""
    others = {param.name for param in ctx.command.params} - {*_OF_COMPONENTS}
    refuse_typed(others, "is for attributes, not for --components: leave it out")

    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.metrics.flip import find_components
    from stylegan_eval.results.directions_file import write_directions

    inputs = Inputs(**{key: ctx.params[key] for key in ("ckpt", "generator", "device")})
    settings = ComponentsSettings(components=count, **{k: ctx.params[k] for k in ("num", "seed")})
    check_writable(out)
    found, made = find_components(inputs, settings, pick_device(inputs.device))
    write_directions(out, made)
    say(table_of_components(found, made.names))


def table_of_components(found: "Components", names: Sequence[str]) -> str:
    """A line for each component: its standard deviation, its share of the variance, the sum."""
    lines = ["component   spread   share     sum"]
    rows = zip(names, found.spreads, found.shares, found.shares.cumsum(), strict=True)
    lines += [f"{name:9}  {spread:7.4g}  {a:6.2%}  {b:6.2%}" for name, spread, a, b in rows]
    return "\n".join(lines)


def table(result: "FoundDirections", settings: DirectionsSettings) -> str:
    """A line per attribute: the fit, then shares that turned when moved by each strength."""
    strengths = settings.strengths
    width = max(len(name) for name in ("attribute", *result.directions.names))
    moves = [f"{sign}{strength:g}" for sign in "+-" for strength in strengths]
    heading = f"others by {settings.strength:g}"
    lines = [
        f"{'attribute':{width}}  share  accuracy  spread"
        + "".join(f"{move:>6}" for move in moves)
        + f"  {heading}"
    ]
    by_name = {each.name: each for each in result.details}
    for flips in result.flips:
        fit = by_name[flips.name]
        turned = [*flips.lacking.turned, *flips.having.turned]
        others = flips.others[strengths.index(settings.strength)]
        lines.append(
            f"{fit.name:{width}}  {fit.share:5.3f}  {fit.accuracy:8.3f}  {fit.spread:6.3f}"
            + "".join(f"{share:6.2f}" for share in turned)
            + f"  {others:{len(heading)}.2f}"
        )
    return "\n".join(lines)


def _notes(result: "FoundDirections", samples: int) -> list[str]:
    notes = [
        *result.notes,
        *(f"no direction for {each.name}: {each.error}" for each in result.details if each.error),
    ]
    few = [
        f"{flips.name} was tried on {flips.lacking.count} images without and {flips.having.count}"
        " with it: there were no more among the fresh ones"
        for flips in result.flips
        if min(flips.lacking.count, flips.having.count) < samples
    ]
    return notes + few


directions = ErrorLineCommand(
    "directions",
    callback=_find,
    help="Find where in W each attribute lies: the normal of the hyperplane that linear"
    " separability fits. Then move fresh images along it, and print the share whose attribute"
    " flips: of images without it by +1, +2, ... standard deviations of w, of images with it by -1,"
    " -2, ...; and the share of all other attributes that flip as well. With --components instead:"
    " the directions in which w varies most, which need no classifiers and take seconds.",
    params=[
        *(INPUTS[key] for key in _INPUTS),
        click.Option(
            ["--out"],
            type=SAFETENSORS,
            required=True,
            help="File of directions to write (.safetensors).",
        ),
        click.Option(
            ["--components"],
            type=click.IntRange(min=1),
            metavar="K",
            help="Instead of attributes: the first K principal components of w (pc1, pc2, ...) of"
            " --num latents of --seed.",
        ),
        *options_of(DirectionsSettings),
        click.Option(["--csv"], type=CSV, help="Append the shares to this table."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the shares as JSON."),
    ],
)


@click.group(cls=ErrorLineGroup)
def classifiers() -> None:
    """Attribute classifiers, which linear separability needs.

    \b
    stylegan-data avatars avatars.zip --count 8000 --resolution 32
    stylegan-eval classifiers train --data avatars.zip --out attributes.safetensors
    """


def _train(data: Path, out: Path, device: str, **values: Any) -> None:
    settings = TrainSettings(**values)
    check_writable(out)

    from stylegan_eval.classifiers import classifier, storage, training
    from stylegan_eval.engine.device import pick_device
    from stylegan_eval.images.files import open_images

    where = pick_device(device)
    with open_images(data) as files:
        record, network = training.train(files, settings, where)
    storage.save_classifier(out, record, network)
    say(classifier.table(record))


classifiers.add_command(
    ErrorLineCommand(
        "train",
        callback=_train,
        help="Train a classifier of all attributes; a tenth of the images is held out to test it."
        " Prints the same table as show.",
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

    from stylegan_eval.classifiers import classifier, storage

    loaded = storage.load_classifier(file, torch.device("cpu"))
    say(f"{classifier.table(loaded.record)}\n\nsha256 {loaded.sha256}")


def _write(out: Path, **values: Any) -> None:
    from stylegan_eval.engine.stats_file import check_new, write_stats
    from stylegan_eval.metrics.image_metrics import moments_of
    from stylegan_eval.metrics.measure import open_run

    inputs = Inputs(**{key: values.pop(key) for key in ("data", "weights", "device")})
    settings = StatsSettings(**values)
    refuse_idle(settings.idle)
    run = open_run(inputs.device)
    check_new(out)
    features, about = moments_of(inputs, settings, run)
    if run.processes.is_first:
        write_stats(out, features.moments, about)
        network = features.detector
        count = features.moments.count
        say(f"{out}: {count} images, {network.feature_dim} features of {network.identity}")
    run.finish()


stats = ErrorLineCommand(
    "stats",
    callback=_write,
    help="Write mu and sigma of the features of images to OUT.npz, for fid --data OUT.npz.",
    params=[
        click.Argument(["out"], type=FILE, metavar="OUT.npz"),
        click.Option(["--data"], type=FILE, help=f"Images, as {FORMATS}."),
        *(INPUTS[key] for key in ("weights", "device")),
        *options_of(StatsSettings),
    ],
)
