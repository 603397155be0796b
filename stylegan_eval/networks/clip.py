"""CLIP's image embedding (ViT-L/14 at 336 pixels), as CMMD uses it.

References
----------
Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021.
Jayasumana et al., Rethinking FID: Towards a Better Evaluation Metric, 2024.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.networks import NETWORKS
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import normalise, pillow_bicubic
from stylegan_eval.networks.vit import PATCH, Architecture, VisionTransformer
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.settings.common import Precision

NAME = "clip-vitl14-336"
SIZE = 336
FEATURE_DIM = 768
WIDTH, DEPTH, HEADS = 1024, 24, 16
EPS = 1e-5
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# Parts of OpenAI's names, and ours.
RENAMED = (
    ("conv1.", "patch_embed."),
    ("class_embedding", "cls_token"),
    ("positional_embedding", "pos_embed"),
    ("transformer.resblocks.", "blocks."),
    ("ln_pre.", "norm_pre."),
    ("ln_post.", "norm."),
    ("ln_", "norm"),
    ("in_proj_", "qkv."),
    ("out_proj.", "proj."),
    ("c_fc.", "fc1."),
    ("c_proj.", "fc2."),
)
# Parts of the names in the copy of Hugging Face, and OpenAI's.
HUGGING_FACE = (
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("layer_norm", "ln_"),
    ("self_attn.", "attn."),
    ("fc1.", "c_fc."),
    ("fc2.", "c_proj."),
)
HUGGING_FACE_HEAD = "visual_projection.weight"


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x): the approximation CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


def clip_input(images: Tensor) -> Tensor:
    """Pillow's bicubic to 336x336, rounded to bytes, then CLIP's mean and deviation.

    So the original CMMD reads its images (they are square here, where it would crop them).

    uint8 [N, 3, H, W] -> float32 [N, 3, 336, 336].
    """
    return normalise(pillow_bicubic(images, SIZE), MEAN, STD)


class Normed(nn.Module):
    """A network whose features are brought to length 1, in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Features float32 [N, D] of length 1."""
        return F.normalize(self.network(x).float(), dim=1)


def _openai_layout(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Image tower under OpenAI's names, whichever of the two layouts came."""
    if HUGGING_FACE_HEAD not in state:
        return state
    ours = {"visual.proj": state[HUGGING_FACE_HEAD].T}
    for key, value in state.items():
        # Older files list the numbers of the positions too.
        if key.startswith("vision_model.") and not key.endswith("position_ids"):
            for theirs, mine in HUGGING_FACE:
                key = key.replace(theirs, mine)
            ours[key] = value
    for key in [key for key in ours if ".attn.q_proj." in key]:
        parts = [ours.pop(key.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        ours[key.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    return ours


def build_clip(
    state: Mapping[str, Any], width: int, depth: int, heads: int, size: int
) -> VisionTransformer:
    """Image tower of this size with weights of OpenAI or Hugging Face, without the text's.

    Raises
    ------
    KeyError, RuntimeError, AttributeError
        They do not fit.
    """
    ours = {}
    for key, value in _openai_layout(state).items():
        if key.startswith("visual."):
            name = key.removeprefix("visual.")
            for theirs, mine in RENAMED:
                name = name.replace(theirs, mine)
            ours[name] = value.float()
    ours["head.weight"] = ours.pop("proj").mT.contiguous()
    ours["cls_token"] = ours["cls_token"].view(1, 1, -1)
    ours["pos_embed"] = ours["pos_embed"][None]
    architecture = Architecture(
        width=width, depth=depth, heads=heads, grid=size // PATCH, eps=EPS,
        activation=quick_gelu, scaled=False, normed=True,
    )  # fmt: skip
    with torch.device("meta"):  # no initial values: they would come from the global generator
        head = nn.Linear(width, len(ours["head.weight"]), bias=False)
        network = VisionTransformer(architecture, head)
    network.load_state_dict(ours, assign=True)
    return network


def read_clip(path: Path) -> dict[str, Any]:
    """Read a weights file; a TorchScript archive, which holds code, only if it is OpenAI's own."""
    if path.is_file() and sha256_of(path) == NETWORKS[NAME].sha256:
        with warnings.catch_warnings():
            # It is deprecated, and there is no other reader of this format.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            archive = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        return dict(archive.state_dict())
    return read_weights(path)


def load_clip(weights: Path, device: torch.device, precision: Precision = "fp32") -> FeatureNetwork:
    """Build the detector; its features have length 1.

    The weights are OpenAI's file, or a state dictionary (.pt, .safetensors) in its layout or in
    that of Hugging Face's copy, openai/clip-vit-large-patch14-336.
    """
    state = read_clip(weights)
    with parsing(weights, "not the weights of CLIP ViT-L/14@336px"):
        network = build_clip(state, WIDTH, DEPTH, HEADS, SIZE)
    return FeatureNetwork(
        name=NAME,
        resize=f"pillow-bicubic-{SIZE}",
        weights_sha256=sha256_of(weights),
        feature_dim=FEATURE_DIM,
        preprocess=clip_input,
        network=place(Normed(network), device, precision),
        device=device,
        precision=precision,
    )
