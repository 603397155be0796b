"""Open the networks that a user names: a run's folder, a file of any format, or `demo`.

The format of a file is detected from its content.
"""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import torch

from stylegan.checkpoint import (
    checkpoints_in,
    is_ours,
    looks_like_checkpoint,
    newest_checkpoint,
    read_archive,
    read_checkpoint,
    snapshot_of,
)
from stylegan.configs import config_to_dict, flat
from stylegan.formats.nvidia import ORIGIN, is_pickle, read_nvidia
from stylegan.formats.torch_files import read_peer
from stylegan.network_file import is_network, is_safetensors, read_network
from stylegan.networks.generator import DrawsLabels, GeneratorAtLod
from stylegan.snapshot import NOT_AVERAGED, Snapshot, load_generator, load_labels
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.engine.sampling import SHOWN
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.torch_files import is_torch_legacy

DEMO = "demo"  # ./demo is a file or folder of the user
DEMO_FILE = "demo-64.safetensors"
DEMO_DIRECTIONS_FILE = "demo-64-directions.safetensors"


def demo_path() -> Path:
    """Network that the package carries; the name ``demo`` wherever a checkpoint is asked for."""
    return _packaged(DEMO_FILE, "network called demo")


def demo_directions_path() -> Path:
    """Attribute directions of the network that the package carries."""
    return _packaged(DEMO_DIRECTIONS_FILE, "directions of demo")


def _packaged(name: str, what: str) -> Path:
    path = Path(str(files("stylegan").joinpath(name)))
    if not path.is_file():
        raise UserError(f"this installation lacks the {what}: {path} is missing")
    return path


def located(path: Path) -> Path:
    """File of ``Path("demo")``, of a run's folder (its newest checkpoint), or the file itself."""
    return demo_path() if path == Path(DEMO) else newest_checkpoint(path)


def open_networks(path: Path) -> tuple[Path, Snapshot]:
    """Read networks of any kind onto the CPU, from what `located` finds; the file, and its content.

    Some of "G_ema", "G" and "D" may be missing, unless it is a checkpoint.
    """
    path = located(path)
    for is_of, read in KINDS:
        if is_of(path):
            return path, read(path)
    return path, read_checkpoint(path)  # which tells what is expected


def check_resumable(path: Path) -> None:
    """Refuse to continue a run from a file that never holds all of it."""
    if path == Path(DEMO) or is_safetensors(path) or is_torch_legacy(path) or is_pickle(path):
        raise UserError(
            f"{path} holds no state of the optimizers, so no run can go on from it: start a new one"
            " with --init"
        )


def _read_saved(path: Path) -> Snapshot:
    """Read a file of `torch.save`: our checkpoint, or another implementation's."""
    tree = read_archive(path)
    snapshot = snapshot_of(tree, path) if is_ours(tree) else read_peer(tree, path)
    if snapshot is None:
        raise UserError(
            f"{path}: holds tensors of no layout that is known (docs/peers.md): use another file"
        )
    return snapshot


# Which reader takes a file, by its content.
KINDS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Snapshot]], ...] = (
    (is_safetensors, read_network),
    (is_torch_legacy, _read_saved),  # before pickles, which these are too
    (is_pickle, read_nvidia),
    (looks_like_checkpoint, _read_saved),
)


def load_for_evaluation(path: Path, device: torch.device) -> LoadedGenerator | None:
    """Entry point of `stylegan-eval`: generator of a file that `open_networks` opens, or None."""
    if path.is_dir() and checkpoints_in(path):
        path = newest_checkpoint(path)
    kinds = (looks_like_checkpoint, is_torch_legacy, is_pickle, is_network)
    if not any(is_of(path) for is_of in kinds):
        return None
    _, snapshot = open_networks(path)
    config = snapshot.config
    conditional = config.network.label_size > 0
    network, lod = load_generator(snapshot, device), snapshot.lod
    labels = load_labels(snapshot) if conditional else None
    shown = SHOWN.get(config.network.num_channels, "")

    def in_type(dtype: torch.dtype) -> ImageGenerator:  # holds no more than it needs
        grown_to = GeneratorAtLod(network, lod, dtype)
        return grown_to if labels is None else DrawsLabels(grown_to, labels)

    return LoadedGenerator(
        generator=in_type(torch.float32),
        in_type=in_type,
        smooth=not conditional,
        maps=config.network.mapping_layers > 0,
        description=snapshot.description,
        sha256=sha256_of(path),
        mirrored=snapshot.mirrored,
        settings={key: json.dumps(value) for key, value in flat(config_to_dict(config)).items()},
        origin=_origin(snapshot),
        notes=tuple(note for note in (shown, _assumed(snapshot)) if note),
    )


def _assumed(snapshot: Snapshot) -> str:
    """What every result must say of networks that were trained or chosen elsewhere."""
    facts = snapshot.facts
    if not facts.command:  # not of a training that is known in full
        parts = facts.note.split("; ")
        return "; ".join(part for part in parts if not part.startswith(ORIGIN))
    return NOT_AVERAGED if NOT_AVERAGED in facts.note else ""


def _origin(snapshot: Snapshot) -> dict[str, str]:
    """Origin of networks as text by label; what is not known is left out."""
    provenance, facts = snapshot.provenance, snapshot.facts
    computed = (f"{how} from image {nimg}" for nimg, how in provenance.execution)
    origin = {
        "trained": snapshot.trained,
        "seed of the training": str(provenance.seed),
        "training images": provenance.data,
        "began as": provenance.init,
        "computed in": ", ".join(computed),
        "trained by": f"version {provenance.version}" if provenance.version else "",
        "trained with": facts.command,
        "note": facts.note,
    }
    return {key: words for key, words in origin.items() if words}
