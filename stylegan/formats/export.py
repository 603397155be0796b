"""A generator for programs that are not this one: ONNX, `torch.export` (pt2), TorchScript.

What is written draws images of the full size from latents, with the network's fixed noise at the
level of detail that it was trained to, and truncates by psi, which is an input. Each file is read
back and compared with the network before it gets its name.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from stylegan.networks.generator import Generator, GeneratorAtLod, truncate
from stylegan.snapshot import Snapshot, load_generator
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.errors import UserError

Kind = Literal["onnx", "pt2", "torchscript"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_EXAMPLES = 2  # a batch of one would become part of the program
_PSIS = (0.7, 1.0)
# Of the largest value: other programs add in another order.
_TOLERANCE = 1e-3

Run = Callable[[Mapping[str, Tensor]], Tensor]


class _Drawing(nn.Module):
    """z, and psi and labels where the network takes them -> images."""

    def __init__(self, network: Generator, lod: float, cutoff: int) -> None:
        super().__init__()
        self.network = network
        self.at_lod = GeneratorAtLod(network, lod)
        self.lod, self.cutoff = lod, cutoff

    def forward(self, z: Tensor, psi: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """z [N, z_dim], psi [], labels [N, label_size] -> [N, C, R, R]."""
        ws = self.network.mapping(z, labels)
        if psi is not None:
            ws = truncate(ws, self.network.w_avg, psi, self.cutoff)
        return self.at_lod.synthesis(ws, self.network.g.fixed_noise(self.lod))

    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, z_dim] -> ws."""
        return self.network.mapping(z)

    def synthesis(self, ws: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        """Draw with the noise given."""
        return self.at_lod.synthesis(ws, noise or [])


class _Script(nn.Module):
    """The recorded network for TorchScript, with the attributes that `stylegan-eval` reads."""

    z_dim: int
    resolution: int
    noise_shapes: list[tuple[int, int]]
    truncates: bool

    def __init__(self, recorded: Any, drawing: _Drawing) -> None:
        super().__init__()
        self.recorded = recorded
        self.z_dim = drawing.network.z_dim
        self.resolution = drawing.network.resolution
        self.noise_shapes = list(drawing.at_lod.noise_shapes)
        self.truncates = drawing.network.config.mapping_layers > 0

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Draw images with the fixed noise, truncated."""
        if psi != 1.0 and not self.truncates:
            raise ValueError("this network has no mapping, so that nothing can be truncated: psi 1")
        return self.recorded(z, torch.full([], psi, dtype=z.dtype, device=z.device))

    @torch.jit.export
    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, z_dim] -> ws."""
        return self.recorded.mapping(z)

    @torch.jit.export
    def synthesis(self, ws: Tensor, noise: list[Tensor]) -> Tensor:
        """Draw with the noise given."""
        return self.recorded.synthesis(ws, noise)


class _ScriptWithoutNoise(_Script):
    """The same of a network that takes none: TorchScript records no empty list."""

    @torch.jit.export
    def synthesis(self, ws: Tensor, noise: list[Tensor]) -> Tensor:  # noqa: ARG002
        """Draw images."""
        return self.recorded.synthesis(ws)


def export_generator(
    snapshot: Snapshot, path: Path, kind: Kind, *, cutoff: int = 8
) -> float | None:
    """Write the averaged generator, whole or not at all; layers below `cutoff` can be truncated.

    Inputs are ``z`` [N, z_dim] for any N, ``psi`` (a number, where there is a mapping) and
    ``labels`` (one-hot [N, label_size], of a conditional network), in float32; the output is [N, C,
    R, R]. A TorchScript has ``mapping`` and ``synthesis`` besides, so that ``stylegan-eval
    --generator`` measures it with fresh noise.

    Returns the largest difference of what was read back from this network, relative to the largest
    value; None where ONNX Runtime is not installed to tell.
    """
    if kind not in KINDS:
        raise UserError(f"cannot export {kind!r:.40}: expected {', '.join(KINDS)}")
    if "G_ema" not in snapshot.networks:
        raise UserError("the file holds no generator: give one that does")
    if kind == "torchscript" and snapshot.config.network.label_size:
        raise UserError("TorchScript is written of unconditional networks alone: use onnx or pt2")
    drawing = _Drawing(load_generator(snapshot, torch.device("cpu")), snapshot.lod, cutoff).eval()
    writer = {"onnx": _onnx, "pt2": _pt2, "torchscript": _torchscript}[kind]
    with _quiet(), torch.no_grad():
        data, run = writer(drawing, _example(drawing, _PSIS[0]))
        off = None if run is None else max(_difference(drawing, run, psi) for psi in _PSIS)
    if off is not None and not off <= _TOLERANCE:
        raise UserError(
            f"{path}: what was exported as {kind} draws other images (off by {off:.2g} of the"
            " largest value): nothing was written; use another kind"
        )
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return off


def _example(drawing: _Drawing, psi: float) -> dict[str, Tensor]:
    """Inputs that the network takes."""
    config = drawing.network.config
    rng = torch.Generator().manual_seed(0)
    inputs = {"z": torch.randn(_EXAMPLES, config.z_dim, generator=rng)}
    if config.mapping_layers:
        inputs["psi"] = torch.tensor(psi)
    if size := config.label_size:
        inputs["labels"] = torch.eye(size)[torch.arange(_EXAMPLES) % size]
    return inputs


def _difference(drawing: _Drawing, run: Run, psi: float) -> float:
    inputs = _example(drawing, psi)
    expected: Tensor = drawing(**inputs)
    return float((run(inputs) - expected).abs().max() / expected.abs().max())


def _exported(drawing: _Drawing, inputs: dict[str, Tensor]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("N", min=1)
    shapes = {name: None if name == "psi" else {0: batch} for name in inputs}
    return torch.export.export(drawing, (), kwargs=inputs, dynamic_shapes=shapes)


def _pt2(drawing: _Drawing, inputs: dict[str, Tensor]) -> tuple[bytes, Run]:
    buffer = io.BytesIO()
    torch.export.save(_exported(drawing, inputs), buffer)
    module = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    return buffer.getvalue(), lambda given: module(**given)


def _torchscript(drawing: _Drawing, inputs: dict[str, Tensor]) -> tuple[bytes, Run]:
    noise = [torch.zeros(_EXAMPLES, 1, h, w) for h, w in drawing.at_lod.noise_shapes]
    ws = drawing.mapping(inputs["z"])
    recorded = torch.jit.trace_module(  # type: ignore[no-untyped-call]
        drawing,
        {
            "forward": (inputs["z"], torch.tensor(_PSIS[0])),
            "mapping": (inputs["z"],),
            "synthesis": (ws, noise) if noise else (ws,),
        },
        check_trace=False,  # it draws no numbers
    )
    buffer = io.BytesIO()
    script = _Script if noise else _ScriptWithoutNoise
    torch.jit.save(torch.jit.script(script(recorded, drawing)), buffer)
    module = torch.jit.load(io.BytesIO(buffer.getvalue()))  # type: ignore[no-untyped-call]
    return buffer.getvalue(), lambda given: module(given["z"], float(given.get("psi", 1.0)))


def _onnx(drawing: _Drawing, inputs: dict[str, Tensor]) -> tuple[bytes, Run | None]:
    lacking = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if lacking:
        raise UserError(
            f"writing ONNX needs the packages {', '.join(lacking)}:"
            ' python -m pip install ".[export]" in the source folder'
        )
    program = torch.onnx.export(
        _exported(drawing, inputs), dynamo=True, output_names=["images"], verbose=False
    )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    if find_spec("onnxruntime") is None:
        return data, None
    runtime = import_module("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(given: Mapping[str, Tensor]) -> Tensor:
        feed = {name: value.numpy() for name, value in given.items()}
        return torch.from_numpy(session.run(None, feed)[0])

    return data, run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings: PyTorch calls TorchScript deprecated, which people have nevertheless."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
