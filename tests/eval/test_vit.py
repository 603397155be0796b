import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from stylegan_eval.errors import UserError
from stylegan_eval.networks.clip import Normed, build_clip, clip_input, read_clip
from stylegan_eval.networks.network import load_detector, place
from stylegan_eval.networks.preprocess import pillow_bicubic
from stylegan_eval.networks.vit import build_dinov2, dinov2_input, resample_positions

CPU = torch.device("cpu")
WIDTH, DEPTH, HEADS = 24, 3, 2
CLIP_SIZE, EMBEDDING = 42, 10


def drawn(shapes):
    rng = torch.Generator().manual_seed(1)
    state = {}
    for name, shape in shapes.items():
        fan = math.prod(shape[1:]) if len(shape) > 1 else 4
        state[name] = torch.randn(shape, generator=rng) / math.sqrt(fan)
        if "norm" in name or "ln_" in name or name.endswith("gamma"):
            state[name] += name.endswith(("weight", "gamma"))
    return state


@pytest.fixture(scope="module")
def dinov2_state():
    """Weights under the official names, of a small network."""
    d = WIDTH
    shapes = {
        "cls_token": (1, 1, d), "pos_embed": (1, 1 + 37**2, d), "mask_token": (1, d),
        "patch_embed.proj.weight": (d, 3, 14, 14), "patch_embed.proj.bias": (d,),
        "norm.weight": (d,), "norm.bias": (d,),
    }  # fmt: skip
    for block in range(DEPTH):
        for name, shape in {
            "norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,),
            "attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,),
            "attn.proj.weight": (d, d), "attn.proj.bias": (d,),
            "ls1.gamma": (d,), "ls2.gamma": (d,),
            "mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,),
            "mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,),
        }.items():  # fmt: skip
            shapes[f"blocks.{block}.{name}"] = shape
    return drawn(shapes)


@pytest.fixture(scope="module")
def clip_state():
    """Weights under OpenAI's names, of a small network, with a tensor of the text tower."""
    d, grid = WIDTH, CLIP_SIZE // 14
    shapes = {
        "visual.class_embedding": (d,), "visual.positional_embedding": (grid**2 + 1, d),
        "visual.proj": (d, EMBEDDING), "visual.conv1.weight": (d, 3, 14, 14),
        "visual.ln_pre.weight": (d,), "visual.ln_pre.bias": (d,),
        "visual.ln_post.weight": (d,), "visual.ln_post.bias": (d,),
        "token_embedding.weight": (5, 4), "logit_scale": (),
    }  # fmt: skip
    for block in range(DEPTH):
        for name, shape in {
            "ln_1.weight": (d,), "ln_1.bias": (d,), "ln_2.weight": (d,), "ln_2.bias": (d,),
            "attn.in_proj_weight": (3 * d, d), "attn.in_proj_bias": (3 * d,),
            "attn.out_proj.weight": (d, d), "attn.out_proj.bias": (d,),
            "mlp.c_fc.weight": (4 * d, d), "mlp.c_fc.bias": (4 * d,),
            "mlp.c_proj.weight": (d, 4 * d), "mlp.c_proj.bias": (d,),
        }.items():  # fmt: skip
            shapes[f"visual.transformer.resblocks.{block}.{name}"] = shape
    return drawn(shapes)


def noise(size, count=2):
    rng = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (count, 3, size, size), generator=rng, dtype=torch.uint8)
    images[..., : size // 2] = 255 * (images[..., : size // 2] > 127)
    return images


def assert_near(ours, theirs):
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.1
    assert (ours - theirs).norm() / theirs.norm() < 1e-5


def timm_features(state, normed, size, eps, **options):
    """What timm's network of the same size makes of these weights, by its own conversion."""
    from timm.models import vision_transformer as timm

    with torch.random.fork_rng():
        network = timm.VisionTransformer(
            img_size=size, patch_size=14, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
            norm_layer=partial(torch.nn.LayerNorm, eps=eps), **options,
        ).eval()  # fmt: skip
    network.load_state_dict(timm.checkpoint_filter_fn(dict(state), network))
    with torch.inference_mode():
        return network(normed)


@pytest.mark.parametrize("size", [64, 224])
def test_dinov2_features_equal_timms(size, dinov2_state):
    x = dinov2_input(noise(size))
    network = place(build_dinov2(dinov2_state, WIDTH, DEPTH, HEADS), CPU, "fp32")
    # timm resamples positions by another rule; it gets ours.
    state = {k: v for k, v in dinov2_state.items() if k != "mask_token"}
    state["pos_embed"] = resample_positions(state["pos_embed"], 16)
    theirs = timm_features(state, x, 224, 1e-6, num_classes=0, init_values=1.0)
    assert_near(network(x), theirs)


def plain_dinov2(state, x):
    """The forward pass written out."""
    tokens = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 14)
    tokens = tokens.flatten(2).transpose(1, 2)
    tokens = torch.cat([state["cls_token"].expand(len(x), 1, WIDTH), tokens], 1)
    tokens = tokens + resample_positions(state["pos_embed"], 16)

    def norm(name, value):
        return F.layer_norm(
            value, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6
        )

    def linear(name, value):
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    for index in range(DEPTH):
        at = f"blocks.{index}"
        q, k, v = linear(f"{at}.attn.qkv", norm(f"{at}.norm1", tokens)).chunk(3, -1)
        heads = []
        for part in zip(*(value.chunk(HEADS, -1) for value in (q, k, v)), strict=True):
            scores = part[0] @ part[1].transpose(1, 2) / math.sqrt(WIDTH / HEADS)
            heads.append(scores.softmax(-1) @ part[2])
        tokens = tokens + state[f"{at}.ls1.gamma"] * linear(f"{at}.attn.proj", torch.cat(heads, -1))
        hidden = F.gelu(linear(f"{at}.mlp.fc1", norm(f"{at}.norm2", tokens)))
        tokens = tokens + state[f"{at}.ls2.gamma"] * linear(f"{at}.mlp.fc2", hidden)
    return norm("norm", tokens)[:, 0]


def test_dinov2_features_equal_the_formulas(dinov2_state):
    x = dinov2_input(noise(100))
    network = place(build_dinov2(dinov2_state, WIDTH, DEPTH, HEADS), CPU, "fp32")
    expected = plain_dinov2({k: v.double() for k, v in dinov2_state.items()}, x.double())
    assert_near(network(x).double(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_clip_embeddings_equal_timms(dtype, clip_state):
    x = torch.randn(3, 3, CLIP_SIZE, CLIP_SIZE, generator=torch.Generator().manual_seed(0))
    state = {k: v.to(dtype) for k, v in clip_state.items()}
    network = place(Normed(build_clip(state, WIDTH, DEPTH, HEADS, CLIP_SIZE)), CPU, "fp32")
    theirs = timm_features(
        {k: v.float() for k, v in state.items()}, x, CLIP_SIZE, 1e-5,
        num_classes=EMBEDDING, pre_norm=True, act_layer="quick_gelu",
    )  # fmt: skip
    ours = network(x)
    assert_near(ours, F.normalize(theirs, dim=1))
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(3))


def hugging_face_layout(state):
    """OpenAI's weights under the names of Hugging Face's copy."""
    tower = {k.removeprefix("visual."): v for k, v in state.items() if k.startswith("visual.")}
    at = "vision_model.embeddings"
    out = {
        "visual_projection.weight": tower["proj"].T.contiguous(),
        f"{at}.class_embedding": tower["class_embedding"],
        f"{at}.patch_embedding.weight": tower["conv1.weight"],
        f"{at}.position_embedding.weight": tower["positional_embedding"],
        f"{at}.position_ids": torch.arange(len(tower["positional_embedding"]))[None],
        "text_model.final_layer_norm.bias": torch.zeros(3),
        "logit_scale": state["logit_scale"],
    }
    for kind in ("weight", "bias"):
        out[f"vision_model.pre_layrnorm.{kind}"] = tower[f"ln_pre.{kind}"]
        out[f"vision_model.post_layernorm.{kind}"] = tower[f"ln_post.{kind}"]
        for block in range(DEPTH):
            theirs, ours = f"vision_model.encoder.layers.{block}", f"transformer.resblocks.{block}"
            for number in (1, 2):
                out[f"{theirs}.layer_norm{number}.{kind}"] = tower[f"{ours}.ln_{number}.{kind}"]
            joined = tower[f"{ours}.attn.in_proj_{kind}"].chunk(3)
            for name, part in zip("qkv", joined, strict=True):
                out[f"{theirs}.self_attn.{name}_proj.{kind}"] = part.clone()
            out[f"{theirs}.self_attn.out_proj.{kind}"] = tower[f"{ours}.attn.out_proj.{kind}"]
            out[f"{theirs}.mlp.fc1.{kind}"] = tower[f"{ours}.mlp.c_fc.{kind}"]
            out[f"{theirs}.mlp.fc2.{kind}"] = tower[f"{ours}.mlp.c_proj.{kind}"]
    return out


def test_both_layouts_of_clip_are_one_network(clip_state):
    x = torch.randn(2, 3, CLIP_SIZE, CLIP_SIZE, generator=torch.Generator().manual_seed(0))
    one, other = (
        place(build_clip(state, WIDTH, DEPTH, HEADS, CLIP_SIZE), CPU, "fp32")(x)
        for state in (clip_state, hugging_face_layout(clip_state))
    )
    assert torch.equal(one, other)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    path = tmp_path / "script.pt"
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(UserError, match=r"script\.pt: not a weights file"):
        read_clip(path)


def test_bfloat16_features_are_near(dinov2_state, clip_state):
    for network, size in (
        (lambda: build_dinov2(dinov2_state, WIDTH, DEPTH, HEADS), 224),
        (lambda: Normed(build_clip(clip_state, WIDTH, DEPTH, HEADS, CLIP_SIZE)), CLIP_SIZE),
    ):
        x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        exact = place(network(), CPU, "fp32")(x)
        coarse = place(network(), CPU, "bf16")(x.bfloat16()).float()
        assert 1e-5 < (coarse - exact).norm() / exact.norm() < 5e-2


@pytest.mark.parametrize("target", [224, 336])
@pytest.mark.parametrize("size", [32, 64, 100, 256, 336, 512, 1024])
def test_resize_equals_pillows_bit_for_bit(size, target):
    images = noise(size)
    pillow = [
        np.asarray(
            Image.fromarray(image.permute(1, 2, 0).numpy()).resize(
                (target, target), Image.Resampling.BICUBIC
            )
        )
        for image in images
    ]
    expected = torch.from_numpy(np.stack(pillow)).permute(0, 3, 1, 2)
    assert torch.equal(pillow_bicubic(images, target), expected.float())


def test_rectangles_are_resized_as_pillow_does():
    image = noise(90, count=1)[:, :, :50]
    expected = np.asarray(
        Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize(
            (224, 224), Image.Resampling.BICUBIC
        )
    )
    assert np.array_equal(pillow_bicubic(image, 224)[0].permute(1, 2, 0).numpy(), expected)


def test_inputs_are_normalised_by_each_networks_constants():
    grey = torch.full((1, 3, 8, 8), 51, dtype=torch.uint8)
    for rule, mean, std in (
        (dinov2_input, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (clip_input, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ):
        expected = (0.2 - torch.tensor(mean)) / torch.tensor(std)
        torch.testing.assert_close(rule(grey)[0, :, 5, 5], expected)


def keys_kernel(x, a=-0.75):
    """The cubic of PyTorch's interpolation."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4)


def test_positions_are_sampled_at_the_official_steps():
    ramp = torch.arange(37.0)[:, None].expand(37, 37).reshape(1, -1, 1)
    positions = torch.cat([torch.full((1, 1, 1), 7.0), ramp], dim=1)
    found = resample_positions(positions, 16)
    assert found.shape == (1, 257, 1)
    assert found[0, 0, 0] == 7
    rows = found[0, 1:, 0].view(16, 16)
    for row in range(1, 15):  # away from the ends
        place = (row + 0.5) * (37 / 16.1) - 0.5
        near = range(math.floor(place) - 1, math.floor(place) + 3)
        expected = sum(at * keys_kernel(place - at) for at in near)
        assert rows[row, 3].item() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(resample_positions(positions, 37), positions)


@pytest.mark.parametrize("features", ["dinov2-vits14", "dinov2-vitl14", "clip-vitl14-336"])
def test_weights_that_do_not_fit_are_refused(features, tmp_path, dinov2_state, clip_state):
    torch.save(dinov2_state, tmp_path / "dinov2.pth")
    save_file(clip_state, tmp_path / "clip.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "text.pt").write_text("not weights")
    for name in ("dinov2.pth", "text.safetensors", "text.pt", "absent.pt", "clip.safetensors"):
        with pytest.raises(UserError, match=name) as caught:
            load_detector(features, "tf1", tmp_path / name, CPU)
        assert "\n" not in str(caught.value)


def test_clip_is_read_from_safetensors_and_plain_dictionaries(tmp_path, clip_state):
    torch.save(clip_state, tmp_path / "clip.pt")
    save_file(clip_state, tmp_path / "clip.safetensors")
    for name in ("clip.pt", "clip.safetensors"):
        state = read_clip(tmp_path / name)
        assert all(torch.equal(state[key], value) for key, value in clip_state.items())
