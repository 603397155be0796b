"""The command `stylegan-train`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan_eval.command import ErrorLineCommand, power_of_two

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from stylegan.configs import Config

_NAMES = ("A", "B", "C", "D", "E", "F")
_DEFAULT_PRESET = "paper-ffhq-1gpu"
_FROM_OUT = Path("auto")  # --resume without a value


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
# What to train.
@click.option("--config", "row", type=click.Choice(_NAMES), help="Row of Table 1.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="ZIP|DIR",
    help="Images: an archive or a folder of square images of one size.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help=f"Data set and scale, `--preset list` names them.  [default: {_DEFAULT_PRESET}]",
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
    type=click.FloatRange(min=0, min_open=True),
    help="Length in thousands of real images.  [default: the preset's]",
)
@click.option(
    "--mirror/--no-mirror", default=None, help="Mirror images at random.  [default: the preset's]"
)
@click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, help="Random seed.")
# Where, and how often to save.
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the run.")
@click.option(
    "--snapshot-kimg",
    type=click.FloatRange(min=0, min_open=True),
    help="Checkpoint and sample sheet every so many kimg.  [default: a twentieth of the length]",
)
@click.option("--keep", type=click.IntRange(min=1), default=3, help="Checkpoints to keep.")
@click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--cache", type=click.Path(path_type=Path), metavar="DIR", help="Folder of prepared images."
)
# Other than training from scratch.
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=_FROM_OUT,
    metavar="[CKPT]",
    help="Continue the run in --out, or from a checkpoint, as if it had never stopped.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained, and stop.")
def main(
    row: str | None,
    data: Path | None,
    preset: str | None,
    resolution: int | None,
    kimg: float | None,
    mirror: bool | None,
    seed: int,
    out: Path | None,
    snapshot_kimg: float | None,
    keep: int,
    device: str,
    cache: Path | None,
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Train StyleGAN, configuration A to F.

    \b
    stylegan-data avatars avatars.zip --count 10000 --resolution 32
    stylegan-train --config F --preset demo-32 --data avatars.zip --out runs/f32
    stylegan-train --resume --out runs/f32

    The run's folder receives checkpoint-*.pt, sample sheets fakes-*.png, log.jsonl and train.log.
    Ctrl-C and SIGTERM save a checkpoint first.
    """
    if preset == "list":
        _list_presets()
        return
    if not resume and row is None:
        raise click.UsageError("which row of Table 1? Give --config A, B, C, D, E or F")
    if not dry_run and out is None:
        raise click.UsageError("where to? Give --out DIR")
    if not dry_run and not resume and data is None:
        raise click.UsageError("trained on what? Give --data ZIP|DIR")

    from stylegan.runtime import Runtime

    runtime = Runtime.choose(device)

    def revise(trained: "Config | None") -> "Config":
        """What the options ask for, beginning with a checkpoint's configuration if there is one."""
        options = {"resolution": resolution, "total_kimg": kimg, "mirror": mirror}
        return _resolve(trained, row, preset, options, data, cache)

    if dry_run:
        _dry_run(revise, resume, out, runtime.device)
        return
    assert out is not None
    from stylegan.training.run import RunSettings, read_settings, resume_run, start_run

    if resume:
        settings = read_settings(out)
        settings = replace(settings, data=data or settings.data, cache=cache)
        path = resume_run(_resumed(resume, out), revise, settings, runtime)
    else:
        assert data is not None
        wanted = revise(None)
        interval = snapshot_kimg or max(wanted.schedule.total_kimg / 20, 1.0)
        settings = RunSettings(
            out=out, data=data, seed=seed, snapshot_kimg=interval, keep=keep, cache=cache
        )
        path = start_run(wanted, settings, runtime)
    click.echo(path)


def _resumed(resume: Path, out: Path | None) -> Path:
    source = out if resume == _FROM_OUT else resume
    if source is None:
        raise click.UsageError("resume what? Give --out DIR or --resume CKPT")
    return source


def _list_presets() -> None:
    from stylegan.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        click.echo(f"{name:{width}s}  {preset.description}")


def _resolve(
    trained: "Config | None",
    row: str | None,
    preset: str | None,
    options: "dict[str, Any]",
    data: Path | None,
    cache: Path | None,
) -> "Config":
    """Row, preset and options as one configuration; what is not given is `trained`'s."""
    from stylegan.configs import CONFIGS
    from stylegan.datasets.pyramid import open_pyramid
    from stylegan.presets import apply_preset, with_options

    if trained is not None and preset is None:
        config = trained if row is None else replace(trained, name=row)
    else:
        config = apply_preset(CONFIGS[row or "F"], preset or _DEFAULT_PRESET)
        if options["resolution"] is None and preset is None and data is not None:
            options = options | {"resolution": open_pyramid(data, cache=cache).resolution}
    return with_options(config, **options)


def _dry_run(
    revise: "Callable[[Config | None], Config]",
    resume: Path | None,
    out: Path | None,
    device: "torch.device",
) -> None:
    from stylegan.checkpoint import load_config, newest_checkpoint, read_checkpoint
    from stylegan.training.describe import describe

    trained = None
    if resume:
        trained, _ = load_config(read_checkpoint(newest_checkpoint(_resumed(resume, out))))
    for line in describe(revise(trained), device):
        click.echo(line)


if __name__ == "__main__":
    main()
