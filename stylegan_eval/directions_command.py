"""`stylegan-eval directions`: find attribute directions in W, and try them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_eval.command import ErrorLineCommand, say
from stylegan_eval.files import check_writable
from stylegan_eval.option_types import CSV, SAFETENSORS
from stylegan_eval.options import INPUTS, options_of
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.directions import DirectionsSettings

if TYPE_CHECKING:
    from stylegan_eval.evaluation.directions import FoundDirections

_INPUTS = ("ckpt", "generator", "range", "classifiers", "device")


def _find(out: Path, csv: Path | None, as_json: bool, **values: Any) -> None:
    from stylegan_eval import results
    from stylegan_eval.directions import write_directions
    from stylegan_eval.evaluation.directions import evaluate
    from stylegan_eval.evaluation.run import open_run

    inputs = Inputs(**{key: values.pop(key) for key in _INPUTS})
    settings = DirectionsSettings(**values)
    check_writable(out)
    if csv is not None:
        results.read_table(csv)
    run = open_run(inputs.device)
    found = evaluate(inputs, settings, run)
    if found is not None:
        write_directions(out, found.directions)
        click.echo(results.to_json(found.rows) if as_json else table(found, settings))
        for note in _notes(found, settings.samples):
            say(f"note: {note}", err=True)
        if csv is not None:
            results.append_csv(csv, found.rows, run.receipt)
    run.finish()


def table(found: "FoundDirections", settings: DirectionsSettings) -> str:
    """A line per attribute: the fit, then shares that turned when moved by each strength."""
    strengths = settings.strengths
    width = max(len(name) for name in ("attribute", *found.directions.names))
    moves = [f"{sign}{strength:g}" for sign in "+-" for strength in strengths]
    said = f"others by {settings.strength:g}"
    lines = [
        f"{'attribute':{width}}  share  accuracy  spread"
        + "".join(f"{move:>6}" for move in moves)
        + f"  {said}"
    ]
    by_name = {each.name: each for each in found.details}
    for flips in found.flips:
        fit = by_name[flips.name]
        turned = [*flips.lacking.turned, *flips.having.turned]
        others = flips.others[strengths.index(settings.strength)]
        lines.append(
            f"{fit.name:{width}}  {fit.share:5.3f}  {fit.accuracy:8.3f}  {fit.spread:6.3f}"
            + "".join(f"{share:6.2f}" for share in turned)
            + f"  {others:{len(said)}.2f}"
        )
    return "\n".join(lines)


def _notes(found: "FoundDirections", samples: int) -> list[str]:
    notes = [
        *found.notes,
        *(f"no direction for {each.name}: {each.error}" for each in found.details if each.error),
    ]
    few = [
        f"{flips.name} was tried on {flips.lacking.count} images without and {flips.having.count}"
        " with it: there were no more among the fresh ones"
        for flips in found.flips
        if min(flips.lacking.count, flips.having.count) < samples
    ]
    return notes + few


directions = ErrorLineCommand(
    "directions",
    callback=_find,
    help="Find where in W each attribute lies: the normal of the hyperplane that linear"
    " separability fits. Then move fresh images along it, and print the share whose verdict on the"
    " attribute turns: of images without it by +1, +2, ... standard deviations of w, of images with"
    " it by -1, -2, ...; and the share of verdicts on all other attributes that turned as well.",
    params=[
        *(INPUTS[key] for key in _INPUTS),
        click.Option(
            ["--out"],
            type=SAFETENSORS,
            required=True,
            help="File of directions to write (.safetensors).",
        ),
        *options_of(DirectionsSettings),
        click.Option(["--csv"], type=CSV, help="Append the shares to this table."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the shares as JSON."),
    ],
)
