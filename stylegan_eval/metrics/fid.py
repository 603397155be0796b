"""Fréchet distance between the features of generated and of real images.

With Inception's pool3 features it is the FID of the paper (Section 2.1): 50,000 generated images
without truncation against the first 50,000 real ones, flipped at random when training flipped
them, everything quantised to bytes. With other features it is called by the network's name.

References
----------
Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6.
metrics/frechet_inception_distance.py of the official StyleGAN.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stylegan_eval.detectors import load_detector
from stylegan_eval.detectors.inception import WEIGHTS_SHA256
from stylegan_eval.errors import UserError
from stylegan_eval.images import ImageFiles, open_images, read_batches
from stylegan_eval.loading import load_generator, pick_device
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.precision import PRECISION
from stylegan_eval.protocols import Detector, ImageGenerator, LoadedGenerator
from stylegan_eval.results import Row
from stylegan_eval.sampling import Stream, generate, mirror_flags, random_stream
from stylegan_eval.settings import FidSettings, Inputs
from stylegan_eval.statistics import FeatureStats, StatsAccumulator


def real_images(
    files: ImageFiles, indices: Sequence[int], settings: FidSettings, *, mirror: bool
) -> Iterator[Tensor]:
    """Yield real images as uint8 [n, 3, H, W], flipped at random when `mirror`."""
    start = 0
    for batch in read_batches(files, indices, settings.batch):
        part = indices[start : start + len(batch)]
        start += len(batch)
        if mirror:
            flags = mirror_flags(settings.seed, part)
            batch = np.where(flags[:, None, None, None], batch[..., ::-1], batch)
        yield torch.from_numpy(np.ascontiguousarray(batch))


def feature_stats(
    images: Iterable[Tensor], detector: Detector, total: int, label: str
) -> FeatureStats:
    """Statistics of the features of a stream of uint8 image batches; progress on stderr."""
    stats = StatsAccumulator(detector.identity)
    with tqdm(desc=label, total=total, unit="img", smoothing=0.1) as progress:
        for batch in images:
            stats.add(detector(batch))
            progress.update(len(batch))
    return stats.result()


def check_reals(files: ImageFiles, settings: FidSettings, generator: ImageGenerator | None) -> None:
    """Check that there are enough real images, and of the generator's size if there is one.

    Raises
    ------
    UserError
        There are not; says what to do.
    """
    if generator is None:
        if 2 * settings.num > len(files):
            raise UserError(
                f"the data has {len(files)} images, --floor with --num {settings.num} needs"
                f" {2 * settings.num}: use --num {len(files) // 2} or give more data"
            )
        return
    if settings.num > len(files):
        raise UserError(
            f"the data has {len(files)} images, --num asks for {settings.num}:"
            f" use --num {len(files)} or give more data"
        )
    height, width = files.read(0).shape[1:]  # reading on finds images of other sizes
    size = generator.resolution
    if (height, width) != (size, size):
        fix = f"stylegan-data prepare {files.path} OUT.zip --resolution {size}"
        if min(height, width) < size:
            fix = "images are never enlarged, give larger ones"
        raise UserError(f"the data is {width}x{height}, the generator draws {size}x{size}: {fix}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A distance.

    Attributes
    ----------
    value : float
        Squared Fréchet distance.
    note : str
        What limits its meaning; empty when nothing does.
    """

    value: float
    note: str


def _compare(a: FeatureStats, b: FeatureStats) -> Measured:
    dim, count = len(a.mean), min(a.count, b.count)
    note = ""
    if count <= dim:
        note = (
            f"{count} images do not span {dim} features: the value is biased upwards and compares"
            f" only with values of {count} images"
        )
    return Measured(value=frechet_distance(a, b), note=note)


def measure(
    generator: ImageGenerator,
    files: ImageFiles,
    detector: Detector,
    settings: FidSettings,
    *,
    mirror: bool,
    device: torch.device,
) -> Measured:
    """Distance of `num` generated images from the first `num` real ones.

    Parameters
    ----------
    generator : ImageGenerator
        On `device`.
    files : ImageFiles
        Real images, `num` or more, of the generator's resolution.
    detector : Detector
        Feature network.
    settings : FidSettings
        Its `num`, `seed` and `batch` are used.
    mirror : bool
        Whether to flip real images at random.
    device : torch.device
        Where the generator is.

    Raises
    ------
    UserError
        Too few real images, of another resolution, or images that are not finite.
    """
    check_reals(files, settings, generator)
    num = settings.num
    indices = range(num)
    reals = real_images(files, indices, settings, mirror=mirror)
    real = feature_stats(reals, detector, num, "real images")
    fakes = generate(generator, settings.seed, indices, settings.batch, device)
    fake = feature_stats(fakes, detector, num, "generated images")
    return _compare(fake, real)


def measure_floor(
    files: ImageFiles, detector: Detector, settings: FidSettings, *, mirror: bool
) -> Measured:
    """Distance between two disjoint random sets of `num` real images each.

    It is what a perfect generator would get: not 0, because the distance falls with the number
    of images only like 1 / num.

    Raises
    ------
    UserError
        Fewer than 2 `num` real images.
    """
    check_reals(files, settings, None)
    num = settings.num
    order = random_stream(settings.seed, 0, Stream.SUBSET).permutation(len(files))
    halves = []
    for name, half in (("first half", order[:num]), ("second half", order[num : 2 * num])):
        # Sorted for the disk's sake: statistics do not depend on the order.
        indices = np.sort(half).tolist()
        images = real_images(files, indices, settings, mirror=mirror)
        halves.append(feature_stats(images, detector, num, name))
    return _compare(halves[0], halves[1])


def metric_name(settings: FidSettings, weights_sha256: str) -> str:
    """Name of the metric under this protocol.

    ``fid50k`` is official Inception weights and TensorFlow 1's resize; anything else is said in
    brackets. A user's own weights file is accepted, because the same network circulates in other
    containers, but its digest becomes part of the name: the number cannot pass for an FID.
    Without Inception the name never contains ``fid``.
    """
    floor = "_floor" if settings.floor else ""
    if settings.features != "inception":
        return f"fd_{settings.features}{floor}"
    num = f"{settings.num // 1000}k" if settings.num % 1000 == 0 else str(settings.num)
    marks = []
    if settings.resize != "tf1":
        marks.append(f"resize:{settings.resize}")
    if weights_sha256 != WEIGHTS_SHA256:
        marks.append(f"weights:{weights_sha256[:8]}")
    return f"fid{num}{floor}" + (f"[{','.join(marks)}]" if marks else "")


def _load(inputs: Inputs, settings: FidSettings, device: torch.device) -> LoadedGenerator | None:
    if settings.floor:
        if inputs.ckpt is not None:
            raise UserError("--floor compares real images with real ones: leave out --ckpt")
        return None
    if inputs.ckpt is None:
        raise UserError("--ckpt is missing: name the generator to measure (or use --floor)")
    return load_generator(inputs.ckpt, device)


def evaluate(inputs: Inputs, settings: FidSettings) -> list[Row]:
    """Measure what a command line names.

    Raises
    ------
    UserError
        Something of it cannot be used.
    """
    start = time.perf_counter()
    if inputs.data is None:
        raise UserError("--data is missing: name a folder or a zip of real images")
    device = pick_device(inputs.device)
    loaded = _load(inputs, settings, device)
    trained = loaded is not None and loaded.mirrored
    mirror = trained if settings.mirror == "auto" else settings.mirror == "yes"
    with open_images(inputs.data) as files:
        # What can be refused is refused before anything is downloaded.
        check_reals(files, settings, loaded.generator if loaded else None)
        detector = load_detector(settings.features, settings.resize, inputs.weights, device)
        if loaded is None:
            measured = measure_floor(files, detector, settings, mirror=mirror)
        else:
            measured = measure(
                loaded.generator, files, detector, settings, mirror=mirror, device=device
            )
    row = Row(
        metric=metric_name(settings, detector.weights_sha256),
        value=measured.value,
        num=settings.num,
        seed=settings.seed,
        protocol={
            "resize": detector.resize,
            "mirror": "yes" if mirror else "no",
            "quantisation": "round-half-up",
            "reals": "disjoint-halves" if settings.floor else "first",
        },
        checkpoint=str(inputs.ckpt or ""),
        checkpoint_sha256=loaded.sha256 if loaded else "",
        description=loaded.description if loaded else "",
        detector=detector.name,
        weights_sha256=detector.weights_sha256,
        data=str(inputs.data),
        data_digest=files.digest,
        data_count=settings.num * (2 if settings.floor else 1),
        precision=PRECISION,
        device=_device_name(device),
        torch=torch.__version__,
        seconds=round(time.perf_counter() - start, 1),
        note=measured.note,
    )
    return [row]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
