"""`stylegan-eval`: a subcommand per metric of the catalogue, its options made from the settings."""

import dataclasses
import importlib
import typing
from pathlib import Path
from typing import Any

import click

from stylegan_eval.catalogue import METRICS, Entry
from stylegan_eval.command import ErrorLineGroup
from stylegan_eval.settings import Inputs

FILE = click.Path(path_type=Path)


@click.group(cls=ErrorLineGroup)
def main() -> None:
    """Measure image generators. Results go to stdout, progress to stderr.

    \b
    stylegan-eval fid --ckpt runs/f32 --data avatars.zip --num 2000 \\
        --features efficientnet-lite0 --csv results.csv
    """


def _options(settings: type) -> list[click.Parameter]:
    """Return one option per field of a settings class."""
    hints = typing.get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        choices = typing.get_args(hints[field.name])
        flag = hints[field.name] is bool
        options.append(
            click.Option(
                [f"--{field.name}"],
                default=field.default,
                show_default=not flag,
                is_flag=flag,
                type=click.Choice(choices) if choices else hints[field.name],
                help=field.metadata["help"],
            )
        )
    return options


def _inputs() -> list[click.Parameter]:
    return [
        click.Option(["--ckpt"], type=FILE, help="Checkpoint of the generator."),
        click.Option(["--data"], type=FILE, help="Real images: a folder or a zip."),
        click.Option(["--weights"], type=FILE, help="Weights of the feature network."),
        click.Option(
            ["--device"], default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
        ),
    ]


def _outputs() -> list[click.Parameter]:
    return [
        click.Option(["--csv"], type=FILE, help="Append the result to this table."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON."),
    ]


def _command(name: str, entry: Entry) -> click.Command:
    inputs = {field.name for field in dataclasses.fields(Inputs)}

    # The options are made from two dataclasses, so they arrive by name.
    def run(csv: Path | None, as_json: bool, **values: Any) -> None:
        from stylegan_eval import results

        named = Inputs(**{key: values.pop(key) for key in inputs})
        settings = entry.settings(**values)
        if csv is not None:
            results.read_table(csv)  # a file of another kind is told before the work, not after
        rows = importlib.import_module(entry.module).evaluate(named, settings)
        for row in rows:
            if row.note:
                click.echo(f"warning: {row.note}", err=True)
        click.echo(results.to_json(rows) if as_json else "\n".join(map(results.summary, rows)))
        if csv is not None:
            results.append_csv(csv, rows)

    return click.Command(
        name,
        callback=run,
        help=entry.help,
        params=[*_inputs(), *_options(entry.settings), *_outputs()],
    )


for _name, _entry in METRICS.items():
    main.add_command(_command(_name, _entry))
