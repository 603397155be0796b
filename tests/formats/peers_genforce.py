"""The layouts of genforce and Hammer: files made from their tables of keys, and the forward pass of
both networks in plain torch, on genforce's names."""

import math
import re

import torch
import torch.nn.functional as F

from tests.formats.peers_rosinality import KERNEL, Draw

W = 12
WIDTHS = (16, 16, 16, 16, 8, 4)
SQRT2 = math.sqrt(2)


def generator(widths=WIDTHS, *, labels=0, dense=False, lod=0.0, seed=0, dtype=torch.float32):
    draw = Draw(seed, dtype)
    state = {"truncation.w_avg": draw(W), "synthesis.lod": torch.tensor(lod, dtype=dtype)}
    if labels:
        state["mapping.label_weight"] = draw(labels, W)
    for k in range(8):
        state[f"mapping.dense{k}.weight"] = draw(W, 2 * W if labels and k == 0 else W) * 100
        state[f"mapping.dense{k}.bias"] = draw(W) * 10
    for n in range(2 * len(widths)):
        name, size, C = f"synthesis.layer{n}", 4 << n // 2, widths[n // 2]
        if n == 0 and dense:
            state[f"{name}.weight"] = draw(C, W, 4, 4)
        elif n == 0:
            state[f"{name}.const"] = draw(1, C, 4, 4)
        else:
            state[f"{name}.weight"] = draw(C, C if n % 2 else widths[n // 2 - 1], 3, 3)
        if n and n % 2 == 0:
            state[f"{name}.blur.kernel"] = KERNEL.to(dtype).expand(C, 1, 3, 3).clone()
        state[f"{name}.bias"] = draw(C)
        state[f"{name}.apply_noise.weight"] = draw(C)
        state[f"{name}.apply_noise.noise"] = draw(1, 1, size, size)
        state[f"{name}.style.weight"] = draw(2 * C, W)
        state[f"{name}.style.bias"] = draw(2 * C)
    for b, C in enumerate(widths):
        state[f"synthesis.output{b}.weight"] = draw(3, C, 1, 1)
        state[f"synthesis.output{b}.bias"] = draw(3)
    return state


def discriminator(widths=WIDTHS, *, labels=0, seed=2, dtype=torch.float32):
    draw = Draw(seed, dtype)
    state, top = {"lod": torch.tensor(0.0, dtype=dtype)}, len(widths) - 1
    for k, C in enumerate(reversed(widths)):
        state[f"input{k}.weight"], state[f"input{k}.bias"] = draw(C, 3, 1, 1), draw(C)
        if k < top:
            state[f"layer{2 * k}.weight"], state[f"layer{2 * k}.bias"] = draw(C, C, 3, 3), draw(C)
            C_next = widths[top - k - 1]
            state[f"layer{2 * k + 1}.weight"] = draw(C_next, C, 3, 3)
            state[f"layer{2 * k + 1}.bias"] = draw(C_next)
            blur = KERNEL.to(dtype).expand(C, 1, 3, 3).clone()
            state[f"layer{2 * k + 1}.blur.kernel"] = blur
    C = widths[0]
    state[f"layer{2 * top}.weight"], state[f"layer{2 * top}.bias"] = draw(C, C + 1, 3, 3), draw(C)
    state[f"layer{2 * top + 1}.weight"] = draw(C, 16 * C)
    state[f"layer{2 * top + 1}.bias"] = draw(C)
    state[f"layer{2 * top + 2}.weight"] = draw(max(labels, 1), C)
    state[f"layer{2 * top + 2}.bias"] = draw(max(labels, 1))
    return state


def as_hammer(state):
    """The same network under Hammer's names."""
    last = max((int(m[1]) for name in state if (m := re.match(r"layer(\d+)", name))), default=-1)
    renamed = {}
    for name, value in state.items():
        if name.endswith("apply_noise.weight"):
            value = value.reshape(1, -1, 1, 1)
        new = name.replace("apply_noise.weight", "noise_strength").replace("apply_noise.", "")
        new = new.replace("blur.kernel", "filter").replace("truncation.", "")
        new = new.replace("mapping.label_weight", "mapping.embedding")
        renamed[new.replace(f"layer{last}.", "output.")] = value
    return renamed


def mapping(state, z, label=None):
    if label is not None:
        z = torch.cat([z, state["mapping.label_weight"][label]], dim=1)
    x = z / torch.sqrt((z**2).mean(dim=1, keepdim=True) + 1e-8)
    for k in range(8):
        weight = state[f"mapping.dense{k}.weight"] * (SQRT2 / math.sqrt(x.shape[1]) * 0.01)
        x = F.leaky_relu(F.linear(x, weight, state[f"mapping.dense{k}.bias"] * 0.01), 0.2)
    return x


def _scaled(weight, gain=SQRT2):
    return weight * (gain / math.sqrt(weight[0].numel()))


def _shifted(kernel):
    kernel = F.pad(kernel, (1, 1, 1, 1))
    return sum(kernel[..., a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1))


def _convolved(state, n, x, fused_from):
    name, C = f"synthesis.layer{n}", len(state[f"synthesis.layer{n}.bias"])
    if f"{name}.const" in state:
        return state[f"{name}.const"].repeat(len(x), 1, 1, 1)
    weight = _scaled(state[f"{name}.weight"])
    if n == 0:
        return F.conv2d(x[:, :, None, None], weight, padding=3)
    if n % 2:
        return F.conv2d(x, weight, padding=1)
    if 4 << n // 2 >= fused_from:
        x = F.conv_transpose2d(x, _shifted(weight).transpose(0, 1), stride=2, padding=1)
    else:
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.conv2d(x, weight, padding=1)
    return F.conv2d(x, state[f"{name}.blur.kernel"], padding=1, groups=C)


def synthesis(state, w, noise=None, lod=0.0, fused_from=128):
    """w [N, W] -> images of native size; noise by layer, or what the file holds."""
    blocks = sum(re.fullmatch(r"synthesis\.output\d+\.bias", name) is not None for name in state)
    x, images = w, []
    for n in range(2 * (blocks - int(lod))):
        name = f"synthesis.layer{n}"
        x = _convolved(state, n, x, fused_from)
        given = state[f"{name}.apply_noise.noise"] if noise is None else noise[n]
        x = x + given * state[f"{name}.apply_noise.weight"].view(1, -1, 1, 1)
        x = F.leaky_relu(x + state[f"{name}.bias"].view(1, -1, 1, 1), 0.2)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x / torch.sqrt((x**2).mean(dim=(2, 3), keepdim=True) + 1e-8)
        style = F.linear(w, _scaled(state[f"{name}.style.weight"], 1), state[f"{name}.style.bias"])
        scale, shift = style[..., None, None].chunk(2, dim=1)
        x = x * (scale + 1) + shift
        if n % 2:
            rgb = f"synthesis.output{n // 2}"
            weight = _scaled(state[f"{rgb}.weight"], 1)
            images.append(F.conv2d(x, weight, state[f"{rgb}.bias"]))
    if lod == int(lod):
        return images[-1]
    coarse = images[-2].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    alpha = math.ceil(lod) - lod
    return images[-1] * alpha + coarse * (1 - alpha)


def deviation(x):
    """Append the deviation over strided groups of four, as one map."""
    N, C, H, W_ = x.shape
    groups = x.reshape(min(4, N), -1, C, H, W_)
    spread = torch.sqrt(groups.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))  # [M]
    return torch.cat([x, spread.repeat(min(4, N)).view(N, 1, 1, 1).expand(N, 1, H, W_)], dim=1)


def scores(state, images):
    """Images [N, 3, R, R] -> scores of all classes."""
    top = sum(name.endswith("blur.kernel") for name in state)
    x = F.conv2d(images, _scaled(state["input0.weight"]), state["input0.bias"])
    x = F.leaky_relu(x, 0.2)
    for k in range(top):
        weight = _scaled(state[f"layer{2 * k}.weight"])
        x = F.leaky_relu(F.conv2d(x, weight, state[f"layer{2 * k}.bias"], padding=1), 0.2)
        x = F.conv2d(x, state[f"layer{2 * k + 1}.blur.kernel"], padding=1, groups=x.shape[1])
        weight = _scaled(state[f"layer{2 * k + 1}.weight"])
        x = F.avg_pool2d(F.conv2d(x, weight, padding=1), 2)
        x = F.leaky_relu(x + state[f"layer{2 * k + 1}.bias"].view(1, -1, 1, 1), 0.2)
    x = deviation(x)
    weight, bias = _scaled(state[f"layer{2 * top}.weight"]), state[f"layer{2 * top}.bias"]
    x = F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2).flatten(1)
    weight, bias = state[f"layer{2 * top + 1}.weight"], state[f"layer{2 * top + 1}.bias"]
    x = F.leaky_relu(F.linear(x, _scaled(weight), bias), 0.2)
    weight, bias = state[f"layer{2 * top + 2}.weight"], state[f"layer{2 * top + 2}.bias"]
    return F.linear(x, _scaled(weight, 1), bias)
