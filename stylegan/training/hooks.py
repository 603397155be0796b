"""Reports of a run: log, progress bar, sample sheets, TensorBoard and Weights & Biases."""

import importlib.util
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from stylegan.checkpoint import kimg_name
from stylegan.configs import Config, config_to_dict
from stylegan.networks.generator import GeneratorAtLod
from stylegan.png import image_grid, picture, save_png
from stylegan.training.cost import Phase, seconds_left
from stylegan.training.loop import Terms
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import RunSettings
from stylegan.training.state import TrainState
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.sampling import to_uint8
from stylegan_eval.engine.untrusted import printable, reason
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import duration
from stylegan_eval.results.run_folder import (
    LOG,
    METRICS_FILE,
    TEXT_LOG,
    append_rows,
    drop_rows_after,
)

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

WANDB_ID = "wandb.id"  # file in the run's folder: the number that wandb knows the run by


class RunLog:
    """``log.jsonl`` for programs and ``train.log`` for people, in the run's folder.

    Rows beyond `nimg`, left by a run that was killed, are dropped, those of the metrics too. `also`
    take every row.
    """

    def __init__(
        self, folder: Path, nimg: int, also: Sequence[Callable[[Mapping[str, Any]], None]] = ()
    ) -> None:
        self.jsonl, self.text = folder / LOG, folder / TEXT_LOG
        self.also = also
        for rows in (self.jsonl, folder / METRICS_FILE):
            drop_rows_after(rows, nimg)

    def row(self, values: Mapping[str, Any]) -> None:
        """Append one row of numbers."""
        append_rows(self.jsonl, [values])
        for each in self.also:
            each(values)

    def line(self, text: str) -> None:
        """Append one line of words, with the time."""
        add_line(self.text, text)


def add_line(log: Path, text: str) -> None:
    """Append one line to a ``train.log``, with the time."""
    with log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {printable(text)}\n")


def say(text: str) -> None:
    """One line for people, above a progress bar if there is one."""
    tqdm.write(printable(text), file=sys.stderr)


class Progress:
    """Progress bar, and one row of the log per tick."""

    def __init__(self, log: RunLog, config: Config, costs: list[Phase], nimg: int) -> None:
        self.log = log
        self.phases = costs
        self.timed_nimg = nimg  # images shown at `tick_time`
        self.tick_time = time.monotonic()
        self.start_time = self.tick_time
        self.total = config.schedule.total_kimg
        self.bar = progress_bar(
            total=self.total,
            initial=min(nimg / 1000, self.total),
            unit="kimg",
            bar_format="{percentage:3.0f}%|{bar}| {n:.1f}/{total:g} kimg [{elapsed}{postfix}]",
        )

    def __call__(self, state: TrainState, point: TrainingPoint, terms: Terms) -> None:
        """Add the terms up; at the end of a tick, log their means and move the bar."""
        sums = state.log_sums
        for key, term in terms.items():
            sums[key] = sums[key] + term if key in sums else term.clone()
        state.log_looks += 1
        if state.nimg - state.log_nimg < point.tick_kimg * 1000 and state.nimg < self.total * 1000:
            return
        # One answer of the device for all.
        totals: list[float] = torch.stack(list(sums.values())).tolist()
        means = {key: total / state.log_looks for key, total in zip(sums, totals, strict=True)}
        skipped_G, skipped_D = int(state.skipped_G), int(state.skipped_D)
        now = time.monotonic()
        rate = (state.nimg - self.timed_nimg) / (now - self.tick_time)
        left = seconds_left(self.phases, state.nimg, rate)
        row = {
            "nimg": state.nimg,
            "kimg": state.nimg / 1000,
            "lod": point.lod,
            "resolution": point.resolution,
            "minibatch": point.minibatch,
            "lrate": point.lrate,
            **means,
            "skipped_G": skipped_G,
            "skipped_D": skipped_D,
            "img_per_s": rate,
            "seconds": now - self.start_time,
            "peak_memory_mib": peak_memory(state.G.w_avg.device) / 2**20,
        }
        self.log.row(row)
        self.log.line(
            f"kimg {row['kimg']:8.1f}  lod {point.lod:.2f}  {rate:8.1f} img/s  "
            + "  ".join(f"{key} {value:.4f}" for key, value in means.items())
            + f"  {duration(left)} left"
        )
        status = f", lod {point.lod:.2f}, {rate:.0f} img/s, {duration(left)} left"
        if skipped_G or skipped_D:
            status += f", {skipped_G + skipped_D} steps skipped"
        self.bar.set_postfix_str(status.removeprefix(", "), refresh=False)
        self.bar.update(min(state.nimg / 1000, self.total) - self.bar.n)
        state.log_sums, state.log_looks, state.log_nimg = {}, 0, state.nimg
        self.timed_nimg, self.tick_time = state.nimg, now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time spent in the block out of the speed: it is no training."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.tick_time += time.monotonic() - start

    def say(self, text: str) -> None:
        """One line above the bar and in the log."""
        self.log.line(text)
        say(text)

    def close(self) -> None:
        """End the bar."""
        self.bar.close()


def peak_memory(device: torch.device) -> int:
    """Largest memory used so far, in bytes: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource  # of Unix alone

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Every:
    """Call `action` whenever another `kimg` thousand images have been shown."""

    def __init__(self, kimg: float, nimg: int, action: Callable[[TrainState], None]) -> None:
        self.interval = kimg * 1000
        self.done = nimg // self.interval
        self.action = action

    def __call__(self, state: TrainState, _point: TrainingPoint, _terms: Terms) -> None:
        """Act when the interval is over."""
        if state.nimg // self.interval > self.done:
            self.done = state.nimg // self.interval
            self.action(state)


def sheet_columns(config: Config) -> int:
    """Images in a row of a sample sheet, and rows."""
    return max(2, min(8, 1024 // config.resolution))


class SampleSheet:
    """Images of the same latents [N, z_dim] at every snapshot, by the averaged generator."""

    def __init__(
        self, folder: Path, latents: Tensor, columns: int, labels: Tensor | None = None
    ) -> None:
        self.folder = folder
        self.latents = latents
        self.columns = columns
        self.labels = None if labels is None else labels.to(latents.device)

    def __call__(self, state: TrainState) -> NDArray[np.uint8]:
        """Draw and write one sheet [H, W, C], at full size."""
        G, noise = GeneratorAtLod(state.G_ema, state.lod), state.G_ema.g.fixed_noise(state.lod)
        parts = torch.split(torch.arange(len(self.latents)), 16)
        with torch.inference_mode():
            images = torch.cat([G.synthesis(self._ws(G, part), noise) for part in parts])
        sheet = image_grid(to_uint8(images).cpu().numpy(), self.columns)
        save_png(self.folder / f"fakes-{kimg_name(state.nimg)}.png", sheet)
        return sheet

    def _ws(self, G: GeneratorAtLod, part: Tensor) -> Tensor:
        labels = None if self.labels is None else self.labels[part % len(self.labels)]
        return G.mapping(self.latents[part], labels)


# Columns of the log by the page they belong on; all others are terms of the losses.
_PAGES = {
    "schedule": ("lod", "resolution", "minibatch", "lrate"),
    "speed": ("img_per_s", "seconds", "peak_memory_mib"),
}
_PAGE_OF = {key: page for page, keys in _PAGES.items() for key in keys}


def open_boards(settings: RunSettings, config: Config, nimg: int) -> "list[Board]":
    """Boards that the settings name, of a run that goes on from image `nimg`."""
    boards: list[Board] = []
    installed = importlib.util.find_spec("tensorboard") is not None
    if settings.tensorboard or (settings.tensorboard is None and installed):
        boards.append(open_tensorboard(settings.out, nimg))
    if settings.wandb:
        boards.append(open_wandb(settings.out, config))
    return boards


def open_tensorboard(folder: Path, nimg: int) -> "TensorBoard":
    """Begin a file of events in ``tensorboard``; those beyond `nimg` are forgotten."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "--tensorboard needs a package that is not installed:"
            " pip install tensorboard, or leave the option out"
        ) from error
    return TensorBoard(SummaryWriter(str(folder / "tensorboard"), purge_step=nimg + 1))


@dataclass(frozen=True)
class TensorBoard:
    """A file of events; the step of each is the number of real images shown."""

    writer: "SummaryWriter"

    def row(self, values: Mapping[str, Any]) -> None:
        """Write the numbers of one row of the log."""
        for tag, value in _scalars(values):
            self.writer.add_scalar(tag, value, int(values["nimg"]))
        self.writer.flush()  # a run may be killed at any time

    def measured(self, row: Mapping[str, Any]) -> None:
        """Write one measured number: a row of the metrics."""
        self.writer.add_scalar(f"metric/{row['metric']}", row["value"], int(row["nimg"]))
        self.writer.flush()

    def sheet(self, image: NDArray[np.uint8], nimg: int) -> None:
        """Write a sample sheet [H, W, C]."""
        self.writer.add_image("fakes", image, nimg, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        self.writer.close()


def open_wandb(folder: Path, config: Config) -> "Wandb":
    """Begin a run of Weights & Biases, or go on with the one whose number is in ``wandb.id``.

    Project, entity and mode are those of wandb's own variables (WANDB_PROJECT, WANDB_MODE).
    """
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "--wandb needs a package that is not installed: pip install wandb, or leave the option"
            " out"
        ) from error
    known = folder / WANDB_ID
    if not known.exists():
        with atomic_write(known) as temporary:
            temporary.write_text(secrets.token_hex(8) + "\n")
    try:
        run = wandb.init(
            id=known.read_text().strip(),
            resume="allow",
            project=os.environ.get("WANDB_PROJECT", "stylegan"),
            name=folder.absolute().name,
            dir=folder,
            config=config_to_dict(config),
            settings=wandb.Settings(console="off"),
        )
    except (wandb.Error, ValueError) as error:
        raise UserError(
            f"wandb does not start ({reason(error)}): run `wandb login`, set WANDB_MODE=offline, or"
            " leave --wandb out"
        ) from error
    run.define_metric("*", step_metric="nimg")
    return Wandb(run)


@dataclass(frozen=True)
class Wandb:
    """A run of Weights & Biases, over the number of real images shown as column ``nimg``.

    wandb forgets nothing: what a killed run did again stands twice, with the same numbers.
    """

    run: Any

    def row(self, values: Mapping[str, Any]) -> None:
        """Send the numbers of one row of the log."""
        self.run.log({"nimg": int(values["nimg"]), **dict(_scalars(values))})

    def measured(self, row: Mapping[str, Any]) -> None:
        """Send one measured number."""
        self.run.log({"nimg": int(row["nimg"]), f"metric/{row['metric']}": row["value"]})

    def sheet(self, image: NDArray[np.uint8], nimg: int) -> None:
        """Send a sample sheet [H, W, C]."""
        import wandb

        self.run.log({"nimg": nimg, "fakes": wandb.Image(picture(image))})

    def close(self) -> None:
        """End the run."""
        self.run.finish()


Board = TensorBoard | Wandb  # Where a run is watched


def _scalars(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Tag and number of the columns of the log; ``loss_D`` -> ``loss/D``."""
    for key, value in values.items():
        if isinstance(value, int | float) and key not in ("nimg", "kimg"):
            yield _tag(key), value


def _tag(key: str) -> str:
    """``loss_D`` -> ``loss/D``, ``grad_norm_G`` -> ``grad_norm/G``, ``lod`` -> ``schedule/lod``."""
    if key in _PAGE_OF:
        return f"{_PAGE_OF[key]}/{key}"
    head, _, tail = key.rpartition("_")
    return f"{head}/{tail}" if head else f"loss/{key}"
