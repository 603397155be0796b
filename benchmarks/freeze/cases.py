"""Frozen commands, in an order in which each finds its input.

Small inputs, one thread, no download. Words in braces are files in the folder of the run.
"""

from collections.abc import Mapping
from types import MappingProxyType

_LITE = "--features efficientnet-lite0 --device cpu"
_PPL = "--distance st-lpips-alex --crop none"
_TRAIN = "stylegan-train --preset tiny-16 --warmup 0 --device cpu --workers 0"

# Names of cases, which messages use, and their commands.
CASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "avatars": (
            "stylegan-data avatars av16.zip --count 160 --resolution 16 --seed 0",
            "stylegan-data avatars av64.zip --count 128 --resolution 64 --seed 0",
        ),
        "data": (
            "stylegan-data inspect av16.zip",
            "stylegan-data export av16.zip folder16",
            "stylegan-data prepare folder16 --dry-run --report survey.csv",
            "stylegan-data prepare av64.zip av32.zip --resolution 32 --filter lanczos",
        ),
        "plans": (
            "stylegan-train --preset list",
            *(f"stylegan-train --config {row} --print-config" for row in "ABCDEF"),
            f"{_TRAIN} --config F --data av16.zip --out none --dry-run",
            "stylegan-train --config A --preset paper-celebahq --dry-run --warmup 0 --device cpu",
        ),
        "train": (
            (
                f"{_TRAIN} --config F --data av16.zip --out f16 --kimg 0.5 --snapshot-kimg 0.25"
                " --metrics fd64,pr64 --metrics-features efficientnet-lite0"
                " --no-tensorboard"
            ),
            "stylegan-train --resume --out f16 --kimg 0.8",
            f"{_TRAIN} --config A --data av16.zip --out a16 --kimg 0.4 --no-tensorboard",
            f"{_TRAIN} --config F --data av16.zip --out c16 --kimg 0.4 --cond --no-tensorboard",
            (
                f"{_TRAIN} --init f16 --config F --data av16.zip --out i16 --kimg 0.2"
                " --precision bf16 --no-tensorboard"
            ),
            "stylegan-train status f16 --csv status.csv -o status.png",
        ),
        "sample": (
            "stylegan-sample info --ckpt demo",
            "stylegan-sample info --ckpt f16",
            "stylegan-sample grid --ckpt demo --seeds 0-7 --psi 0.7 grid.png",
            "stylegan-sample grid --ckpt c16 --class 3 --seeds 0-3 class.png",
            (
                "stylegan-sample image --ckpt demo --seed 5 --mix 8:0-3 --noise none"
                " --move smiling=1.5 image.png"
            ),
            "stylegan-sample figure 2 --ckpt demo 2.png",
            "stylegan-sample figure 3 --ckpt demo 3.png",
            "stylegan-sample figure 4 --ckpt demo 4.png",
            "stylegan-sample figure 5 --ckpt demo 5.png",
            "stylegan-sample figure 8 --ckpt demo 8.png",
            "stylegan-sample mixing --ckpt demo --layout rosinality mixing.png",
            "stylegan-sample interpolate --ckpt demo --seeds 0-2 --frames 4 --loop walk.gif",
            "stylegan-sample project --ckpt demo image.png found.png --steps 8 --save ws.npy",
            "stylegan-sample export --ckpt demo --ws ws.npy images.npy",
            "stylegan-sample scores --ckpt demo --images images.npy scores.npy",
        ),
        "convert": (
            "stylegan-convert demo --describe",
            "stylegan-convert f16 f16.safetensors",
            "stylegan-convert demo ema.safetensors --which ema",
        ),
        "evaluate": (
            f"stylegan-eval fid --ckpt demo --data av64.zip -n 64 {_LITE} --csv results.csv",
            f"stylegan-eval fid --floor --data av64.zip -n 48 {_LITE} --csv results.csv",
            f"stylegan-eval fid --images folder16 --data av16.zip -n 128 {_LITE} --json",
            f"stylegan-eval stats --data av16.zip stats.npz {_LITE}",
            f"stylegan-eval fid --images folder16 --data stats.npz -n 128 {_LITE}",
            (
                "stylegan-eval classifiers train --data av64.zip --resolution 16 --epochs 2"
                " --skip-constant --out attributes.safetensors --device cpu"
            ),
            (
                f"stylegan-eval all --ckpt demo --data av64.zip -n 64 {_LITE} --subset-size 32"
                f" --pairs 8 {_PPL} --classifiers attributes.safetensors"
                " --attributes eyeglasses,suit --ls-num 96 --ls-keep 64 --csv all.csv"
                " --distances lengths.npz"
            ),
            f"stylegan-eval ppl --ckpt demo -n 6 {_PPL} --derivative both --device cpu",
            (
                f"stylegan-eval kid --ckpt demo --data av64.zip -n 64 {_LITE} --subset-size 16"
                " --psi 0.5 --mixing 2"
            ),
            (
                "stylegan-eval directions --ckpt demo --classifiers attributes.safetensors"
                " --attributes eyeglasses,suit -n 96 --keep 64 --samples 8 --out d.safetensors"
                " --device cpu"
            ),
            "stylegan-eval compare results.csv all.csv --csv compared.csv",
            f"stylegan-eval report all.csv f16 --data av64.zip -o report.html --samples 4 {_LITE}",
            "stylegan-eval cache list",
        ),
        "tables": (
            "stylegan-data avatars bench32.zip --count 160 --resolution 32 --seed 0",
            (
                "benchmarks run table2 --scale tiny-32 --data bench32.zip --out tables"
                " --rows mixing-0,F --kimg 0.4 --device cpu"
            ),
            "benchmarks report tables",
        ),
    }
)
MODULES: Mapping[str, str] = MappingProxyType(
    {
        "stylegan-convert": "stylegan.convert",
        "stylegan-data": "stylegan.data",
        "stylegan-eval": "stylegan_eval",
        "stylegan-explore": "stylegan.explore.command",
        "stylegan-sample": "stylegan.sample.cli",
        "stylegan-train": "stylegan.train",
        "benchmarks": "benchmarks",
    }
)
