"""Accuracy of path length in float32, by finite difference and by its limit.

``python -m benchmarks.path_length`` measures pairs of latents in float64, by forward-mode
differentiation, and holds against it what float32 gives for the same pairs: the derivative, and
finite differences of several epsilons. With ``--ckpt`` it is a trained generator's; otherwise a
network of configuration F with random weights.
"""

import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stylegan.configs import CONFIGS, Config
from stylegan.networks.generator import Generator, GeneratorAtLod, build_generator
from stylegan.opening import load_for_evaluation
from stylegan.presets import apply_preset
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import measure_pairs
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from stylegan_eval.networks import DISTANCES
from stylegan_eval.networks.lpips import PerceptualDistance, load_distance
from stylegan_eval.settings.others import PplSettings

EPSILONS = (1e-3, 1e-4, 1e-5)
Line = tuple[str, str, tuple[float, ...], float]  # kind, method, errors, seconds per pair


def random_generator(config: Config, seed: int) -> Generator:
    """Generator with random weights, none of them at its degenerate initial value.

    A fresh network starts from a constant without variance, whose rounding errors instance
    normalisation enlarges 10,000 times: no trained network is like that.
    """
    network = build_generator(config, seed=seed)
    rng = torch.Generator().manual_seed(seed + 1)
    for name, parameter in network.named_parameters():
        if name.endswith(("bias", "noise_weight", "const")):
            nn.init.normal_(parameter, mean=parameter.mean().item(), std=0.2, generator=rng)
    return network.requires_grad_(requires_grad=False).eval()


def in_float64(generator: Generator | GeneratorAtLod) -> Generator | GeneratorAtLod:
    """A copy of a generator in double precision."""
    if isinstance(generator, GeneratorAtLod):
        return GeneratorAtLod(deepcopy(generator.original).double(), generator.lod)
    return deepcopy(generator).double()


def measured(
    generator: Generator | GeneratorAtLod,
    distance: PerceptualDistance,
    settings: PplSettings,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Values of all pairs by kind, and seconds per pair."""
    parts: list[dict[str, NDArray[np.float64]]] = []
    pairs, batch = settings.num, settings.batch
    start = time.perf_counter()
    for first in range(0, pairs, batch):
        numbers = range(first, min(first + batch, pairs))
        values_of = measure_pairs(generator, distance, settings, numbers, device, dtype)
        parts.append({name: values.cpu().numpy() for name, values in values_of.items()})
    seconds = (time.perf_counter() - start) / pairs
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, seconds


def errors(values: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float, ...]:
    """Relative errors: largest and median of the pairs', and that of the trimmed mean."""
    pairs = np.abs(values / truth - 1)
    mean = trimmed_mean(values).mean / trimmed_mean(truth).mean - 1
    return float(pairs.max()), float(np.median(pairs)), mean


def compare(
    generator: Generator | GeneratorAtLod,
    distance: PerceptualDistance,
    settings: PplSettings,
    device: torch.device,
) -> list[Line]:
    """Hold float32 against float64, for every kind of path length."""
    exact = replace(settings, derivative="exact")
    truth, seconds = measured(
        in_float64(generator), distance.double(), exact, device, torch.float64
    )
    rows: list[Line] = [(name, "float64 derivative", (0.0, 0.0, 0.0), seconds) for name in truth]
    variants = [("derivative", exact)] + [
        (f"epsilon {epsilon:g}", replace(settings, derivative="finite", epsilon=epsilon))
        for epsilon in EPSILONS
    ]
    for method, variant in variants:
        found, seconds = measured(generator, distance, variant, device, torch.float32)
        for name, values in found.items():
            true = truth[f"{name.split('-')[0]}-exact"]
            rows.append((name, f"float32 {method}", errors(values, true), seconds))
    return sorted(rows, key=lambda row: row[0].split("-")[0])


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--ckpt", type=click.Path(path_type=Path), help="Checkpoint or run folder.")
@click.option("--preset", default="quick-32", help="Size of the random network without --ckpt.")
@click.option(
    "--distance",
    type=click.Choice(DISTANCES),
    default="st-lpips-alex",
    help="Network.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="VGG16 for lpips-vgg.")
@click.option("--crop", type=click.Choice(["face", "none"]), default="none", help="Crop.")
@click.option("--pairs", type=click.IntRange(min=2), default=64, help="Pairs of latents.")
@click.option("--device", default="cpu", help="Where to run.")
def main(
    ckpt: Path | None,
    preset: str,
    distance: str,
    weights: Path | None,
    crop: str,
    pairs: int,
    device: str,
) -> None:
    """Compare path lengths in float32 with float64."""
    place = torch.device(device)
    generator: Generator | GeneratorAtLod
    if ckpt is None:
        generator = random_generator(apply_preset(CONFIGS["F"], preset), seed=0).to(place)
    else:
        loaded = load_for_evaluation(ckpt, place)
        if loaded is None or not isinstance(loaded.generator, GeneratorAtLod):
            raise UserError(f"{ckpt}: expected a checkpoint of stylegan-train")
        generator = loaded.generator
    settings = PplSettings(num=pairs, crop="face" if crop == "face" else "none")
    rows = compare(generator, load_distance(distance, weights, place), settings, place)
    print(f"relative errors of {pairs} pairs, {distance}")
    print(f"{'':7} {'':22} {'largest':>9} {'median':>9} {'mean':>9}  s/pair of all kinds")
    for name, method, (largest, median, mean), seconds in rows:
        kind = name.split("-")[0]
        print(f"{kind:7} {method:22} {largest:9.1e} {median:9.1e} {mean:+9.1e}  {seconds:.4f}")


if __name__ == "__main__":
    main()
