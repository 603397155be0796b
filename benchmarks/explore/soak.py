"""Several visitors of stylegan-explore who do anything for a long time.

``python -m benchmarks.explore.soak --ckpt runs/f32 --ckpt demo --minutes 30``: tabs of one
Chromium, each doing what `tests.explore.driving.act_at_random` draws. After every ten acts a tab
goes to any view, or stays, and is left alone until it has settled; then an image that it shows is
compared, pixel by pixel, with what its recipe draws in this process. Fails where they differ, where
a console complains, or where the server's memory grows by more than a tenth once a fifth of the
time is over.
"""

import contextlib
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from benchmarks.explore.looks import LOOKS, Networks, check_shown, hand_in
from stylegan.checkpoint import checkpoints_in
from stylegan.explore.networks import SECOND
from stylegan.sample.directions import COMPONENTS, directions_path
from stylegan.sample.drawing import open_generator
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import NetworkPath
from tests.browser import Browser
from tests.explore.driving import act_at_random, visit_samples
from tests.explore.served import serving

_ACTS = 10
_GROWTH = 1.1


def resident(pid: int) -> float:
    """Memory of a process that is in RAM, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Soak:
    """Counts and findings so far."""

    def __init__(self, networks: Networks, url: str, seed: int) -> None:
        self.networks, self.url = networks, url
        self.draws = random.Random(seed)
        self.faults: list[str] = []
        self.compared: Counter[str] = Counter()  # Images, by view
        self.acts = 0

    def turn(self, browser: Browser) -> None:
        """Let a visitor act, and look at what it shows."""
        for _ in range(_ACTS):
            act_at_random(browser, self.draws)
        self.acts += _ACTS
        browser.run("document.querySelector('dialog').close()")
        if self.draws.random() < 0.5:
            name = self.draws.choice([*LOOKS])
            browser.run(f"document.getElementById('tab-{name}')?.click()")
        hand_in(browser, self.draws)
        view, wrong = check_shown(browser, self.draws, self.networks, self.url)
        if wrong:
            self.faults.append(wrong)
        elif view:
            self.compared[view] += 1
        self.faults += [f"console: {event}"[:500] for event in browser.complaints]
        browser.events.clear()

    def __str__(self) -> str:
        views = ", ".join(f"{name} {count}" for name, count in sorted(self.compared.items()))
        return f"{self.acts} acts, {self.compared.total()} images compared ({views})"


def open_all(ckpts: Sequence[Path]) -> Networks:
    """The explorer's networks: one or two, and the checkpoints of a run's folder."""
    cpu = torch.device("cpu")
    first = open_generator(ckpts[0], cpu, directions_path(ckpts[0], None))
    if first.directions is None and first.painter.maps:  # a button of the page finds them
        first = open_generator(ckpts[0], cpu, COMPONENTS)
    networks = {"": first}
    for ckpt in ckpts[1:]:
        networks[SECOND] = open_generator(ckpt, cpu, None)
    for path in checkpoints_in(ckpts[0]) if ckpts[0].is_dir() else ():
        networks[path.stem.removeprefix("checkpoint-")] = open_generator(path, cpu, None)
    return networks


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option(
    "--ckpt",
    "ckpts",
    type=NetworkPath(),
    multiple=True,
    default=["demo"],
    metavar="CKPT|demo",
    help="As of stylegan-explore; a run's folder and a second network add their views.",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0)
@click.option("--clients", type=click.IntRange(min=1), default=5)
@click.option("--seed", type=int, default=0, help="Of what the visitors do.")
def main(ckpts: tuple[Path, ...], minutes: float, clients: int, seed: int) -> None:
    """Print acts, images compared and memory every minute; status 1 where something is wrong."""
    networks, named = open_all(ckpts), [word for ckpt in ckpts for word in ("--ckpt", ckpt)]
    served = serving(*named, popen=subprocess.Popen)
    with tempfile.TemporaryDirectory() as profile, served as (process, url):
        browser, tabs = Browser(profile), []
        for number in range(clients):
            if number:
                browser.new_tab()
            visit_samples(browser, url)
            tabs.append(browser.tab)
        soak = Soak(networks, url, seed)
        sizes = [(0.0, resident(process.pid))]
        begun = told = time.monotonic()
        while (now := time.monotonic()) < begun + 60 * minutes:
            try:
                for browser.tab in tabs:
                    soak.turn(browser)
            except TimeoutError as error:
                soak.faults.append(f"the soak ended: {error}")
                break
            sizes.append((now - begun, resident(process.pid)))
            if now > told + 60:
                told = now
                print(f"{(now - begun) / 60:.0f} min, {soak}, {sizes[-1][1]:.0f} MiB", flush=True)
        with contextlib.suppress(TimeoutError):
            browser.close()
    settled = [size for when, size in sizes if when >= 60 * minutes / 5] or [sizes[-1][1]]
    print(f"{soak} of {clients} clients, {len(soak.faults)} faults")
    print(f"server's memory {settled[0]:.0f} MiB after a fifth, {settled[-1]:.0f} at the end")
    for fault in soak.faults[:20]:
        print(fault)
    if soak.faults or settled[-1] > _GROWTH * settled[0]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
