"""Path length of single pairs of latents, by finite difference or by its limit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.forward_mode import NoDerivativeError, derivative
from stylegan_eval.metrics.path_length import crop_and_shrink, lerp, slerp
from stylegan_eval.perceptual.distance import Embedding, squared_norm
from stylegan_eval.precision import strict_float32
from stylegan_eval.protocols import ImageGenerator
from stylegan_eval.sampling import check_shape, latents, noise_maps, path_positions
from stylegan_eval.settings.ppl import PplSettings


@dataclass(frozen=True, kw_only=True)
class Camera:
    """From ws to the embedding of what the perceptual network sees.

    Attributes
    ----------
    generator : ImageGenerator
        Draws the images.
    distance : Embedding
        Embeds them.
    settings : PplSettings
        Its crop and rule are used.
    """

    generator: ImageGenerator
    distance: Embedding
    settings: PplSettings

    def embed(self, ws: Tensor, noise: Sequence[Tensor]) -> Sequence[Tensor]:
        """Ws [N, L, w_dim] and noise [N, 1, H, W] per layer -> embedding, tensors [N, ...]."""
        images = self.generator.synthesis(ws, noise)
        size = self.generator.resolution
        check_shape(images, len(ws), size)
        seen = crop_and_shrink(images, self.settings.crop, self.settings.rule, size)
        return self.distance.embed(seen)


Curve = Callable[[Tensor], Tensor]  # positions t [N] -> ws [N, L, w_dim]


def finite_difference(
    camera: Camera, curve: Curve, t: Tensor, noise: Sequence[Tensor], epsilon: float
) -> Tensor:
    """Squared distances of the images at t and t + epsilon over epsilon^2: float64 [N]."""
    n = len(t)
    with torch.no_grad():
        ws = torch.cat([curve(t), curve(t + epsilon)])  # [2 N, L, w_dim]
        parts = camera.embed(ws, [torch.cat([layer, layer]) for layer in noise])
        return squared_norm([part[n:] - part[:n] for part in parts]) / epsilon**2


def exact_derivative(camera: Camera, curve: Curve, t: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Squared lengths of the derivative of the embedding by t: float64 [N].

    Raises
    ------
    UserError
        The generator cannot be differentiated in forward mode.
    """
    try:
        moving = derivative(lambda t: camera.embed(curve(t), noise), t, torch.ones_like(t))
    except NoDerivativeError as error:
        raise UserError(
            f"the generator has no forward-mode derivative ({error}): use --derivative finite"
        ) from error
    return squared_norm(moving)


def curves(
    generator: ImageGenerator, z0: Tensor, z1: Tensor, settings: PplSettings
) -> dict[str, Curve]:
    """The paths between latents [N, z_dim], for each space that is asked for."""
    found: dict[str, Curve] = {}
    if "z" in settings.spaces:
        # The official slerp ends on the unit sphere, as if every generator normalised z.
        length = z0.shape[1] ** 0.5 if settings.latent_scale == "sphere" else 1.0
        found["z"] = lambda t: generator.mapping(slerp(z0, z1, t[:, None]) * length)
    if "w" in settings.spaces:
        with torch.no_grad():
            ws0, ws1 = generator.mapping(torch.cat([z0, z1])).chunk(2)  # [N, L, w_dim] each
        found["w"] = lambda t: lerp(ws0, ws1, t[:, None, None])
    return found


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
    camera: Camera,
    pairs: Sequence[int],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Measure the pairs with these numbers; pair i has the latents 2i and 2i + 1.

    Parameters
    ----------
    camera : Camera
        On `device`, in `dtype`.
    pairs : sequence of int
        N pair numbers.
    device : torch.device
        Where to run.
    dtype : torch.dtype
        float32; float64 for checking the arithmetic, with the same random numbers.

    Returns
    -------
    dict
        float64 [N] for each ``{space}{sampling}-{derivative}`` that is asked for.
    """
    settings, generator = camera.settings, camera.generator
    seed = settings.seed
    found: dict[str, Tensor] = {}
    with strict_float32(device.type):
        z0, z1 = (
            latents(seed, [2 * pair + end for pair in pairs], generator.z_dim).to(device, dtype)
            for end in (0, 1)
        )
        maps = noise_maps(seed, [2 * pair for pair in pairs], generator.noise_shapes, device)
        noise = [layer.to(dtype) for layer in maps]
        t_full = path_positions(seed, pairs).to(device, dtype)
        positions = {"full": t_full, "end": torch.zeros_like(t_full)}
        for space, curve in curves(generator, z0, z1, settings).items():
            for sampling, how in product(settings.samplings, settings.derivatives):
                t = positions[sampling]
                found[f"{space}{sampling}-{how}"] = (
                    exact_derivative(camera, curve, t, noise)
                    if how == "exact"
                    else finite_difference(camera, curve, t, noise, settings.epsilon)
                )
    return found
