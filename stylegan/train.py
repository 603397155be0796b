"""The command `stylegan-train`."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.presets import Tuning
from stylegan.training.settings import RunSettings
from stylegan_eval.engine.command import (
    ErrorLineCommand,
    ErrorLineGroup,
    refuse_typed,
    typed_arguments,
)
from stylegan_eval.engine.options import (
    CSV,
    PNG,
    NetworkPath,
    Number,
    OutFile,
    options_of,
    power_of_two,
)

if TYPE_CHECKING:
    from stylegan.runtime import Runtime
    from stylegan.training.request import TrainOptions

_NEWEST = Path("newest")  # --resume without a value
_AUTO = Path("auto")


class RowOrFile(click.ParamType[str | Path]):
    """A row of Table 1, or a JSON file of a whole configuration."""

    name = "config"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | Path:
        """Tell a row from a file; the file is not read."""
        from stylegan.configs import CONFIGS

        if isinstance(value, Path) or value in CONFIGS:
            return value
        path = Path(value)
        if "/" not in value and path.suffix != ".json" and not path.exists():
            self.fail(f"{value!r} is not one of {', '.join(CONFIGS)}, nor a JSON file", param, ctx)
        return path


@click.group(
    cls=ErrorLineGroup,
    invoke_without_command=True,
    subcommand_metavar="[status DIR...]",
    context_settings={"show_default": True},
)
# What to train.
@click.option(
    "--config",
    type=RowOrFile(),
    metavar="A|B|C|D|E|F|FILE.json",
    help="Row of Table 1, or a file of a whole configuration (--print-config).",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="ZIP|DIR",
    help="Images: an archive or a folder of square images of one size.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="Data set and scale, `--preset list` names them.  [default: auto; at 1024 px"
    " paper-ffhq-1gpu]",
)
@click.option(
    "--resolution",
    type=int,
    callback=power_of_two,
    metavar="R",
    help="Full resolution in pixels.  [default: the preset's, or that of the data]",
)
@click.option(
    "--kimg",
    type=Number(min=0, min_open=True),
    help="Length in thousands of real images.  [default: the preset's]",
)
@click.option(
    "--mirror/--no-mirror", default=None, help="Mirror images at random.  [default: the preset's]"
)
@click.option("--cond", is_flag=True, help="Train a conditional network on the labels of the data.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the run.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--gpus",
    type=click.IntRange(min=1),
    metavar="N",
    help="Start N processes on this machine, one per GPU (with --device cpu, on its cores).",
)
# Other than training from scratch.
@click.option(
    "--resume",
    type=NetworkPath(),
    is_flag=False,
    flag_value=_NEWEST,
    metavar="[CKPT|auto]",
    help="Continue the run in --out, or from a checkpoint, as if it had never stopped; auto starts"
    " the run where there is none yet.",
)
@click.option(
    "--init",
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Start with the networks of a file (demo: the bundled one), as a new run.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained, and stop.")
@click.option(
    "--print-config", is_flag=True, help="Print the configuration as JSON for --config, and stop."
)
@click.pass_context
def main(
    ctx: click.Context,
    /,
    config: str | Path | None,
    data: Path | None,
    out: Path | None,
    device: str,
    gpus: int | None,
    resume: Path | None,
    init: Path | None,
    dry_run: bool,
    print_config: bool,
    **values: Any,
) -> None:
    """Train StyleGAN, configuration A to F.

    \b
    stylegan-data avatars avatars.zip --count 10000 --resolution 32
    stylegan-train --config F --preset demo-32 --data avatars.zip --out runs/f32
    stylegan-train --resume --out runs/f32
    torchrun --nproc-per-node 8 -m stylegan.train --config F --data ffhq.zip --preset paper-ffhq \\
        --out runs/ffhq

    The run's folder receives checkpoint-*.pt, sample sheets fakes-*.png, log.jsonl and train.log.
    Ctrl-C, SIGTERM and SIGUSR1 save a checkpoint first.
    """
    if ctx.invoked_subcommand is not None:
        others = {param.name for param in ctx.command.params} - {"quiet"}
        refuse_typed(others, f"is for a training: leave it out with {ctx.invoked_subcommand}")
        return
    if values["preset"] == "list":
        _list_presets()
        return
    _refuse_beside(ctx.params)
    trains = not (dry_run or print_config)
    if resume and init:
        raise click.UsageError("--resume continues a run, --init starts one: give one of them")
    auto = resume == _AUTO
    resume, out = _what_to_resume(resume, out)
    goes_on = resume is not None or (auto and out is not None and any(out.glob("checkpoint-*.pt")))
    if config is None and not (goes_on or init):
        raise click.UsageError("which row of Table 1? Give --config A, B, C, D, E or F")
    if trains and out is None:
        raise click.UsageError("where to? Give --out DIR")
    if data is None and not goes_on and (trains or values["cond"]):
        raise click.UsageError(
            f"{'trained on what' if trains else 'labels of what'}? Give --data ZIP|DIR"
        )
    if gpus is not None and trains:
        _start(ctx, gpus, device)

    from stylegan.runtime import Runtime
    from stylegan.training.batches import look_at
    from stylegan.training.request import (
        TrainOptions,
        config_lines,
        hardware_of,
        plan_lines,
        processes_to_plan,
    )

    runtime = Runtime.join(device)
    planned = runtime if trains else processes_to_plan(runtime, gpus)
    if values["workers"] is None and runtime.device.type == "cuda":
        values["workers"] = 2
    changes = ("preset", "resolution", "kimg", "mirror", "cond")
    wanted = TrainOptions(
        config=config,
        data=data,
        out=out,
        resume=resume,
        auto=auto,
        init=init,
        plans=dry_run,
        **{name: values.pop(name) for name in changes},
        tuning=Tuning(**{entry.name: values.pop(entry.name) for entry in fields(Tuning)}),
        settings=values,
        hardware=lambda: hardware_of(runtime, planned),
        look=cache(partial(look_at, cache=values["cache"])),
    )
    if trains:
        _train(wanted, runtime)
    elif runtime.is_first:
        lines = [config_lines(wanted)] if print_config else plan_lines(wanted, planned)
        for line in lines:
            click.echo(line)
    runtime.processes.exit(0)


def _list_presets() -> None:
    """Print the presets, a line each."""
    from stylegan.presets import AUTO, PRESETS

    rows = {
        AUTO: "Values by data and hardware, the default except at 1024x1024; --dry-run explains"
    }
    rows |= {name: preset.description for name, preset in PRESETS.items()}
    width = max(map(len, rows))
    for name, description in rows.items():
        click.echo(f"{name:{width}s}  {description}")


def _refuse_beside(values: Mapping[str, Any]) -> None:
    """Refuse options beside others that already say what they would."""
    if values["dry_run"] and values["print_config"]:
        raise click.UsageError("--dry-run and --print-config: give one of them")
    config = values["config"]
    for name in ("preset", "resolution"):
        if isinstance(config, Path) and values[name] is not None:
            raise click.UsageError(
                f"--config {config} is a whole configuration: leave out --{name}"
            )


def _start(ctx: click.Context, gpus: int, device: str) -> None:
    """Start the processes of --gpus and leave, unless this is one of them."""
    if "RANK" not in os.environ:
        from stylegan.training.request import launch

        ctx.exit(launch(typed_arguments(), gpus, device))
    if (started := os.environ.get("WORLD_SIZE")) != str(gpus):
        raise click.UsageError(f"--gpus {gpus}: torchrun has started {started}: leave --gpus out")


def _what_to_resume(resume: Path | None, out: Path | None) -> tuple[Path | None, Path | None]:
    """Checkpoint to continue, None for auto; and the run's folder, if known."""
    if resume not in (_NEWEST, _AUTO):
        folder = _run_folder(resume) if resume else None  # which refuses what cannot be resumed
        return resume, out or folder
    if out is None:
        raise click.UsageError("resume what? Give --out DIR or --resume CKPT")
    return (out if resume == _NEWEST else None), out


def _run_folder(checkpoint: Path) -> Path | None:
    """Folder of the run that a checkpoint, or the folder itself, belongs to, if it is one."""
    from stylegan.opening import check_resumable

    check_resumable(checkpoint)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return folder if (folder / "run.json").is_file() else None


def _train(wanted: "TrainOptions", runtime: "Runtime") -> None:
    from stylegan.training.request import train_as

    try:
        path = train_as(wanted, runtime)
    except SystemExit as stopped:  # a signal came, to all
        runtime.processes.exit(int(stopped.code or 0))
        raise
    if runtime.is_first:
        click.echo(path)


for _option, _settings in (("out", RunSettings), ("mirror", Tuning)):
    _after = [param.name for param in main.params].index(_option) + 1
    main.params[_after:_after] = options_of(_settings, remembered=True)


@main.command("status", cls=ErrorLineCommand)
@click.argument(
    "folders", type=click.Path(path_type=Path), metavar="DIR...", nargs=-1, required=True
)
@click.option(
    "-o",
    "picture",
    type=PNG,
    metavar="PNG",
    help="Also draw losses, scores, metric, speed, memory and the newest sample sheet.",
)
@click.option(
    "--csv",
    "table",
    type=CSV,
    metavar="CSV",
    help="Also write the ticks as a table, with the metrics measured by then.",
)
@click.option(
    "--film",
    type=OutFile(".png", ".gif", ".mp4", ".apng"),
    metavar="FILE",
    help="Also show the same latents at all snapshots: a contact sheet (.png), or a film of the"
    " sample sheets (.gif, .mp4, .apng).",
)
def status_command(
    folders: tuple[Path, ...], picture: Path | None, table: Path | None, film: Path | None
) -> None:
    """Show a run: progress, time left by phase, losses, metrics, checkpoints, trouble.

    Of several runs: a table and their learning curves beside each other, and in which settings they
    differ. Reads the runs' folders alone, so it works beside a live run and long after it.
    """
    from stylegan.training.status import read_status, status_lines, write_table

    if film is not None and len(folders) > 1:
        raise click.UsageError("--film is of one run: name one folder")
    statuses = [read_status(folder) for folder in folders]
    command = shlex.join(["stylegan-train", *typed_arguments()])
    if len(statuses) == 1:
        lines = status_lines(statuses[0])
    else:
        from stylegan.training.comparison import comparison_lines

        lines = comparison_lines(statuses)
    for line in lines:
        click.echo(line)
    if picture is not None:
        from stylegan.training.pictures import draw

        draw(statuses, picture, command)
        click.echo(f"drew {picture}", err=True)
    if table is not None:
        write_table(statuses, table)
        click.echo(f"wrote {table}", err=True)
    if film is not None:
        from stylegan.training.pictures import write_sheets

        write_sheets(statuses[0], film, command)
        click.echo(f"wrote {film}", err=True)


if __name__ == "__main__":
    main()
