"""Random numbers of a step and of evaluation: the same on every device, and as stored.

``python -m benchmarks.gpu_trial.random_numbers > FILE.json`` makes the file of ``--digests``.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import GpuTrial
from stylegan.training.loop import Purpose, StepRandom
from stylegan.training.partition import shares
from stylegan_eval.engine.sampling import latents, noise_maps, splitmix64

_SEED, _NIMG, _MINIBATCH, _GROUP = 3, 5_000_000, 8, 4
_MARKED = 4096  # Numbers in a digest: of millions some would lie next to a limit
_SIZE = 256  # Pixels: more numbers than some GPUs run threads


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Device against CPU, and against stored digests."""
    for name, draw in DRAWS.items():
        yield Check(
            claim=f"{name}: the numbers of the CPU but for rounding",
            bound=Bound(most=1e-5, unit="apart"),
            measure=partial(_difference, trial, draw),
        )
        yield Check(
            claim=f"{name}: as stored",
            bound=Bound(least=0, most=0, unit="digests differ"),
            measure=partial(_unlike, trial, name, draw),
        )


def _step_normals(device: torch.device) -> Tensor:
    random, parts = StepRandom(_SEED, device), shares(_MINIBATCH, _GROUP, at_a_time=_GROUP)
    random.begin(_NIMG)
    count = 512 + _SIZE**2
    return torch.cat([random.fakes(part, each, count) for part in parts for each in Purpose])


def _step_uniforms(device: torch.device) -> Tensor:
    random, (share,) = StepRandom(_SEED, device), shares(_MINIBATCH, _GROUP)
    random.begin(_NIMG)
    return random.penalty(share)


def _integers(device: torch.device) -> Tensor:
    rows = torch.arange(_MINIBATCH, device=device)
    return splitmix64(_SEED, rows, 0, _SIZE**2)


def _noise(device: torch.device) -> Tensor:
    maps = noise_maps(_SEED, range(2), [(4, 4), (_SIZE, _SIZE)], device)
    return torch.cat([layer.flatten() for layer in maps])


def _latents(device: torch.device) -> Tensor:
    return latents(_SEED, range(8), 512).to(device)


DRAWS: Mapping[str, Callable[[torch.device], Tensor]] = MappingProxyType(
    {
        "integers behind them": _integers,
        "latents and noise of a step": _step_normals,
        "uniform numbers of a step": _step_uniforms,
        "noise of evaluation": _noise,
        "latents of evaluation": _latents,
    }
)


def _difference(trial: GpuTrial, draw: Callable[[torch.device], Tensor]) -> float:
    here, there = draw(trial.runtime.device).cpu(), draw(torch.device("cpu"))
    return float((here - there).abs().max())


def _unlike(trial: GpuTrial, name: str, draw: Callable[[torch.device], Tensor]) -> float:
    if not trial.digests.exists():
        raise NotTriedError(f"{trial.digests} is missing")
    stored = json.loads(trial.digests.read_text())
    return float(stored[name] != digest(draw(trial.runtime.device)))


def digest(numbers: Tensor) -> str:
    """Digest of integers, or of the size and the sign of numbers, which rounding leaves alone."""
    flat = numbers.detach().cpu().flatten()
    if not flat.is_floating_point():
        return hashlib.sha256(flat.numpy().tobytes()).hexdigest()[:32]
    flat = flat[:: -(-len(flat) // _MARKED)]
    marks = torch.stack([flat > limit for limit in (-1.0, 0.0, 0.5, 1.0)])
    return hashlib.sha256(marks.numpy().tobytes()).hexdigest()[:32]


def main() -> None:
    """Print the digests of this checkout's numbers on the CPU."""
    cpu = torch.device("cpu")
    print(json.dumps({name: digest(draw(cpu)) for name, draw in DRAWS.items()}, indent=1))


if __name__ == "__main__":
    main()
