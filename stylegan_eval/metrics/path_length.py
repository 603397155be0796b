"""Path length: interpolation, crops, pairs and derivatives."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.protocols import ImageGenerator
from stylegan_eval.engine.sampling import (
    as_rgb,
    check_shape,
    latents,
    noise_maps,
    on_device,
    path_positions,
)
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.forward_mode import NoDerivativeError, derivative
from stylegan_eval.networks.lpips import Embedding, squared_norm
from stylegan_eval.settings.others import PplSettings

Crop = Literal["face", "none"]
Rule = Literal["v1", "ada"]
# The perceptual network is meant for images of this size.
PERCEPTUAL_SIZE = 256


def normalize(v: Tensor) -> Tensor:
    """Scale the vectors in the last dimension to length 1."""
    return v / v.square().sum(dim=-1, keepdim=True).sqrt()


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point a + (b - a) t of the line from `a` to `b`; `t` is broadcast."""
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point on the great circle from a / |a| to b / |b|, at the share `t` of the angle.

    Returns [..., D] of length 1.

    Parameters
    ----------
    a, b : Tensor
        [..., D], not zero, neither parallel nor opposite.
    t : Tensor
        [..., 1].
    """
    a, b = normalize(a), normalize(b)
    cosine = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = t * cosine.acos()
    c = normalize(b - cosine * a)  # the direction from a towards b, at right angles to a
    return normalize(a * angle.cos() + c * angle.sin())


def face_box(size: int) -> tuple[range, range]:
    """Rows and columns that the official metric keeps: FFHQ's faces fill about these."""
    eighth = size // 8
    return range(3 * eighth, 7 * eighth), range(2 * eighth, 6 * eighth)


def box_factor(height: int, resolution: int, rule: Rule) -> int:
    """By how much images are averaged down before the perceptual network.

    `rule`: ``v1`` of StyleGAN: what the crop left goes down to 256. ``ada`` of
    stylegan2-ada-pytorch: what the whole image would need, whatever was cropped.

    References
    ----------
    metrics/perceptual_path_length.py of stylegan2-ada-pytorch, for ``ada``.
    """
    return max((height if rule == "v1" else resolution) // PERCEPTUAL_SIZE, 1)


def crop_and_shrink(images: Tensor, crop: Crop, rule: Rule, resolution: int) -> Tensor:
    """Cut out the face and average over boxes: what the perceptual network sees.

    Returns [N, C, H, W].

    Parameters
    ----------
    images : Tensor
        [N, C, resolution, resolution].
    crop : {"face", "none"}
        Official: ``face``, for all data.
    rule : {"v1", "ada"}
        See `box_factor`.
    """
    if crop == "face":
        rows, columns = face_box(resolution)
        images = images[:, :, rows.start : rows.stop, columns.start : columns.stop]
    factor = box_factor(images.shape[2], resolution, rule)
    return F.avg_pool2d(images, factor) if factor > 1 else images


def perceptual_size(crop: Crop, rule: Rule, resolution: int) -> int:
    """Height and width in pixels of what `crop_and_shrink` returns."""
    height = len(face_box(resolution)[0]) if crop == "face" else resolution
    return height // box_factor(height, resolution, rule)


Curve = Callable[[Tensor], Tensor]  # positions t [N] -> ws [N, L, w_dim]
# ws [N, L, w_dim] and noise [N, 1, H, W] of each layer -> embedding, tensors [N, ...]
Render = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]


def renderer(generator: ImageGenerator, distance: Embedding, settings: PplSettings) -> Render:
    """Synthesis, crop and embedding in one call."""

    def render(ws: Tensor, noise: Sequence[Tensor]) -> Sequence[Tensor]:
        images = generator.synthesis(ws, noise)
        size = generator.resolution
        check_shape(images, len(ws), size)
        images = as_rgb(images)
        return distance.embed(crop_and_shrink(images, settings.crop, settings.rule, size))

    return render


def finite_difference(
    render: Render, curve: Curve, t: Tensor, noise: Sequence[Tensor], epsilon: float
) -> Tensor:
    """Squared distances of the images at t and t + epsilon over epsilon^2: float64 [N]."""
    n = len(t)
    with torch.no_grad():
        ws = torch.cat([curve(t), curve(t + epsilon)])  # [2 N, L, w_dim]
        parts = render(ws, [torch.cat([layer, layer]) for layer in noise])
        return squared_norm([part[n:] - part[:n] for part in parts]) / epsilon**2


def exact_derivative(render: Render, curve: Curve, t: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Squared lengths of the derivative of the embedding by t: float64 [N]."""
    try:
        moving = derivative(lambda t: render(curve(t), noise), t, torch.ones_like(t))
    except NoDerivativeError as error:
        raise UserError(
            f"the generator has no forward-mode derivative ({error}): use --derivative finite"
        ) from error
    return squared_norm(moving)


def curves(
    generator: ImageGenerator, z0: Tensor, z1: Tensor, settings: PplSettings
) -> dict[str, Curve]:
    """The paths between latents [N, z_dim], for each space that is asked for."""
    paths: dict[str, Curve] = {}
    if "z" in settings.spaces:
        # The official slerp ends on the unit sphere, as if every generator normalised z.
        length = z0.shape[1] ** 0.5 if settings.latent_scale == "sphere" else 1.0
        paths["z"] = lambda t: generator.mapping(slerp(z0, z1, t[:, None]) * length)
    if "w" in settings.spaces:
        with torch.no_grad():
            ws0, ws1 = generator.mapping(torch.cat([z0, z1])).chunk(2)  # [N, L, w_dim] each
        paths["w"] = lambda t: lerp(ws0, ws1, t[:, None, None])
    return paths


def rounding_share(generator: ImageGenerator, settings: PplSettings, device: torch.device) -> float:
    """How much of the squared differences of images epsilon apart is rounding, from 0 to 1.

    A smooth curve has hardly a second difference at such a step; independent errors make it three
    times their part of the first one. Of steps above 0.01 nothing is known: 0.
    """
    if settings.epsilon > 0.01:
        return 0.0
    with torch.no_grad(), strict_float32(device.type):
        z0, z1 = (latents(0, [end, end + 2], generator.z_dim).to(device) for end in (0, 1))
        noise = noise_maps(0, [0, 2] * 3, generator.noise_shapes, device)
        t = path_positions(0, range(2)).to(device)
        squares = torch.zeros(2, dtype=torch.float64)
        for curve in curves(generator, z0, z1, settings).values():
            ws = torch.cat([curve(t + step * settings.epsilon) for step in range(3)])
            a, b, c = generator.synthesis(ws, noise).double().chunk(3)
            squares += torch.stack([(b - a).square().sum(), (c - 2 * b + a).square().sum()]).cpu()
    first, second = squares.tolist()
    return min(1.0, second / (3 * first)) if first else 0.0


def measure_pairs(
    generator: ImageGenerator,
    distance: Embedding,
    settings: PplSettings,
    pairs: Sequence[int],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Measure the pairs with these numbers; pair i has the latents 2i and 2i + 1.

    Returns float64 [N] for each ``{space}{sampling}-{derivative}`` that is asked for.

    Parameters
    ----------
    generator, distance
        On `device`, in `dtype`.
    pairs : sequence of int
        N pair numbers.
    dtype : torch.dtype
        float32; float64 for checking the arithmetic, with the same random numbers.
    """
    render, seed = renderer(generator, distance, settings), settings.seed
    lengths: dict[str, Tensor] = {}
    with strict_float32(device.type):
        z0, z1 = (
            on_device(
                latents(seed, [2 * pair + end for pair in pairs], generator.z_dim), device
            ).to(dtype)
            for end in (0, 1)
        )
        maps = noise_maps(seed, [2 * pair for pair in pairs], generator.noise_shapes, device)
        noise = [layer.to(dtype) for layer in maps]
        t_full = on_device(path_positions(seed, pairs), device).to(dtype)
        positions = {"full": t_full, "end": torch.zeros_like(t_full)}
        for space, curve in curves(generator, z0, z1, settings).items():
            for sampling, how in product(settings.samplings, settings.derivatives):
                t = positions[sampling]
                lengths[f"{space}{sampling}-{how}"] = (
                    exact_derivative(render, curve, t, noise)
                    if how == "exact"
                    else finite_difference(render, curve, t, noise, settings.epsilon)
                )
    return lengths
