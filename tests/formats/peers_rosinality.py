"""rosinality's layout: files made from its table of keys, and its forward pass in plain torch."""

import math

import torch
import torch.nn.functional as F

W = 12
WIDTHS = (16, 16, 16, 16, 8, 4)  # to 128x128, the first that is fused
KERNEL = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


class Draw:
    """Random tensors one after the other."""

    def __init__(self, seed, dtype):
        self.rng = torch.Generator().manual_seed(seed)
        self.dtype = dtype

    def __call__(self, *shape):
        return torch.randn(*shape, generator=self.rng).to(self.dtype)


def generator(widths=WIDTHS, *, trained=None, fused_from=5, seed=0, dtype=torch.float32, depth=8):
    draw = Draw(seed, dtype)
    state = {}
    for k in range(depth):
        state[f"style.{2 * k + 1}.linear.weight_orig"] = draw(W, W)
        state[f"style.{2 * k + 1}.linear.bias"] = draw(W) / 10
    trained = len(widths) if trained is None else trained
    for i, C in enumerate(widths):
        name, used = f"generator.progression.{i}", float(i < trained)
        P = widths[max(i - 1, 0)]
        if i == 0:
            state[f"{name}.conv1.input"] = draw(1, C, 4, 4)
        else:
            blur = KERNEL.to(dtype).expand(C, 1, 3, 3).clone()
            if i >= fused_from:
                state[f"{name}.conv1.0.weight"] = draw(P, C, 3, 3)
                state[f"{name}.conv1.0.bias"] = draw(C) * used
                at = f"{name}.conv1.1"
            else:
                state[f"{name}.conv1.1.conv.weight_orig"] = draw(C, P, 3, 3)
                state[f"{name}.conv1.1.conv.bias"] = draw(C) * used
                at = f"{name}.conv1.2"
            state[f"{at}.weight"], state[f"{at}.weight_flip"] = blur, blur.flip(2, 3)
        state[f"{name}.conv2.conv.weight_orig"] = draw(C, C, 3, 3)
        state[f"{name}.conv2.conv.bias"] = draw(C) * used
        for k in (1, 2):
            state[f"{name}.noise{k}.weight_orig"] = draw(1, C, 1, 1) * used
            state[f"{name}.adain{k}.style.linear.weight_orig"] = draw(2 * C, W)
            one = torch.cat([torch.ones(C), torch.zeros(C)]).to(dtype)
            state[f"{name}.adain{k}.style.linear.bias"] = one + draw(2 * C) * used / 2
        state[f"generator.to_rgb.{i}.conv.weight_orig"] = draw(3, C, 1, 1)
        state[f"generator.to_rgb.{i}.conv.bias"] = draw(3) * used
    return state


def discriminator(*, activated=True):
    """Beginning of the other network: enough to be told what it is."""
    draw = Draw(1, torch.float32)
    at = "from_rgb.0.0.conv" if activated else "from_rgb.0.conv"
    return {
        "progression.0.conv1.0.conv.weight_orig": draw(8, 4, 3, 3),
        "progression.0.conv1.0.conv.bias": draw(8),
        f"{at}.weight_orig": draw(4, 3, 1, 1),
        "linear.linear.weight_orig": draw(1, 8),
    }


def full(*, activated=True):
    return {
        "generator": generator(seed=1),
        "discriminator": discriminator(activated=activated),
        "g_optimizer": {"state": {}, "param_groups": []},
        "d_optimizer": {"state": {}, "param_groups": []},
        "g_running": generator(),
    }


def _equalised(weight):
    return weight * math.sqrt(2 / (weight.shape[1] * weight[0][0].numel()))


def mapping(state, z):
    x = z / torch.sqrt((z**2).mean(dim=1, keepdim=True) + 1e-8)
    k = 1
    while f"style.{k}.linear.bias" in state:
        weight = _equalised(state[f"style.{k}.linear.weight_orig"])
        x = F.leaky_relu(F.linear(x, weight, state[f"style.{k}.linear.bias"]), 0.2)
        k += 2
    return x


def _first(state, name, x):
    if f"{name}.conv1.input" in state:
        return state[f"{name}.conv1.input"].repeat(len(x), 1, 1, 1)
    if f"{name}.conv1.0.weight" in state:
        weight = state[f"{name}.conv1.0.weight"]  # [in, out, 3, 3]
        weight = F.pad(weight * math.sqrt(2 / (weight.shape[0] * 9)), (1, 1, 1, 1))
        mean = sum(weight[..., a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1)) / 4
        x = F.conv_transpose2d(x, mean, state[f"{name}.conv1.0.bias"], stride=2, padding=1)
        kernel = state[f"{name}.conv1.1.weight"]
    else:
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        weight = _equalised(state[f"{name}.conv1.1.conv.weight_orig"])
        x = F.conv2d(x, weight, state[f"{name}.conv1.1.conv.bias"], padding=1)
        kernel = state[f"{name}.conv1.2.weight"]
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def _rest(state, name, k, x, w, noise):
    x = F.leaky_relu(x + _equalised(state[f"{name}.noise{k}.weight_orig"]) * noise, 0.2)
    style = f"{name}.adain{k}.style.linear"
    styles = F.linear(w, _equalised(state[f"{style}.weight_orig"]), state[f"{style}.bias"])
    gamma, beta = styles[..., None, None].chunk(2, dim=1)
    return gamma * F.instance_norm(x) + beta


def _rgb(state, i, x):
    name = f"generator.to_rgb.{i}.conv"
    return F.conv2d(x, _equalised(state[f"{name}.weight_orig"]), state[f"{name}.bias"])


def synthesis(state, w, noise, step, alpha=1.0):
    """w [N, W], or one for each resolution [N, step + 1, W], and one noise map per resolution.

    Images are of resolution 4 << step.
    """
    ws = w if w.ndim == 3 else w[:, None].expand(-1, step + 1, -1)
    x = before = ws[:, 0]
    for i, w in enumerate(ws.unbind(1)):
        name = f"generator.progression.{i}"
        before = x
        x = _rest(state, name, 1, _first(state, name, x), w, noise[i])
        weight = _equalised(state[f"{name}.conv2.conv.weight_orig"])
        x = F.conv2d(x, weight, state[f"{name}.conv2.conv.bias"], padding=1)
        x = _rest(state, name, 2, x, w, noise[i])
    image = _rgb(state, step, x)
    if alpha < 1:
        coarse = F.interpolate(_rgb(state, step - 1, before), scale_factor=2, mode="nearest")
        image = (1 - alpha) * coarse + alpha * image
    return image
