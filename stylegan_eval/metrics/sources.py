"""What a command line names as generated and as real images, opened and described."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from stylegan_eval.engine.blocks import Key
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.engine.sampling import random_choice
from stylegan_eval.errors import UndefinedMetricError, UserError
from stylegan_eval.generators.factories import generator_from
from stylegan_eval.generators.loading import load_generator
from stylegan_eval.generators.variants import vary
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import ImageFiles, open_images, prepare_command
from stylegan_eval.metrics.image_pass import FileImages, GeneratedImages, Source
from stylegan_eval.results.results import one_note
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import Variant


@dataclass(frozen=True, kw_only=True)
class Fakes:
    """Generated images, drawn or read."""

    source: Source  # The images
    key: Key  # All that they depend on
    name: str
    digest: str
    description: str
    """name, digest, description: For the result."""
    size: tuple[int, int]  # Height and width
    mirrored: bool  # Whether training mirrored the real images
    generator: ImageGenerator | None = None  # What draws them; None for files
    note: str = ""  # What every result must say of them
    details: Mapping[str, str] = field(default_factory=dict)
    """What else they depend on, for results."""


def load_named_generator(inputs: Inputs, device: torch.device) -> LoadedGenerator:
    """Load the generator of ``--ckpt`` or ``--generator``."""
    if inputs.ckpt is not None and inputs.generator is not None:
        raise UserError("--ckpt and --generator both name a generator: leave one out")
    _check_range(inputs)
    if inputs.ckpt is not None:
        return load_generator(inputs.ckpt, device)
    if inputs.generator is not None:
        return generator_from(inputs.generator, device, inputs.range)
    raise UserError("--ckpt is missing: name the generator to measure (or --generator)")


def _check_range(inputs: Inputs) -> None:
    if inputs.range is not None and inputs.generator is None:
        raise UserError(
            "--range says what the values of --generator's images are: leave it out, other images"
            " say that themselves"
        )


def load_pure_generator(inputs: Inputs, device: torch.device, metric: str) -> LoadedGenerator:
    """As `load_named_generator`, for what needs images as functions of latent and noise.

    Raises
    ------
    UndefinedMetricError
        They are not.
    """
    loaded = load_named_generator(inputs, device)
    if loaded.impure:
        raise UndefinedMetricError(
            f"{metric} takes images as functions of their latents; {loaded.impure}"
        )
    return loaded


@contextlib.contextmanager
def open_fakes(
    inputs: Inputs, settings: Sampling, device: torch.device, variant: Variant
) -> Iterator[Fakes]:
    """Open the generated images: of ``--ckpt``, ``--generator`` or ``--images``."""
    if inputs.images is None:
        if inputs.ckpt is None and inputs.generator is None:
            raise UserError(
                "--ckpt is missing: name the generator to measure (or --generator, or --images)"
            )
        loaded = vary(load_named_generator(inputs, device), variant, device)
        yield _drawn(loaded, settings, device, inputs, variant)
        return
    if inputs.ckpt is not None or inputs.generator is not None:
        raise UserError("--images replaces the generator: leave out --ckpt and --generator")
    _check_range(inputs)
    variant.check_absent("--images are drawn already")
    with open_images(inputs.images) as files:
        if settings.num > len(files):
            raise UserError(
                f"--images has {len(files)} images, --num asks for {settings.num}:"
                f" use --num {len(files)} or give more"
            )
        digest = content_digest(files)
        num, total = settings.num, len(files)
        yield Fakes(
            source=FileImages(
                files=files,
                # Also of all images in random order: blocks and splits are random samples.
                indices=random_choice(settings.seed, total, num),
                mirror=False,
                seed=0,
                batch=settings.batch,
            ),
            key={"content": digest, "which": _random(settings.seed), "batch": settings.batch},
            name=str(inputs.images),
            digest=digest,
            description="images" if num == total else f"{num} of {total} images, at random",
            size=image_size(files),
            mirrored=False,
        )


def _drawn(
    loaded: LoadedGenerator,
    settings: Sampling,
    device: torch.device,
    inputs: Inputs,
    variant: Variant,
) -> Fakes:
    """Images of a generator."""
    generator = loaded.generator
    return Fakes(
        source=GeneratedImages(
            generator=generator, seed=settings.seed, batch=settings.batch, device=device
        ),
        key={**generator_key(loaded, settings, device), **variant.said},
        name=str(inputs.ckpt or inputs.generator or ""),
        digest=loaded.sha256,
        description=loaded.description,
        size=(generator.resolution, generator.resolution),
        mirrored=loaded.mirrored,
        generator=generator,
        note=one_note(*loaded.notes),
        details={**loaded.details, **({"batch": str(settings.batch)} if loaded.impure else {})},
    )


def generator_key(loaded: LoadedGenerator, settings: Sampling, device: torch.device) -> Key:
    """All that the images of a generator depend on, to the last bit."""
    return {
        "generator": loaded.sha256,
        "seed": settings.seed,
        "batch": settings.batch,
        "device": device.type,
        "torch": torch.__version__,
        **loaded.details,
    }


def image_size(files: ImageFiles) -> tuple[int, int]:
    """Height and width of the first image; reading on finds images of other sizes."""
    height, width = files.read(0).shape[1:]
    return height, width


def check_size(files: ImageFiles, size: tuple[int, int], what: str = "the generator draws") -> None:
    """Check that real images are of the size of generated ones, which `what` names."""
    height, width = image_size(files)
    if (height, width) == size:
        return
    side, wanted = size[0], f"{size[1]}x{size[0]}"
    if min(height, width) < min(size):
        fix = f"images are never enlarged, give real ones of {wanted} or larger"
    elif size[0] == size[1] and side >= 4 and not side & (side - 1):
        fix = f"{prepare_command(files.path)} --resolution {side}"
    else:
        fix = f"give real images of {wanted}; prepare makes squares of a power of two only"
    raise UserError(f"the data is {width}x{height}, {what} {wanted}: {fix}")


def check_count(files: ImageFiles, num: int) -> None:
    """Check that there are `num` real images."""
    if num > len(files):
        raise UserError(
            f"the data has {len(files)} images, --num asks for {num}:"
            f" use --num {len(files)} or give more data"
        )


@dataclass(frozen=True, kw_only=True)
class Reals:
    """Real images: which of them, and how they are shown."""

    source: FileImages  # The images
    num: int  # How many
    key: Key  # All that they depend on: content, subset rule, flips
    rule: str  # Subset rule, for the result


def choose_reals(
    files: ImageFiles, num: int, rule: str, settings: Sampling, *, mirror: bool
) -> Reals:
    """Choose real images: `num`, or all of them by the rule ``full``."""
    total = len(files)
    if rule == "full":
        return pick_reals(files, range(total), rule, settings, mirror=mirror)
    check_count(files, num)
    indices: Sequence[int] = range(num)
    which = rule
    if num == total:  # all of them by any rule: one entry of the cache
        rule, which = "all", "full"
    elif rule == "random":
        # Sorted for the disk's sake: no metric depends on the order of real images.
        indices = sorted(random_choice(settings.seed, total, num))
        which = _random(settings.seed)
    return replace(pick_reals(files, indices, which, settings, mirror=mirror), rule=rule)


def _random(seed: int) -> str:
    """For keys: what `random_choice` chooses. Another algorithm must have another name."""
    return f"random of seed {seed}"


def pick_reals(
    files: ImageFiles, indices: Sequence[int], rule: str, settings: Sampling, *, mirror: bool
) -> Reals:
    """Choose the images with these numbers; `rule` says how they were chosen."""
    return Reals(
        source=FileImages(
            files=files,
            indices=indices,
            mirror=mirror,
            seed=settings.seed,
            batch=settings.batch,
        ),
        num=len(indices),
        key={
            "content": content_digest(files),
            "which": rule,
            "flips": f"seed {settings.seed}" if mirror else "none",
        },
        rule=rule,
    )


def statistics_file(path: Path | None) -> Path | None:
    """`path` when it is a file of statistics (.npz), else None."""
    return path if path is not None and path.suffix == ".npz" else None
