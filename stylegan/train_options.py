"""Values of `stylegan-train`'s options."""

from pathlib import Path

import click

ROWS = ("A", "B", "C", "D", "E", "F")


class RowOrFile(click.ParamType[str | Path]):
    """A row of Table 1, or a JSON file of a whole configuration."""

    name = "config"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """Tell a row from a file; the file is not read."""
        if isinstance(value, Path) or value in ROWS:
            return value
        path = Path(value)
        if "/" not in value and path.suffix != ".json" and not path.exists():
            self.fail(f"{value!r} is not one of {', '.join(ROWS)}, nor a JSON file", param, ctx)
        return path


def check_config_options(
    config: str | Path | None, *, preset: str | None, resolution: int | None
) -> None:
    """Refuse options beside a file that already says what they would.

    Raises
    ------
    click.UsageError
        Such an option is there.
    """
    if isinstance(config, Path):
        for name, value in (("--preset", preset), ("--resolution", resolution)):
            if value is not None:
                raise click.UsageError(
                    f"--config {config} is a whole configuration: leave out {name}"
                )


def list_presets() -> None:
    """Print the presets, a line each."""
    from stylegan.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        click.echo(f"{name:{width}s}  {preset.description}")


def has_checkpoints(folder: Path | None) -> bool:
    """Whether a folder seems to hold a run, which need not be told again what it is."""
    return folder is not None and any(folder.glob("checkpoint-*.pt"))


def run_folder(checkpoint: Path) -> Path | None:
    """Folder of the run that a checkpoint, or the folder itself, belongs to, if it is one."""
    from stylegan.opening import check_resumable

    check_resumable(checkpoint)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return folder if (folder / "run.json").is_file() else None
