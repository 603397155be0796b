"""Make, measure and check the network that the package carries, and write its page."""

import json
import math
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks.demo.__main__ import MODULES
from benchmarks.scales import AVATAR_ATTRIBUTES
from stylegan.configs import CONFIGS, Config
from stylegan.network_file import read_network, save_network
from stylegan.opening import DEMO, DEMO_FILE, demo_path, open_networks
from stylegan.presets import PRESETS, Tuning, apply_preset, with_options
from stylegan.snapshot import Facts, Provenance, Score, Snapshot
from stylegan_eval.engine.command import ErrorLineGroup
from stylegan_eval.engine.files import atomic_write, copy_file, sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.results.formatting import result_text, with_error

PAGE = Path(__file__).parents[2] / "docs" / "demo-network.md"

_BEGINNING = """\
# The bundled network

Wherever a command takes a checkpoint, the name `demo` means the network bundled with the package,
so that there is something real to measure, sample and train further in the first minute:

    stylegan-sample grid --ckpt demo --seeds 0-31 --psi 0.7 grid.png
    stylegan-eval ppl --ckpt demo --distance st-lpips-alex --crop none -n 1000
    stylegan-train --init demo --data own64.zip --kimg 100 --out runs/own
    stylegan-sample info --ckpt demo

A file or folder of that name is written `./demo`. It holds the EMA of the generator weights,
which is sampled and measured, and the generator and discriminator, from which training continues;
it has no optimizer state, so no run resumes from it.
"""

_END = """\
`fd_efficientnet-lite0` is a Fréchet distance of features that a package ships, so that it needs no
download: it is not an FID and is comparable only with itself. Its `_floor` is that between two
halves of the real images, of fewer images, and so biased further upwards. The standard errors are
those of other latents, on the same real images and with the same classifiers.

## Measure it again

    python -m benchmarks.demo.network check --data avatars64.zip --seed 1

draws other latents, and exits with 1 if a score differs from the stated one by more than four
standard errors of the difference. Scores without a standard error are shown but not checked.
"""
THEN = " && "  # between the commands of a training that went on from another
LARGEST = 8_000_000  # bytes that a package may carry
WORST = 4.0  # standard errors between two measurements of one network
# What commands call the files that users name themselves.
DATA, CLASSIFIERS = "avatars64.zip", "attributes64.safetensors"
PACKAGED = Path(__file__).parents[2] / "stylegan" / DEMO_FILE
_METRICS = ("floor", "fid", "ppl", "ls")
_FILE = click.Path(path_type=Path)


def page(path: Path) -> str:
    """Text of the page on a network file."""
    content = read_network(path)
    return "\n".join([_BEGINNING, *_made(path, content), *_scores(content), _END])


def _made(path: Path, content: Snapshot) -> Iterator[str]:
    config = content.config
    trainings = content.facts.command.split(THEN)
    yield "## How it was made\n"
    yield from (f"    {training}" for training in trainings)
    size = f"{config.resolution}x{config.resolution}"
    lengths = [value_of(training, "--kimg") for training in trainings]
    kimg = " + ".join(lengths) if all(lengths) else f"{content.nimg / 1000:g}"
    yield f"\nConfiguration {config.name} at {size}, {kimg} kimg, level of detail {content.lod:g};"
    yield f"{path.stat().st_size:,} bytes, SHA-256 `{sha256_of(path)}`.\n"
    for note in content.facts.note.split("; "):
        name, colon, command = note.partition(": ")
        yield f"`{name}`:\n\n    {command}\n" if colon else f"{note.capitalize()}.\n"


def _scores(content: Snapshot) -> Iterator[str]:
    yield "## What it scores\n"
    yield "| metric | value | standard error |\n|---|---|---|"
    for score in content.facts.scores:
        value, _, error = with_error(score.value, score.stderr).partition(" ± ")
        yield f"| `{score.metric}` | {value} | {error} |"
    yield "\nmeasured by\n"
    for command in dict.fromkeys(score.command for score in content.facts.scores):
        yield f"    {command}"
    yield ""


def value_of(command: str, option: str) -> str:
    """The value of an option in a command; empty where there is none."""
    words = shlex.split(command)
    return words[words.index(option) + 1] if option in words else ""


def with_values(command: str, values: Mapping[str, str]) -> list[str]:
    """Words of a command whose options have other values; an option that is absent stays so."""
    words = shlex.split(command)
    for place, word in enumerate(words[:-1]):
        if word in values:
            words[place + 1] = values[word]
    return words


def run(words: Sequence[str]) -> str:
    """Print a command, run it with this Python and return its output; exit where it fails."""
    click.echo(f"$ {shlex.join(words)}")
    command = [sys.executable, "-m", MODULES[words[0]], *words[1:]]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    return done.stdout


def measured(command: str, files: Mapping[str, str], seed: int | None = None) -> list[Score]:
    """Scores of a `stylegan-eval` command, run with these files instead of the documents' names."""
    values = {**files, **({} if seed is None else {"--seed": str(seed)})}
    rows = json.loads(run([*with_values(command, values), "--json"]))["results"]
    return [
        Score(metric=row["metric"], value=row["value"], stderr=row["stderr"], command=command)
        for row in rows
        if "/" not in row["metric"]
    ]


def commands(
    metrics: Sequence[str], *, num: int, floor_num: int, pairs: int, ls_num: int
) -> Iterator[str]:
    """Yield what measures the network, with the names that documents use."""
    compared = f"--data {DATA} --features efficientnet-lite0"
    every = {
        "floor": f"fid --floor --mirror yes {compared} -n {floor_num} --seed 0",
        "fid": f"fid --ckpt {DEMO} {compared} -n {num} --seed 0",
        "ppl": f"ppl --ckpt {DEMO} --distance st-lpips-alex --crop none -n {pairs} --seed 0",
        "ls": (
            f"ls --ckpt {DEMO} --classifiers {CLASSIFIERS} --attributes {AVATAR_ATTRIBUTES}"
            f" -n {ls_num} --keep {ls_num // 2} --seed 0"
        ),
    }
    for metric in metrics:
        yield f"stylegan-eval {every[metric]}"


def training_command(
    config: Config, provenance: Provenance, out: str = "demo64", init: str = ""
) -> str:
    """Command that trains a configuration, from the networks of `init` where one is named.

    What no preset and option make comes from a file.
    """
    how, schedule = f"--config {config.name}.json", config.schedule
    length = schedule.total_kimg
    tuning = Tuning(lrate=schedule.lrate_base, ema_kimg=schedule.ema_kimg)
    for name in PRESETS if config.name in CONFIGS else ():
        row = with_options(apply_preset(CONFIGS[config.name], name), total_kimg=length)
        if init:  # as `--init` begins: at the resolution that the networks were trained to
            begun = replace(row.schedule, initial_resolution=schedule.initial_resolution)
            row = replace(row, schedule=begun)
        if config in (row, tuning.apply(row)):
            how = f"--config {config.name} --preset {name}"
            if row.schedule.lrate_base != schedule.lrate_base:
                how = f"{how} --lrate {schedule.lrate_base:g}"
            if row.schedule.ema_kimg != schedule.ema_kimg:
                how = f"{how} --ema-kimg {schedule.ema_kimg:g}"
            break
    begins = f"--init {init} " if init else ""
    precision = provenance.execution[0][1].split()[0].rstrip(",")
    return (
        f"stylegan-train {begins}{how} --kimg {length:g} --precision {precision} --data {DATA}"
        f" --seed {provenance.seed} --out {out}"
    )


def training_commands(trainings: Sequence[tuple[Path, Snapshot]]) -> list[str]:
    """Commands of trainings, each of which began with the networks of the one before."""
    commands: list[str] = []
    began = ""
    for path, snapshot in trainings:
        if not commands and snapshot.facts.command:
            commands = snapshot.facts.command.split(THEN)
        elif snapshot.provenance.init != began:
            begun = snapshot.provenance.init
            fault = f"began with networks of SHA-256 {begun[:12]}..." if begun else "began anew"
            raise UserError(f"{path} {fault}: name what it went on from, and no other, by --after")
        else:
            init = value_of(commands[-1], "--out") if commands else ""
            out = f"demo64-{len(commands) + 1}" if commands else "demo64"
            commands.append(training_command(snapshot.config, snapshot.provenance, out, init))
        began = sha256_of(path)
    return commands


def classifiers_command(epochs: int) -> str:
    """Command that trains the classifiers."""
    train = f"stylegan-eval classifiers train --data {DATA} --epochs {epochs}"
    return f"{train} --skip-constant --out {CLASSIFIERS}"


def files_of(ckpt: Path, data: Path, classifiers: Path | None, train: str) -> dict[str, str]:
    """Files by the options that name them; classifiers are made by the command `train`."""
    classifiers = classifiers or data.parent / CLASSIFIERS
    if train and not classifiers.exists():
        run(with_values(train, {"--data": str(data), "--out": str(classifiers)}))
    return {"--ckpt": str(ckpt), "--data": str(data), "--classifiers": str(classifiers)}


def apart(stated: Score, found: Score) -> float | None:
    """Difference of two scores in standard errors of it; None where unknown."""
    if stated.stderr is None or found.stderr is None:
        return None
    error = math.hypot(stated.stderr, found.stderr)
    difference = abs(found.value - stated.value)
    return difference / error if error > 0 else (math.inf if difference else 0.0)


def check_size(path: Path) -> None:
    """Refuse a file that is too large for the package."""
    size = path.stat().st_size
    if size > LARGEST:
        raise UserError(f"the file would have {size} bytes, more than {LARGEST}: choose another")


@click.group(cls=ErrorLineGroup, context_settings={"show_default": True})
def main() -> None:
    """Measure and pack the network that the package carries, or measure it again."""


@main.command()
@click.argument("source", type=_FILE, metavar="RUN_FOLDER|CKPT")
@click.option(
    "--after",
    type=_FILE,
    multiple=True,
    help="Network file or run that the training went on from; several: the first one first.",
)
@click.option("--data", type=_FILE, required=True, help="Avatars at 64x64 with attributes.")
@click.option("--out", type=_FILE, default=PACKAGED, help="File to write.")
@click.option("--classifiers", type=_FILE, help="File of classifiers.  [default: beside the data]")
@click.option("--metrics", default=",".join(_METRICS), help="Which to measure.")
@click.option("--num", type=int, default=10_000, help="Images of the distance.")
@click.option("--pairs", type=int, default=5000, help="Pairs of path length.")
@click.option("--ls-num", type=int, default=10_000, help="Images of separability.")
@click.option("--epochs", type=int, default=8, help="Of the classifiers' training.")
def make(
    source: Path,
    after: tuple[Path, ...],
    data: Path,
    out: Path,
    classifiers: Path | None,
    **choices: Any,
) -> None:
    """Measure the newest checkpoint of a run, and write it with its scores."""
    metrics = choices["metrics"].split(",")
    if unknown := sorted(set(metrics) - set(_METRICS)):
        raise UserError(f"--metrics {unknown[0]}: expected some of {', '.join(_METRICS)}")
    trainings = [open_networks(path) for path in (*after, source)]
    snapshot = trainings[-1][1]
    config = snapshot.config
    with open_images(data) as files:
        count = len(files)
    size = config.resolution
    note = f"{DATA}: stylegan-data avatars {DATA} --count {count} --resolution {size} --seed 0"
    if snapshot.nimg < 1000 * config.schedule.total_kimg:
        note = f"{note}; the training stopped at {snapshot.nimg / 1000:g} kimg"
    train = classifiers_command(choices["epochs"]) if "ls" in metrics else ""
    if train:
        note = f"{note}; {CLASSIFIERS}: {train}"
    facts = Facts(command=THEN.join(training_commands(trainings)), note=note)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / DEMO_FILE  # measured is the form that users will have
        save_network(packed, replace(snapshot, facts=facts))
        check_size(packed)
        files_by_option = files_of(packed, data, classifiers, train)
        scores: list[Score] = []
        for command in commands(
            metrics,
            num=choices["num"],
            floor_num=min(choices["num"], count // 2),
            pairs=choices["pairs"],
            ls_num=choices["ls_num"],
        ):
            scores += measured(command, files_by_option)
        save_network(packed, replace(snapshot, facts=replace(facts, scores=tuple(scores))))
        check_size(packed)
        with atomic_write(out) as temporary:
            copy_file(packed, temporary)
    for score in scores:
        click.echo(f"{score.metric} {result_text(score.value, score.stderr)}")
    click.echo(f"{out}: {out.stat().st_size} bytes")


@main.command()
@click.option("--data", type=_FILE, required=True, help="The images that the file was made with.")
@click.option("--ckpt", type=_FILE, help="Network file.  [default: the package's]")
@click.option("--classifiers", type=_FILE, help="File of classifiers.  [default: beside the data]")
@click.option("--seed", type=int, default=1, help="Of latents and noise.")
def check(data: Path, ckpt: Path | None, classifiers: Path | None, seed: int) -> None:
    """Measure the package's network with another seed, and compare with what it states.

    Exits with 1 where a score is more than 4 standard errors away.
    """
    path = demo_path() if ckpt is None else ckpt
    facts = read_network(path).facts
    if not facts.scores:
        raise UserError(f"{path} states no scores: make it with python -m benchmarks.demo.network")
    train = facts.note.partition(f"{CLASSIFIERS}: ")[2]
    files_by_option = files_of(path, data, classifiers, train)
    stated = {score.metric: score for score in facts.scores}
    found: dict[str, Score] = {}
    for command in dict.fromkeys(score.command for score in facts.scores):
        found |= {score.metric: score for score in measured(command, files_by_option, seed)}
    beyond = []
    click.echo(f"{'metric':42s}{'stated':>12s}{'seed ' + str(seed):>12s}{'apart':>8s}")
    for metric, score in stated.items():
        distance = apart(score, found[metric])
        shown = "unknown" if distance is None else f"{distance:.2f}"
        click.echo(f"{metric:42s}{score.value:12.4f}{found[metric].value:12.4f}{shown:>8s}")
        if distance is not None and distance > WORST:
            beyond.append(metric)
    if beyond:
        click.echo(f"more than {WORST:g} standard errors apart: {', '.join(beyond)}", err=True)
        click.get_current_context().exit(1)


@main.command("page")
@click.option("--ckpt", type=_FILE, help="Network file.  [default: the package's]")
@click.option("--out", type=_FILE, default=PAGE, help="File to write.")
def write_page(ckpt: Path | None, out: Path) -> None:
    """Write the page of the documentation from what the file says."""
    text = page(demo_path() if ckpt is None else ckpt)
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(out)


def between(text: str, name: str, lines: Iterable[str]) -> str:
    """Text with these lines between the marks of a name."""
    begin, end = f"<!-- {name}: written by a command -->", f"<!-- end of {name} -->"
    before, begun, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not begun or not closed:
        raise UserError(f"there is no place for {name}: expected {begin} and {end}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def write_between(path: Path, name: str, lines: Iterable[str]) -> None:
    """Put lines between the marks of a file, whole or not at all; see `between`."""
    text = between(path.read_text(encoding="utf-8"), name, lines)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
