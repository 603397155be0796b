"""Speed of features and of the Fréchet distance, as ratios to public packages in one run.

Both sides take turns, so that what else the machine does falls on both. The weights are random,
the same for both: speed does not depend on their values. Needs the extra ``test``.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.networks.inception import InceptionV3, load_inception
from stylegan_eval.settings.common import Precision

BATCH = 32
IMAGE_SIZE = 256
DIM = 2048


def random_inception_state() -> dict[str, Tensor]:
    """Weights under the names of the official file, scaled so that no layer dies."""
    rng = torch.Generator().manual_seed(1)

    def uniform(low: float, high: float, n: int) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in InceptionV3().state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        layer, _, kind = name.rpartition(".")
        if layer == "fc":
            state[name] = torch.randn(shape, generator=rng) / 50
        elif kind == "weight":
            gain = math.sqrt(2 / math.prod(shape[1:]))  # He et al.: ReLU keeps the variance
            state[f"{layer}.conv.weight"] = torch.randn(shape, generator=rng) * gain
            state[f"{layer}.bn.weight"] = uniform(0.8, 1.2, shape[0])
            state[f"{layer}.bn.bias"] = uniform(-0.2, 0.2, shape[0])
            state[f"{layer}.bn.running_mean"] = uniform(-0.2, 0.2, shape[0])
            state[f"{layer}.bn.running_var"] = uniform(0.5, 1.5, shape[0])
            state[f"{layer}.bn.num_batches_tracked"] = torch.tensor(1)
    return state


def peer_inception(state: dict[str, Tensor]) -> torch.nn.Module:
    """Build pytorch-fid's network with these weights instead of those it would download."""
    import pytorch_fid.inception as peer

    original = peer.load_state_dict_from_url
    peer.load_state_dict_from_url = lambda *_, **__: state
    try:
        network: torch.nn.Module = peer.InceptionV3().eval()
    finally:
        peer.load_state_dict_from_url = original
    return network


def _alternate(
    task: str,
    ours: Callable[[], np.ndarray],
    peers: Callable[[], np.ndarray],
    seconds: float,
) -> dict[str, Any]:
    """Run both in turns for about `seconds`; of three rounds or more the first is a warm-up.

    Seconds and ratio are medians; the ratio is the peer's time over ours.
    """
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while not pairs or time.perf_counter() < end:
        start = time.perf_counter()
        mine = ours()
        middle = time.perf_counter()
        theirs = peers()
        pairs.append((middle - start, time.perf_counter() - middle))
    pairs = pairs[1:] if len(pairs) > 2 else pairs
    return {
        "task": task,
        "seconds": statistics.median(our_time for our_time, _ in pairs),
        "peer_seconds": statistics.median(peer_time for _, peer_time in pairs),
        "ratio": statistics.median(peer_time / our_time for our_time, peer_time in pairs),
        "difference": float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)),
        "rounds": len(pairs),
        "threads": torch.get_num_threads(),
    }


def _fidelity_inception(path: Path) -> torch.nn.Module:
    """Build torch-fidelity's network with the weights of a file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network: torch.nn.Module = FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(path)
    )
    return network


def compare_features(
    seconds: float, peer: Literal["pytorch-fid", "torch-fidelity"], precision: Precision
) -> dict[str, Any]:
    """Inception features of 32 images of 256x256, each side with the peer's resize."""
    state = random_inception_state()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(state, path)
        resize = "pytorch-fid" if peer == "pytorch-fid" else "tf1"
        detector = load_inception(path, resize, torch.device("cpu"), precision)
        network = peer_inception(state) if peer == "pytorch-fid" else _fidelity_inception(path)
    rng = torch.Generator().manual_seed(0)
    shape = (BATCH, 3, IMAGE_SIZE, IMAGE_SIZE)
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)

    def peers() -> np.ndarray:
        with torch.no_grad():  # as both peers do
            x = images.float() / 255 if peer == "pytorch-fid" else images
            features: Tensor = network(x)[0]
        return features.flatten(1).numpy()

    task = f"Inception features of {BATCH} images, ours {precision}, {peer} fp32"
    return _alternate(task, lambda: detector(images).numpy(), peers, seconds)


def compare_distance(seconds: float, *, smallest: float) -> dict[str, Any]:
    """Fréchet distance in 2048 dimensions; spectra from 1 down to `smallest`."""
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    stats = []
    for shift in (0.0, 0.1):
        basis, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
        x = rng.standard_normal((2 * DIM, DIM)) * np.geomspace(1, smallest, DIM) ** 0.5
        stats.append(FeatureStats.of(x @ basis.T + shift, "random"))
    a, b = stats

    def peers() -> np.ndarray:
        root = sqrtm(a.cov @ b.cov)
        shift = np.square(a.mean - b.mean).sum()
        return np.array([shift + np.trace(a.cov) + np.trace(b.cov) - 2 * np.trace(root).real])

    task = f"Fréchet distance, eigenvalues 1 to {smallest:g}, scipy sqrtm"
    return _alternate(task, lambda: np.array([frechet_distance(a, b)]), peers, seconds)


@click.command()
@click.option("--seconds", default=30.0, show_default=True, help="Time for each comparison.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the figures here.")
def main(seconds: float, table: Path | None) -> None:
    """Compare the speed of features and distance with pytorch-fid, torch-fidelity and scipy."""
    rows = []
    print(f"{'ours':>9} {'peer':>9} {'ratio':>6} {'difference':>10}  rounds")
    comparisons: list[Callable[[], dict[str, Any]]] = [
        lambda: compare_features(seconds, "pytorch-fid", "fp32"),
        lambda: compare_features(seconds, "torch-fidelity", "fp32"),
        lambda: compare_features(seconds, "pytorch-fid", "bf16"),
        lambda: compare_distance(seconds, smallest=1e-1),
        lambda: compare_distance(seconds, smallest=1e-8),
    ]
    for compare in comparisons:
        row = compare()
        rows.append(row)
        layout = (
            "{seconds:8.2f}s {peer_seconds:8.2f}s {ratio:6.2f} {difference:10.1e}  {rounds:6d}"
            "  {task}"
        )
        print(layout.format_map(row))
    if table is not None:
        pd.DataFrame(rows).to_csv(table, index=False)


if __name__ == "__main__":
    main()
