"""huangzh13's layout: files made from its table of keys, and the forward passes in plain torch."""

import math

import torch
import torch.nn.functional as F

from tests.formats.peers_genforce import deviation
from tests.formats.peers_rosinality import KERNEL, Draw

W = 12
WIDTHS = (16, 16, 16, 16, 8, 4)
SQRT2 = math.sqrt(2)


def _layer(state, draw, name, epilogue, C):
    state[f"{epilogue}.top_epi.noise.weight"] = draw(C)
    state[f"{epilogue}.style_mod.lin.weight"] = draw(2 * C, W)
    state[f"{epilogue}.style_mod.lin.bias"] = draw(2 * C)
    state[f"{name}.bias"] = draw(C)


def generator(
    widths=WIDTHS, *, trained=None, classes=0, blurred=True, seed=0, dtype=torch.float32, depth=4
):
    draw, state, g = Draw(seed, dtype), {}, "g_synthesis"
    if classes:
        state["class_embedding.weight"] = draw(classes, W)
    for k in range(depth):
        fan_in = 2 * W if classes and k == 0 else W
        state[f"g_mapping.map.dense{k}.weight"] = draw(W, fan_in) * 100
        state[f"g_mapping.map.dense{k}.bias"] = draw(W) * 10
    C = widths[0]
    state[f"{g}.init_block.const"], state[f"{g}.init_block.bias"] = draw(1, C, 4, 4), draw(C)
    _layer(state, draw, f"{g}.init_block", f"{g}.init_block.epi1", C)
    state[f"{g}.init_block.conv.weight"] = draw(C, C, 3, 3)
    _layer(state, draw, f"{g}.init_block.conv", f"{g}.init_block.epi2", C)
    for i, C in enumerate(widths[1:]):
        name = f"{g}.blocks.{i}"
        state[f"{name}.conv0_up.weight"] = draw(C, widths[i], 3, 3)
        if blurred:
            state[f"{name}.conv0_up.intermediate.kernel"] = KERNEL.to(dtype)[None, None].clone()
        _layer(state, draw, f"{name}.conv0_up", f"{name}.epi1", C)
        state[f"{name}.conv1.weight"] = draw(C, C, 3, 3)
        _layer(state, draw, f"{name}.conv1", f"{name}.epi2", C)
    for i, C in enumerate(widths):
        state[f"{g}.to_rgb.{i}.weight"], state[f"{g}.to_rgb.{i}.bias"] = draw(3, C, 1, 1), draw(3)
    state["truncation.avg_latent"] = draw(W)
    for i in range(trained or len(widths), len(widths)):  # as they began
        for name, value in state.items():
            if name.startswith((f"{g}.blocks.{i - 1}.", f"{g}.to_rgb.{i}.")) and (
                name.endswith(("bias", "noise.weight"))
            ):
                value.zero_()
    return state


def discriminator(widths=WIDTHS, *, blurred=True, seed=2, dtype=torch.float32):
    draw, state, top = Draw(seed, dtype), {}, len(widths) - 1
    for k, C in enumerate(reversed(widths)):
        state[f"from_rgb.{k}.weight"], state[f"from_rgb.{k}.bias"] = draw(C, 3, 1, 1), draw(C)
        if k < top:
            name, C_next = f"blocks.{k}", widths[top - k - 1]
            state[f"{name}.conv0.weight"], state[f"{name}.conv0.bias"] = draw(C, C, 3, 3), draw(C)
            if blurred:
                state[f"{name}.blur.kernel"] = KERNEL.to(dtype)[None, None].clone()
            state[f"{name}.conv1_down.weight"] = draw(C_next, C, 3, 3)
            state[f"{name}.conv1_down.bias"] = draw(C_next)
            mean = torch.full((1, 1, 2, 2), 0.25, dtype=dtype)
            state[f"{name}.conv1_down.downscale.blur.kernel"] = mean
    C = widths[0]
    state["final_block.conv.weight"] = draw(C, C + 1, 3, 3)
    state["final_block.dense0.weight"] = draw(C, 16 * C)
    state["final_block.dense1.weight"] = draw(1, C)
    for name, size in (("conv", C), ("dense0", C), ("dense1", 1)):
        state[f"final_block.{name}.bias"] = draw(size)
    return state


def _scaled(weight, gain=SQRT2):
    return weight * (gain / math.sqrt(weight[0].numel()))


def mapping(state, z, label=None):
    if label is not None:
        z = torch.cat([z, state["class_embedding.weight"][label]], dim=1)
    x, k = z * torch.rsqrt((z**2).mean(dim=1, keepdim=True) + 1e-8), 0
    while f"g_mapping.map.dense{k}.bias" in state:
        weight = _scaled(state[f"g_mapping.map.dense{k}.weight"]) * 0.01
        x = F.leaky_relu(F.linear(x, weight, state[f"g_mapping.map.dense{k}.bias"] * 0.01), 0.2)
        k += 1
    return x


def _epilogue(state, name, x, w, noise):
    x = x + state[f"{name}.top_epi.noise.weight"].view(1, -1, 1, 1) * noise
    x = F.instance_norm(F.leaky_relu(x, 0.2))
    weight = _scaled(state[f"{name}.style_mod.lin.weight"], 1)
    style = F.linear(w, weight, state[f"{name}.style_mod.lin.bias"]).view(len(w), 2, -1, 1, 1)
    return x * (style[:, 0] + 1) + style[:, 1]


def _upsampled(state, name, x):
    weight = _scaled(state[f"{name}.weight"])
    if x.shape[-1] * 2 >= 128:
        weight = F.pad(weight.transpose(0, 1), (1, 1, 1, 1))
        weight = sum(weight[..., a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1))
        x = F.conv_transpose2d(x, weight, stride=2, padding=1)
    else:
        x = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
    kernel = state.get(f"{name}.intermediate.kernel")
    if kernel is not None:
        x = F.conv2d(x, kernel.repeat(x.shape[1], 1, 1, 1), padding=1, groups=x.shape[1])
    return x + state[f"{name}.bias"].view(1, -1, 1, 1)


def synthesis(state, w, noise, depth, alpha=1.0):
    """w [N, W], noise by layer -> images of resolution 4 << depth."""
    name = "g_synthesis.init_block"
    x = state[f"{name}.const"] + state[f"{name}.bias"].view(1, -1, 1, 1)
    x = _epilogue(state, f"{name}.epi1", x.repeat(len(w), 1, 1, 1), w, noise[0])
    x = F.conv2d(x, _scaled(state[f"{name}.conv.weight"]), state[f"{name}.conv.bias"], padding=1)
    x = before = _epilogue(state, f"{name}.epi2", x, w, noise[1])
    for i in range(depth):
        before, name = x, f"g_synthesis.blocks.{i}"
        x = _upsampled(state, f"{name}.conv0_up", x)
        x = _epilogue(state, f"{name}.epi1", x, w, noise[2 * i + 2])
        weight = _scaled(state[f"{name}.conv1.weight"])
        x = F.conv2d(x, weight, state[f"{name}.conv1.bias"], padding=1)
        x = _epilogue(state, f"{name}.epi2", x, w, noise[2 * i + 3])

    def rgb(k, y):
        name = f"g_synthesis.to_rgb.{k}"
        return F.conv2d(y, _scaled(state[f"{name}.weight"], 1), state[f"{name}.bias"])

    if alpha == 1:
        return rgb(depth, x)
    coarse = rgb(depth - 1, F.interpolate(before, scale_factor=2))
    return alpha * rgb(depth, x) + (1 - alpha) * coarse


def scores(state, images, lod=0.0):
    """Images of native size at `lod` -> [N, 1]."""
    level, fade = int(lod), lod % 1
    top = sum(name.endswith("conv0.bias") for name in state)

    def from_rgb(k, y):
        return F.conv2d(y, _scaled(state[f"from_rgb.{k}.weight"]), state[f"from_rgb.{k}.bias"])

    x = from_rgb(level, images)
    for k in range(level, top):
        name = f"blocks.{k}"
        weight = _scaled(state[f"{name}.conv0.weight"])
        x = F.leaky_relu(F.conv2d(x, weight, state[f"{name}.conv0.bias"], padding=1), 0.2)
        kernel = state.get(f"{name}.blur.kernel")
        if kernel is not None:
            x = F.conv2d(x, kernel.repeat(x.shape[1], 1, 1, 1), padding=1, groups=x.shape[1])
        x = F.avg_pool2d(F.conv2d(x, _scaled(state[f"{name}.conv1_down.weight"]), padding=1), 2)
        x = F.leaky_relu(x + state[f"{name}.conv1_down.bias"].view(1, -1, 1, 1), 0.2)
        if k == level and fade:
            x = (1 - fade) * x + fade * from_rgb(k + 1, F.avg_pool2d(images, 2))
    weight = _scaled(state["final_block.conv.weight"])
    x = F.conv2d(deviation(x), weight, state["final_block.conv.bias"], padding=1)
    x = F.leaky_relu(x, 0.2).flatten(1)
    weight, bias = state["final_block.dense0.weight"], state["final_block.dense0.bias"]
    x = F.leaky_relu(F.linear(x, _scaled(weight), bias), 0.2)
    weight, bias = state["final_block.dense1.weight"], state["final_block.dense1.bias"]
    return F.linear(x, _scaled(weight, 1), bias)
