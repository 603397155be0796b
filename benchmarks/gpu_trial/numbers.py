"""The official implementation's numbers on this device, layouts, rough precisions, compiled."""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import GpuTrial
from stylegan.networks.compiled import compiled
from stylegan.networks.layers import mean_pool, upsample_nearest
from stylegan.training import losses
from stylegan_eval.engine.device import best_format, network_dtype
from stylegan_eval.settings.common import Precision

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Of the bounds that the tests hold bfloat16 to, which has 7 bits of mantissa; these have 10 and 23.
_SHARES: Mapping[Precision, float] = {"bf16": 1.0, "tf32": 1 / 4, "fp32": 1 / 256}
_KEPT = Bound(most=1.0, unit="times the tolerance")
_COMPILED = {"A", "F"}  # Rows, in fp32 and bf16 alone: a program takes long to compile


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Images, scores, losses and gradients of the rows; layouts; precisions."""
    rows, dtypes = ("ABCDEF", tuple(_DTYPES)) if trial.on_gpu else ("F", ("float64",))
    kinds = {
        "images and scores at six levels of detail": _outputs,
        "losses and penalties": _losses,
        "gradients of three losses": _gradients,
    }
    for row in rows:
        for dtype in dtypes:
            for name, differences in kinds.items():
                yield Check(
                    claim=f"{row}: {name} are the official ones in {dtype}",
                    bound=_KEPT,
                    measure=partial(_worst, trial, differences, row, dtype),
                )
    for row in rows:
        yield Check(
            claim=f"{row}: channels last gives what channels first gives, in float64",
            bound=Bound(most=1e-9, unit="of the largest value"),
            measure=partial(_layouts, trial, row),
        )
        for precision in _SHARES:
            yield Check(
                claim=f"{row}: a step in {precision} is near the one in float64 on the CPU",
                bound=_KEPT,
                measure=partial(_precision, trial, row, precision),
            )
            if row in _COMPILED and precision != "tf32":
                yield Check(
                    claim=f"{row}: compiled, G's step in {precision} is near the one in float64"
                    " on the CPU",
                    bound=_KEPT,
                    measure=partial(_compiled, trial, row, precision),
                )


def official(trial: GpuTrial) -> Any:
    """The tests' module of official numbers, from the checkout: it is no package of the trial's."""
    path = trial.root / "tests" / "train" / "golden.py"
    spec = importlib.util.spec_from_file_location("official_numbers", path)
    if spec is None or spec.loader is None or not path.exists():
        raise NotTriedError(f"{path} is missing: run the trial in a checkout of the repository")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Differences = Callable[[Any, str, str, str], Iterator[float]]


def _worst(trial: GpuTrial, differences: Differences, row: str, dtype: str) -> float:
    golden = official(trial)
    with trial.computing():
        return max(differences(golden, row, dtype, trial.device))


def _share(found: Any, stored: Any, rtol: float, atol: float) -> float:
    """Largest difference as a multiple of its tolerance; infinite where it is no number."""
    found, stored = np.asarray(found, np.float64), np.asarray(stored, np.float64)
    shares: NDArray[np.float64] = np.abs(found - stored) / (atol + rtol * np.abs(stored))
    worst = float(shares.max(initial=0.0))
    return worst if math.isfinite(worst) else math.inf


def _outputs(golden: Any, row: str, dtype: str, device: str) -> Iterator[float]:
    exact, own = dtype == "float64", _DTYPES[dtype]
    stored = golden.float64_numbers(row) if exact else golden.numbers(row)
    G, D = golden.generator(row, own, device), golden.discriminator(row, own, device)
    with torch.no_grad():
        ws = G.mapping(golden.tensor(row, "latents", own, device))
        reals = golden.tensor(row, "reals", own, device)
        for lod in golden.LODS:
            factor = 2 ** int(lod)
            images = G.synthesis(ws, G.g.fixed_noise(lod), lod)
            scores = D(mean_pool(reals, factor), lod=lod).cpu()
            key = f"images_lod_{lod:g}"
            if exact:
                flat = images.flatten(1)
                both = torch.stack([flat.mean(dim=1), flat.square().mean(dim=1).sqrt()], dim=1)
                yield _share(both.cpu(), stored[f"{key}_mean_rms"], 1e-9, 1e-12)
                yield _share(scores, stored[f"scores_lod_{lod:g}"], 1e-9, 1e-12)
                continue
            largest = float(np.abs(stored[key]).max())
            yield _share(upsample_nearest(images, factor).cpu(), stored[key], 0.0, 5e-5 * largest)
            yield _share(scores, stored[f"scores_lod_{lod:g}"], 1e-5, 1e-5)


def _losses(golden: Any, row: str, dtype: str, device: str) -> Iterator[float]:
    exact, own = dtype == "float64", _DTYPES[dtype]
    stored = golden.float64_numbers(row) if exact else golden.numbers(row)
    for lod in (0.0, 0.5):
        for key, value in golden.official_losses(row, lod, own, device).items():
            if key in stored:
                squared = "penalty" in key or "norms" in key
                rough = (2e-3, 0.0) if squared else (1e-4, 1e-4)
                yield _share(value, stored[key], *((1e-8, 1e-12) if exact else rough))


def _gradients(golden: Any, row: str, dtype: str, device: str) -> Iterator[float]:
    exact, own = dtype == "float64", _DTYPES[dtype]
    stored = golden.float64_numbers(row) if exact else golden.numbers(row)
    for lod in (0.0, 0.5):
        for loss, found in golden.official_gradients(row, lod, own, device).items():
            norms = [np.linalg.norm(value) for value in found.values()]
            tolerance = (1e-8, 1e-12) if exact else (5e-3, 1e-6)
            yield _share(norms, stored[f"{loss}_norms_lod_{lod:g}"], *tolerance)
            if exact:
                sums = [value.sum() for value in found.values()]
                yield _share(sums, stored[f"{loss}_sums_lod_{lod:g}"], *tolerance)


def _layouts(trial: GpuTrial, row: str) -> float:
    """Largest difference between layouts of anything in a step, over the largest value of it."""
    golden, exact = official(trial), torch.float64
    last, first = (
        golden.step_outputs(row, 0.5, exact, exact, trial.device, layout)
        for layout in (torch.channels_last, torch.contiguous_format)
    )
    return max(float((last[key] - first[key]).abs().max() / last[key].abs().max()) for key in last)


def _precision(trial: GpuTrial, row: str, precision: Precision) -> float:
    """Largest relative difference of what a step gives, as a multiple of its bound."""
    golden, dtype = official(trial), network_dtype(precision)
    with trial.computing(precision):
        layout = best_format(trial.runtime.device, precision)
        found = golden.step_outputs(row, 0.5, dtype, device=trial.device, layout=layout)
    return _of_bound(golden, row, precision, found)


def _compiled(trial: GpuTrial, row: str, precision: Precision) -> float:
    """As `_precision`, of what is compiled: images, and their gradient through D."""
    if not trial.on_gpu:
        raise NotTriedError("compiling for a CPU takes longer than all else")
    trial.needs_compiler()
    golden = official(trial)
    with trial.computing(precision):
        found = compiled_step(golden, row, precision, trial.runtime.device)
    return _of_bound(golden, row, precision, found)


def compiled_step(
    golden: Any, row: str, precision: Precision, device: torch.device
) -> dict[str, Tensor]:
    """Images of compiled G at lod 0.5 and the gradient of its loss through compiled D."""
    dtype, placed = network_dtype(precision), (device, best_format(device, precision))
    G, D = (
        build(row, torch.float32, *placed) for build in (golden.generator, golden.discriminator)
    )
    draw = compiled(G.g.at_level, dtype)
    score = compiled(D.requires_grad_(requires_grad=False).at_level, dtype)
    noise, fade = G.g.noise_maps(G.g.fixed_noise(0.5), 0.5), torch.tensor(0.5, device=device)
    images = draw(G.mapping(golden.tensor(row, "latents", device=device)), noise, 0, fade)
    loss = losses.g_logistic_nonsaturating(score(images, 0, fade)).mean()
    grads = torch.autograd.grad(loss, list(G.parameters()), allow_unused=True)
    flat = torch.cat([grad.flatten() for grad in grads if grad is not None])
    return {"images": images.detach().cpu(), "grad_G": flat.cpu()}


def _of_bound(golden: Any, row: str, precision: Precision, found: Mapping[str, Tensor]) -> float:
    """Largest relative difference from the step in float64, as a multiple of its bound."""
    exact = torch.float64
    reference: Mapping[str, Tensor] = golden.step_outputs(row, 0.5, exact, exact)
    return max(
        float((value.double() - reference[key]).norm() / reference[key].norm())
        / (golden.BFLOAT16_BOUNDS[key] * _SHARES[precision])
        for key, value in found.items()
    )
