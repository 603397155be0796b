"""Small files in formats that the toolkit reads and never writes."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylegan_eval.images.containers import LENGTH, masked_crc

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def huangzh13(folder: Path, *, as_zip: bool) -> Path:
    """Generator in huangzh13's layout, the smallest."""
    width, path = 4, folder / "foreign.pth"
    tree: dict[str, Any] = {}
    for k in range(2):
        tree[f"g_mapping.map.dense{k}.weight"] = torch.randn(
            width, width, generator=torch.Generator().manual_seed(k)
        )
        tree[f"g_mapping.map.dense{k}.bias"] = torch.zeros(width)
    for i, block in enumerate(("init_block", "blocks.0")):
        at = f"g_synthesis.{block}"
        if i == 0:
            tree |= {f"{at}.const": torch.ones(1, width, 4, 4), f"{at}.bias": torch.zeros(width)}
            second = "conv"
        else:
            tree |= {f"{at}.conv0_up.weight": torch.ones(width, width, 3, 3)}
            tree |= {f"{at}.conv0_up.bias": torch.zeros(width)}
            taps = torch.tensor([1.0, 2.0, 1.0]) / 4
            tree[f"{at}.conv0_up.intermediate.kernel"] = torch.outer(taps, taps)[None, None]
            second = "conv1"
        tree |= {f"{at}.{second}.weight": torch.ones(width, width, 3, 3)}
        tree |= {f"{at}.{second}.bias": torch.ones(width)}
        for k in (1, 2):
            tree[f"{at}.epi{k}.top_epi.noise.weight"] = torch.ones(width)
            tree[f"{at}.epi{k}.style_mod.lin.weight"] = torch.ones(2 * width, width)
            tree[f"{at}.epi{k}.style_mod.lin.bias"] = torch.ones(2 * width)
        tree[f"g_synthesis.to_rgb.{i}.weight"] = torch.ones(3, width, 1, 1)
        tree[f"g_synthesis.to_rgb.{i}.bias"] = torch.ones(3)
    torch.save(tree, path, _use_new_zipfile_serialization=as_zip)
    return path


_DTYPE = (
    b"cnumpy\ndtype\n(X\2\0\0\0f4\x89\x88tR(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
)


def _pickled(value: Any) -> bytes:
    """Opcodes of plain values and arrays."""
    if isinstance(value, dict):
        pairs = b"".join(_pickled(k) + _pickled(v) for k, v in value.items())
        return b"}(" + pairs + b"u"
    if isinstance(value, list | tuple):
        inner = b"".join(map(_pickled, value))
        return b"](" + inner + b"e" if isinstance(value, list) else b"(" + inner + b"t"
    if isinstance(value, str):
        return b"X" + struct.pack("<L", len(value)) + value.encode()
    if isinstance(value, np.ndarray):
        state = b"(K\1" + _pickled(value.shape) + _DTYPE + b"\x89B"
        raw = value.astype("<f4").tobytes()
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR"
        return made + state + struct.pack("<L", len(raw)) + raw + b"tb"
    if isinstance(value, int):
        return b"J" + struct.pack("<l", value)
    assert value is None
    return b"N"


def official(folder: Path) -> Path:
    """A discriminator of 8x8 as NVIDIA's pickles hold it."""
    C = 4
    shapes = {
        "FromRGB_lod0": (1, 1, 3, C), "FromRGB_lod1": (1, 1, 3, C), "8x8/Conv0": (3, 3, C, C),
        "8x8/Conv1_down": (3, 3, C, C), "4x4/Conv": (3, 3, C + 1, C), "4x4/Dense0": (16 * C, C),
        "4x4/Dense1": (C, 1),
    }  # fmt: skip
    variables: list[tuple[str, Any]] = [("lod", np.zeros((), np.float32))]
    for name, shape in shapes.items():
        variables.append((f"{name}/weight", np.ones(shape, np.float32)))
        variables.append((f"{name}/bias", np.zeros(shape[-1], np.float32)))
    state = {
        "version": 3,
        "name": "D",
        "static_kwargs": {"resolution": 8, "fmap_max": C, "num_channels": 3, "label_size": 0},
        "components": {},
        "build_func_name": "D_basic",
        "variables": variables,
    }
    path = folder / "network.pkl"
    made = b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81" + _pickled(state) + b"b."
    path.write_bytes(made)
    return path


def record(data: bytes) -> bytes:
    """Frame data as a TFRecord: length, data, and the checksums of both."""
    crc = masked_crc(struct.pack("<Q", len(data)))
    return LENGTH.pack(len(data), crc) + data + struct.pack("<L", masked_crc(data))


def example(pixels: np.ndarray) -> bytes:
    """tf.train.Example of uint8 [C, H, W], as the official tool writes it."""
    shape = b"".join(map(_varint, pixels.shape))
    features = {
        b"data": _field(1, _field(1, pixels.tobytes())),
        b"shape": _field(3, _field(1, shape)),
    }
    entries = (_field(1, name) + _field(2, value) for name, value in features.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])
