"""Validate a user-supplied generator against `ImageGenerator`, before and during the work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.engine.sampling import SHOWN, check_shape, latents, noise_maps, to_uint8
from stylegan_eval.errors import UserError
from stylegan_eval.generators.trial import (
    FIRST,
    batch_dependence,
    has_negative,
    looks_of,
    own_noise,
    range_note,
    to_unit,
)
from stylegan_eval.generators.user_code import ordinary_mode, seeded, user_errors
from stylegan_eval.images.memory import Range

# Types in which a network may want its input, the usual one first.
_FEEDS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _whole(value: Any, name: str, where: str) -> int:
    # 32.0 would pass for a size until a shape is made of it.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: {name} must be a whole number from 1, got {value!r:.60}")
    return value


def _shapes(value: Any, where: str) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((int(height), int(width)) for height, width in value)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: noise_shapes must be a list of (height, width), got {value!r:.60}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class GuardedGenerator:
    """A generator whose answers are checked, in float32; see `protocols.ImageGenerator`."""

    inner: ImageGenerator
    where: str  # what the command line calls it, for messages
    z_dim: int
    resolution: int
    noise_shapes: Sequence[tuple[int, int]]  # of the inner one, and (1, 1) where `seeds`
    value_range: Range | None = None  # of the wrapped generator's images; None for about [-1, 1]
    feed: torch.dtype = torch.float32  # in which the inner one takes z and noise
    ws_dtype: torch.dtype = torch.float32  # in which it gives and takes ws
    seeds: bool = False
    """Whether it draws noise itself. Then each image has one more number of noise; those of a batch
    seed the global random numbers, so that equal seeds and batches give equal bits."""

    def mapping(self, z: Tensor) -> Tensor:
        """Map z [N, z_dim] to ws [N, L, w_dim]."""
        if self.seeds:
            with seeded(_bytes(z), z.device):
                return self.raw_mapping(z).float()
        return self.raw_mapping(z).float()

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Draw images [N, 3, H, W]."""
        if self.seeds:
            *noise, numbers = noise
            with seeded(_bytes(numbers), ws.device):
                images = self.raw_synthesis(ws, noise)
        else:
            images = self.raw_synthesis(ws, noise)
        return to_unit(images.float(), self.value_range or (-1.0, 1.0))

    def raw_mapping(self, z: Tensor) -> Tensor:
        """`mapping` in the type of the wrapped generator."""
        with user_errors(self.where), ordinary_mode():
            ws = self.inner.mapping(z.to(self.feed, copy=True))
        self._check(ws, "mapping", z)
        if not ws.is_floating_point():
            raise UserError(f"{self.where}: mapping gives {ws.dtype}, expected floats")
        if ws.ndim != 3 or len(ws) != len(z):
            raise UserError(
                f"{self.where}: mapping gives ws of shape {list(ws.shape)}, expected"
                f" [{len(z)}, layers, w_dim]"
            )
        return ws.detach() if ws.requires_grad else ws

    def raw_synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """`synthesis` as the inner one draws."""
        with user_errors(self.where), ordinary_mode():
            # Copies: some code changes what it is given, which is measured afterwards.
            noise = [layer.to(self.feed, copy=True) for layer in noise]
            images = self.inner.synthesis(ws.to(self.ws_dtype, copy=True), noise)
        self._check(images, "synthesis", ws)
        if not images.is_floating_point() and (self.value_range is None or images.is_complex()):
            fix = ": use --range 0,255" if images.dtype == torch.uint8 else ""
            raise UserError(
                f"{self.where}: synthesis gives {images.dtype}; expected floats, images in about"
                f" [-1, 1]{fix}"
            )
        return images.detach() if images.requires_grad else images

    def _check(self, made: Any, part: str, given: Tensor) -> None:
        if not isinstance(made, Tensor):
            fix = ": return it alone" if isinstance(made, tuple | list | dict) else ""
            raise UserError(
                f"{self.where}: {part} gives {type(made).__name__}, expected a tensor{fix}"
            )
        if made.device != given.device:
            raise UserError(
                f"{self.where}: {part} gives a tensor on {made.device}, its input is on"
                f" {given.device}: make the generator on the device that the factory is given"
            )


def _bytes(values: Tensor) -> bytes:
    return values.detach().float().cpu().numpy().tobytes()


def guard(
    loaded: LoadedGenerator, where: str, device: torch.device, value_range: Range | None = None
) -> LoadedGenerator:
    """Check what a generator says of itself, and draw a few images with it before any other work.

    Returns it with a `GuardedGenerator`, and what the trial found.
    """
    generator = loaded.generator
    with user_errors(where):
        z_dim, resolution = generator.z_dim, generator.resolution
        noise_shapes = generator.noise_shapes
    guarded = GuardedGenerator(
        inner=generator,
        where=where,
        z_dim=_whole(z_dim, "z_dim", where),
        resolution=_whole(resolution, "resolution", where),
        noise_shapes=_shapes(noise_shapes, where),
        value_range=value_range,
    )
    guarded, image = _fed(guarded, device)
    return _tried(loaded, guarded, image, device)


def _word(text: object) -> str:
    """For a cell of "key=value key=value"."""
    return "_".join(str(text).replace("=", ":").split())


def _raw_images(
    generator: GuardedGenerator, indices: Sequence[int], device: torch.device
) -> Tensor:
    with torch.inference_mode(), strict_float32(device.type):
        ws = generator.raw_mapping(latents(0, indices, generator.z_dim).to(device))
        noise = noise_maps(0, indices, generator.noise_shapes, device)
        images = replace(generator, ws_dtype=ws.dtype).raw_synthesis(ws, noise)
    check_shape(images, len(indices), generator.resolution)
    return images


def _fed(guarded: GuardedGenerator, device: torch.device) -> tuple[GuardedGenerator, Tensor]:
    """Find the types that the generator takes; with its first image as it came."""
    refusal = None
    for feed in _FEEDS:
        fed = replace(guarded, feed=feed)
        try:
            with seeded(b"a", device):
                image = _raw_images(fed, range(1), device)
                ws = fed.raw_mapping(latents(0, range(1), fed.z_dim).to(device))
        except UserError as error:
            # A complaint about types may be mended by another one.
            if refusal is None and "type" not in str(error.__cause__ or ""):
                raise
            refusal = refusal or error
            continue
        return replace(fed, ws_dtype=ws.dtype), image
    assert refusal is not None
    raise refusal


def _tried(
    loaded: LoadedGenerator, guarded: GuardedGenerator, image: Tensor, device: torch.device
) -> LoadedGenerator:
    """Notes on a generator, and its details, by a trial."""
    types = (guarded.feed, guarded.ws_dtype, image.dtype, torch.float32)
    eps = max(torch.finfo(kind).eps for kind in types if kind.is_floating_point)

    def again(indices: Sequence[int], key: bytes) -> Tensor:
        with seeded(key, device):
            return _raw_images(guarded, indices, device).float()

    to_uint8(image)  # refuses what is not finite
    pair = again(range(2), b"a")
    noise, unseeded = own_noise(again, pair, eps)
    alone = torch.cat([image.float(), again([1], b"a")])
    batch = 0.0 if unseeded else batch_dependence(pair, alone, noise, eps)
    more = guarded.value_range is None and not has_negative(pair)
    others = range(2, FIRST if more else 2, 2)
    first = torch.cat([pair, *(again([at, at + 1], b"a") for at in others)])
    notes = [SHOWN.get(image.shape[1], ""), range_note(first, guarded.value_range, guarded.where)]
    impure = ""
    if noise:
        notes.append(
            "the generator draws noise, or keeps a state, that no seed reaches: the same command"
            " gives other digits each time"
            if unseeded
            else "the generator draws noise of its own, seeded here from --seed and the images of a"
            " batch: equal bits need equal --batch"
        )
        impure = (
            f"{guarded.where}: two draws of one latent differ (by {noise:.1%} of the spread of the"
            " values): make the noise an input (noise_shapes, mapping(z), synthesis(ws, noise)), or"
            " switch it off (noise, dropout)"
        )
    if batch:
        notes.append(
            f"an image depends on the others of its batch (drawn alone, it differs by {batch:.1%}"
            " of the spread of the values): another --batch gives another value"
        )
        impure = impure or (
            f"{guarded.where}: an image depends on the others of its batch (drawn alone, it differs"
            f" by {batch:.1%} of the spread of the values): put the generator in evaluation mode,"
            " .eval(), and draw no noise by the place in the batch"
        )
    named = guarded.value_range
    return replace(
        loaded,
        generator=replace(guarded, seeds=True, noise_shapes=(*guarded.noise_shapes, (1, 1)))
        if noise
        else guarded,
        in_type=None,  # it would not be guarded
        notes=(*loaded.notes, *(note for note in notes if note and note not in loaded.notes)),
        impure=impure,
        looks="" if unseeded else looks_of(pair),
        details={
            **{_word(key): _word(value) for key, value in loaded.details.items()},
            **({"range": f"{named[0]:g},{named[1]:g}"} if named else {}),
        },
    )
