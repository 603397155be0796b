"""Generated and real images of a command line, opened and checked before networks are loaded."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from stylegan_eval.engine.blocks import Key, Run
from stylegan_eval.engine.device import device_name
from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.engine.sampling import Stream, random_choice, random_stream
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UndefinedMetricError, UserError
from stylegan_eval.generators.factories import ImageFunction, generator_from
from stylegan_eval.generators.loading import load_generator
from stylegan_eval.generators.variants import vary
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import code_of_reader, prepare_command
from stylegan_eval.images.memory import MemoryImages
from stylegan_eval.images.source import ImageSet
from stylegan_eval.metrics import metric_of
from stylegan_eval.metrics.given import is_statistics, only_moments, opened, statistics_of
from stylegan_eval.metrics.image_pass import FileImages, FunctionImages, GeneratedImages, Images
from stylegan_eval.results.paired import ALL_IMAGES
from stylegan_eval.results.results import one_note
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import FidSettings, GeneratedSettings, RealSettings


@contextlib.contextmanager
def open_pair(
    inputs: Inputs, metrics: Sequence[GeneratedSettings], sampling: Sampling, run: Run
) -> Iterator[tuple[Images | StoredStats, Images | StoredStats | None]]:
    """Open generated and real images, and refuse what can be refused before a network is loaded.

    For a floor, the generated images are real ones.

    `metrics`: metrics of images, with equal choices of real ones.
    """
    drawing = metrics[0] if metrics else GeneratedSettings()
    compared = [settings for settings in metrics if isinstance(settings, RealSettings)]
    spatial = all(settings.features == "inception-spatial" for settings in metrics)
    moments = only_moments(map(type, metrics))
    for side in (inputs.images, inputs.data):
        given = not moments and is_statistics(side, moments=False)
        if given and statistics_of(side).vectors is None:
            raise UserError(
                "a file of statistics holds mean and covariance: only fid and sfid use it"
            )
    with contextlib.ExitStack() as stack:
        if any(isinstance(settings, FidSettings) and settings.floor for settings in metrics):
            if inputs.ckpt or inputs.generator or inputs.images:
                raise UserError(
                    "--floor compares real images with real ones: leave out --ckpt, --generator,"
                    " and --images"
                )
            drawing.check_no_variation("--floor draws no images")
            yield _halves(stack.enter_context(_open_data(inputs)), compared[0])
            return
        fakes: Images | StoredStats
        if is_statistics(inputs.images, moments=moments):
            drawing.check_no_variation("--images are drawn already")
            fakes = statistics_of(inputs.images, spatial=spatial)
            if fakes.count is not None and sampling.num != fakes.count:
                raise UserError(
                    f"--images has {'statistics' if fakes.vectors is None else 'features'} of"
                    f" {fakes.count} images, --num asks for {sampling.num}: leave out --num"
                )
        else:
            fakes = stack.enter_context(_open_generated(inputs, sampling, run.device, drawing))
        if not compared:
            yield fakes, None
        elif is_statistics(inputs.data, moments=moments):
            for settings in compared:
                settings.check_statistics()
            yield fakes, statistics_of(inputs.data, spatial=spatial)
        else:
            files = stack.enter_context(_open_data(inputs))
            reals = _chosen(files, compared[0], fakes)
            for settings in compared:
                settings.check_reals(reals.num)
            yield fakes, reals


@contextlib.contextmanager
def open_held_out(
    inputs: Inputs, metrics: Sequence[GeneratedSettings], reals: Images | StoredStats | None
) -> Iterator[Images | StoredStats | None]:
    """Open real images of no training, and refuse them where no metric compares with them."""
    compares = any("held_out" in metric_of(settings).inputs for settings in metrics)
    if inputs.held_out is None:
        if compares:
            raise UserError(
                "--held-out is missing: name real images that the generator was not trained on"
            )
        yield None
        return
    if not compares:
        raise UserError("--held-out is for ct, which is not among --metrics")
    if is_statistics(inputs.held_out, moments=False):
        stored = statistics_of(inputs.held_out)
        if stored.vectors is None:
            raise UserError("--held-out needs images or features: it is a file of statistics")
        yield stored
        return
    with opened(inputs.held_out) as files:
        images = choose_reals(files, len(files), "full", metrics[0], mirror=False)
        if isinstance(reals, Images) and images.key["content"] == reals.key["content"]:
            raise UserError(
                "--held-out are the images of --data: give others, of the same kind, that the"
                " generator was not trained on"
            )
        yield images


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
def _open_generated(
    inputs: Inputs, settings: Sampling, device: torch.device, drawing: GeneratedSettings
) -> Iterator[Images]:
    """Open the generated images: of ``--ckpt``, ``--generator`` or ``--images``."""
    if inputs.images is None:
        if inputs.ckpt is None and inputs.generator is None:
            raise UserError(
                "--ckpt is missing: name the generator to measure (or --generator, or --images)"
            )
        loaded = vary(load_named_generator(inputs, device), drawing, device)
        yield _drawn(loaded, inputs, settings, device, drawing)
        return
    if inputs.ckpt is not None or inputs.generator is not None:
        raise UserError("--images replaces the generator: leave out --ckpt and --generator")
    _check_range(inputs)
    drawing.check_no_variation("--images are drawn already")
    if isinstance(inputs.images, ImageFunction):
        yield _from_function(inputs.images, settings)
        return
    with opened(inputs.images) as files:
        num, total = settings.num, len(files)
        if num > total:
            raise UserError(
                f"--images has {total} images, --num asks for {num}: use --num {total} or give more"
            )
        digest = content_digest(files)
        yield Images(
            source=FileImages(
                files=files,
                # Also of all images in random order: blocks and splits are random samples.
                indices=random_choice(settings.seed, total, num),
                mirror=False,
                seed=0,
                batch=settings.batch,
            ),
            num=num,
            key={
                **_content_key(files),
                "which": _random(settings.seed),
                "batch": settings.batch,
            },
            about={
                "generator": str(inputs.images),
                "generator_digest": digest,
                "description": ALL_IMAGES
                if num == total
                else f"{num} of {total} images, at random",
            },
            size=image_size(files),
        )


def _from_function(function: ImageFunction, settings: Sampling) -> Images:
    """Images of a function. What it depends on cannot be known, so no work of it is kept."""
    size, note = function.trial()
    return Images(
        source=FunctionImages(function=function, seed=settings.seed, batch=settings.batch),
        num=settings.num,
        key={"function": str(function), "started": time.time_ns(), "seed": settings.seed},
        about={
            "generator": str(function),
            "description": "function of n and seed",
            "note": note,
            "details": {"batch": str(settings.batch)},
        },
        size=size,
    )


def _drawn(
    loaded: LoadedGenerator,
    inputs: Inputs,
    settings: Sampling,
    device: torch.device,
    drawing: GeneratedSettings,
) -> Images:
    """Images of a generator."""
    generator = loaded.generator
    batch = {"batch": str(settings.batch)} if loaded.impure else {}
    return Images(
        source=GeneratedImages(
            generator=generator,
            seed=settings.seed,
            batch=settings.batch,
            device=device,
            precision=drawing.generator_precision,
        ),
        num=settings.num,
        key={**generator_key(loaded, settings, device), **drawing.variation},
        about={
            **about_generator(loaded, inputs),
            "note": one_note(*loaded.notes),
            "details": {**loaded.details, **batch},
        },
        generator=generator,
        size=(generator.resolution, generator.resolution),
        mirrored=loaded.mirrored,
    )


def about_generator(loaded: LoadedGenerator, inputs: Inputs) -> dict[str, str]:
    """Cells of a row about a generator."""
    return {
        "generator": str(inputs.ckpt or inputs.generator or ""),
        "generator_digest": loaded.sha256,
        "description": loaded.description,
    }


def generator_key(loaded: LoadedGenerator, settings: Sampling, device: torch.device) -> Key:
    """All that the images of a generator depend on, to the last bit."""
    return {
        "generator": loaded.sha256,
        "seed": settings.seed,
        "batch": settings.batch,
        "device": device_name(device),
        "torch": torch.__version__,
        **({"looks": loaded.looks} if loaded.looks else {}),
        **loaded.details,
    }


def image_size(files: ImageSet) -> tuple[int, int]:
    """Height and width of the first image."""
    height, width = files.read(0).shape[1:]
    return height, width


def check_size(files: ImageSet, size: tuple[int, int]) -> None:
    """Check that the first real image is of the size that a generator draws."""
    height, width = image_size(files)
    if (height, width) == size:
        return
    side, wanted = size[0], f"{size[1]}x{size[0]}"
    if min(height, width) < min(size):
        fix = f"images are never enlarged, give real ones of {wanted} or larger"
    elif isinstance(files, MemoryImages):
        fix = f"resize them to {wanted}"
    elif size[0] == size[1] and side >= 4 and not side & (side - 1):
        fix = f"{prepare_command(files.path)} --resolution {side}"
    else:
        fix = f"give real images of {wanted}; prepare makes squares of a power of two only"
    raise UserError(f"the data is {width}x{height}, the generator draws {wanted}: {fix}")


def _open_data(inputs: Inputs) -> contextlib.AbstractContextManager[ImageSet]:
    if inputs.data is None:
        raise UserError("--data is missing: name the real images (a folder, a zip, ...)")
    if is_statistics(inputs.data, moments=False):
        raise UserError("--floor needs images: --data is a file of statistics")
    return opened(inputs.data)


def _chosen(files: ImageSet, settings: RealSettings, fakes: Images | StoredStats) -> Images:
    """The real images that the settings ask for."""
    trained = False
    if isinstance(fakes, Images):
        if fakes.generator is not None:
            check_size(files, fakes.size)
        trained = bool(fakes.mirrored) and settings.reals != "full"
    mirror = trained if settings.mirror == "auto" else settings.mirror == "yes"
    return choose_reals(files, settings.num, settings.reals, settings, mirror=mirror)


def choose_reals(
    files: ImageSet, num: int, rule: str, settings: Sampling, *, mirror: bool
) -> Images:
    """Choose real images: `num`, or all of them by the rule ``full``."""
    total = len(files)
    if rule == "full":
        return pick_reals(files, range(total), rule, settings, mirror=mirror)
    if num > total:
        raise UserError(
            f"the data has {total} images, --num asks for {num}:"
            f" use --num {total} or give more data"
        )
    indices: Sequence[int] = range(num)
    which = rule
    if num == total:  # all of them by any rule: one entry of the cache
        rule, which = "all", "full"
    elif rule == "random":
        # Sorted for the disk's sake: no metric depends on the order of real images.
        indices = sorted(random_choice(settings.seed, total, num))
        which = _random(settings.seed)
    return replace(pick_reals(files, indices, which, settings, mirror=mirror), rule=rule)


def _content_key(files: ImageSet) -> dict[str, str]:
    """For keys: the files of images, and the code of a package that makes images of them."""
    code = code_of_reader(files)
    return {"content": content_digest(files), **({"reader": code} if code else {})}


def _random(seed: int) -> str:
    """For keys: what `random_choice` chooses. Another algorithm must have another name."""
    return f"random of seed {seed}"


def pick_reals(
    files: ImageSet, indices: Sequence[int], rule: str, settings: Sampling, *, mirror: bool
) -> Images:
    """Choose the real images with these numbers; `rule` says how they were chosen."""
    return Images(
        source=FileImages(
            files=files,
            indices=indices,
            mirror=mirror,
            seed=settings.seed,
            batch=settings.batch,
        ),
        num=len(indices),
        key={
            **_content_key(files),
            "which": rule,
            "flips": f"seed {settings.seed}" if mirror else "none",
        },
        rule=rule,
    )


def _halves(files: ImageSet, settings: RealSettings) -> tuple[Images, Images]:
    """Two disjoint random sets of `num` real images each."""
    num = settings.num
    if 2 * num > len(files):
        raise UserError(
            f"the data has {len(files)} images, --floor with --num {num} needs"
            f" {2 * num}: use --num {len(files) // 2} or give more data"
        )
    order = random_stream(settings.seed, 0, Stream.SUBSET).permutation(len(files))
    first, second = (
        pick_reals(
            files,
            # Sorted for the disk's sake: statistics do not depend on the order.
            sorted(int(i) for i in order[part * num : (part + 1) * num]),
            f"half {part} of seed {settings.seed}",
            settings,
            mirror=settings.mirror == "yes",
        )
        for part in (0, 1)
    )
    return first, second
