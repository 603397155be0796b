"""Projection of an image into W or W+ by gradient descent."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan.datasets.resize import resized
from stylegan.networks.layers import mean_pool
from stylegan.networks.synthesis import split_lod
from stylegan.runtime import stream_seed
from stylegan.sample.painter import Painter
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.sampling import Stream, as_rgb, latents
from stylegan_eval.errors import UserError
from stylegan_eval.generators.variants import CENTRE_LATENTS, CENTRE_SEED
from stylegan_eval.images.decoding import CHANNELS, decode
from stylegan_eval.images.files import MAX_FILE_BYTES
from stylegan_eval.networks import NETWORKS
from stylegan_eval.networks.lpips import Embedding, load_distance, squared_norm

# Shares of the steps: rise of the rate, its fall at the end, and how long there is noise.
WARM_UP, RAMP_DOWN, PERTURBED = 0.05, 0.25, 0.75
# Perceptual networks were trained on images of about this size: larger ones are shrunk for them.
SEEN = 256
_BETAS = (0.9, 0.999)
Watch = Callable[[int, float], object]
Pixels = NDArray[np.uint8]


def rate_factor(t: float) -> float:
    """Learning rate over its peak, at the share `t` of the steps.

    It rises linearly from 0, is 1, then falls to 0 as half a cosine.

    >>> [round(rate_factor(t), 3) for t in (0, 0.025, 0.05, 0.75, 0.875, 1)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / RAMP_DOWN))
    return fall * min(1.0, t / WARM_UP)


def noise_factor(t: float) -> float:
    """Deviation of the noise over that of the first step, at the share `t`: a parabola down to 0.

    >>> [round(noise_factor(t), 3) for t in (0, 0.375, 0.75, 1)]
    [1.0, 0.25, 0.0, 0.0]
    """
    return max(0.0, 1 - t / PERTURBED) ** 2


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Centre and radius of W."""

    mean: Tensor  # [D]
    radius: float  # Root of the mean squared distance of w from it

    @property
    def deviation(self) -> float:
        """Of an entry of w, on average."""
        return self.radius / math.sqrt(len(self.mean))


def centre(painter: Painter) -> Centre:
    """Mean and radius of W, from 10,000 latents that are always the same."""
    if not painter.maps:
        raise UserError(
            "there is no W to project into: this network has no mapping network (configurations C"
            " to F have one)"
        )
    indices = range(CENTRE_LATENTS)
    z = latents(CENTRE_SEED, indices, painter.network.z_dim, Stream.CENTRE).numpy()
    # The same w in every layer: all of them at once would fill the memory.
    parts = [painter.ws(z[start : start + 1000])[:, 0].double() for start in indices[::1000]]
    w = torch.cat(parts)  # [N, D]
    mean = w.mean(dim=0)
    radius = float((w - mean).square().sum(dim=1).mean().sqrt())
    if not 0 < radius < math.inf:
        raise UserError("all w of this network are the same: train it first")
    return Centre(mean=mean.float().clone(), radius=radius)


class Objective:
    """Distance of images with stored noise from a target [1, C, S, S] in [-1, 1].

    It is the perceptual `distance` plus `weight` times the mean squared difference of pixels.
    """

    def __init__(
        self, painter: Painter, distance: Embedding, target: Tensor, weight: float
    ) -> None:
        self.painter, self.distance, self.target, self.weight = painter, distance, target, weight
        self._noise = painter.network.g.fixed_noise(painter.lod)
        with torch.no_grad(), strict_float32(painter.device.type):
            self._embedded = distance.embed(seen(target))

    def parts(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """Perceptual distance and mean squared difference of pixels, float64 [N] each."""
        images = self.painter.network.synthesis(ws, self._noise, self.painter.lod)
        differences = [
            one - other
            for one, other in zip(self.distance.embed(seen(images)), self._embedded, strict=True)
        ]
        pixels = (images - self.target).square().flatten(1).mean(dim=1, dtype=torch.float64)
        return squared_norm(differences), pixels

    def loss(self, perceived: Tensor, pixels: Tensor) -> Tensor:
        """Objective of the descent, [N]."""
        return perceived + self.weight * pixels


def aim_at(
    pixels: Pixels, painter: Painter, settings: ProjectionSettings, weights: Path | None = None
) -> Objective:
    """Distance from an image [C, S, S]; `weights` of its network, None for the official ones."""
    distance = load_distance(settings.distance, weights, painter.device)
    return Objective(painter, distance, as_tensor(pixels, painter.device), settings.pixels)


def seen(images: Tensor) -> Tensor:
    """Images as the perceptual network gets them: RGB; of more than 256 pixels, means of blocks."""
    return mean_pool(as_rgb(images), max(images.shape[-1] // SEEN, 1))


@dataclass(frozen=True, kw_only=True)
class Projected:
    """A point on the way."""

    ws: Tensor  # [1, L, D]
    perceived: float  # Perceptual distance from the target
    pixels: float  # Mean squared difference of pixels


def project(
    aim: Objective,
    origin: Centre,
    settings: ProjectionSettings,
    watch: Watch = lambda _steps, _distance: None,
) -> tuple[Projected, Projected]:
    """Descend from the mean of W towards the target: the mean, and where the loss was least.

    Each step adds noise to w, less and less until there is none, and the w with the smallest loss
    of all steps is returned. `watch` is called after each step with 1 and the perceptual distance
    of the best w so far.
    """
    painter = aim.painter
    device, layers = painter.device, painter.network.num_ws
    # Rows of layers that the level of detail leaves out stay where they are.
    used = min(painter.num_layers, layers) if settings.space == "w+" else 1
    rng = torch.Generator().manual_seed(stream_seed(settings.seed))
    start = origin.mean.to(device).expand(1, layers, -1)
    latent = start[:, :used].clone().requires_grad_()  # [1, used, D]
    optimizer = torch.optim.Adam([latent], betas=_BETAS)
    with strict_float32(device.type):
        with torch.no_grad():
            first, least = _point(aim, start)
        best = first
        for step in range(settings.steps):
            t = step / settings.steps
            optimizer.param_groups[0]["lr"] = (
                settings.lrate * origin.deviation * rate_factor(t + 1 / settings.steps)
            )
            amount = settings.perturbation * origin.radius * noise_factor(t)
            noise = torch.randn(latent.shape, generator=rng).to(device)
            place, loss = _point(aim, _ws(latent + amount * noise, start))
            (latent.grad,) = torch.autograd.grad(loss, latent)
            optimizer.step()
            if float(loss.detach()) < float(least):
                best, least = place, loss.detach()
            watch(1, best.perceived)
        with torch.no_grad():
            last, loss = _point(aim, _ws(latent, start))
    return first, last if loss < least else best


def _ws(latent: Tensor, start: Tensor) -> Tensor:
    """All rows of ws: one w [1, 1, D] in each, or many [1, used, D] with the rest of `start`."""
    if latent.shape[1] == 1:
        return latent.expand(-1, start.shape[1], -1)
    return torch.cat([latent, start[:, latent.shape[1] :]], dim=1)


def _point(aim: Objective, ws: Tensor) -> tuple[Projected, Tensor]:
    """Distances of ws [1, L, D] from the target, and the loss."""
    perceived, pixels = aim.parts(ws)
    loss = aim.loss(perceived, pixels).sum()
    if not bool(torch.isfinite(loss)):
        raise UserError(
            f"the projection has diverged (the loss is {float(loss.detach())}): use a smaller"
            " --lrate, --perturbation or --pixels"
        )
    place = Projected(
        ws=ws.detach().clone(),  # the optimizer changes latents in place
        perceived=float(perceived.detach()),
        pixels=float(pixels.detach()),
    )
    return place, loss


def read_square(path: Path, channels: int) -> Pixels:
    """Read an image that is as wide as high, uint8 [channels, S, S]."""
    if not path.is_file():
        raise UserError(f"{path}: no such image: name a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{path}: files of at most 1 GiB are read")
    return square_of(path.read_bytes(), str(path), channels)


def square_of(data: bytes, name: str, channels: int) -> Pixels:
    """Decode the content of an image file that is as wide as high, uint8 [channels, S, S]."""
    if channels not in CHANNELS.values():
        raise UserError(f"the network draws {channels} channels: images have 1, 3 or 4")
    pixels = decode(data, name, channels)
    height, width = pixels.shape[1:]
    if height != width:
        raise UserError(
            f"{name} is {width}x{height}: expected a square image, framed as those that the network"
            " was trained on: crop it"
        )
    return pixels


def drawn_size(painter: Painter, distance: str) -> int:
    """Height and width of the images at the painter's level of detail, if `distance` takes them."""
    network = painter.network
    size = network.resolution >> split_lod(painter.lod, network.resolution)[0]
    smallest = NETWORKS[distance].smallest
    if size < smallest:
        raise UserError(
            f"{distance} compares images of {smallest}x{smallest} pixels and more, and the network"
            f" draws {size}x{size}: use another --distance, --lod or network"
        )
    return size


def fit_note(pixels: Pixels, size: int) -> str:
    """Note on how `fitted` changes an image [C, S, S]; "" if it does not."""
    came = pixels.shape[1]
    if came == size:
        return ""
    how = "shrunk" if came > size else "enlarged, and so blurred,"
    return f"{how} from {came}x{came} to {size}x{size}"


def fitted(pixels: Pixels, size: int) -> Pixels:
    """Resample an image [C, S, S] to `size` pixels: area means down, bicubic up."""
    if pixels.shape[1] == size:
        return pixels
    if pixels.shape[1] > size:
        return resized(pixels, size, size, "box")
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in pixels)
    larger = [plane.resize((size, size), Image.Resampling.BICUBIC) for plane in planes]
    return np.stack([np.asarray(plane) for plane in larger])


def as_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Bytes [C, S, S] to float32 [1, C, S, S], the middle of the steps of floor(127.5 x + 128)."""
    return (torch.from_numpy(pixels).to(device).float()[None] - 127.5) / 127.5
