"""Training of attribute classifiers: all attributes in one network, by the logistic loss."""

import math
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.classifiers.classifier import AttributeRecord, ClassifierRecord
from stylegan_eval.classifiers.dataset import LabelledImages, read_labelled, to_float
from stylegan_eval.classifiers.network import ClassifierNetwork, build_network
from stylegan_eval.engine.device import best_format, strict_float32
from stylegan_eval.engine.files import PACKAGE
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.errors import UserError
from stylegan_eval.images.source import Source
from stylegan_eval.settings.others import TrainSettings

HELD_OUT_SHARE = 10  # every tenth image
# What the random streams of one seed are for.
_SPLIT, _ORDER, _FLIPS = range(3)


def split(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the images to train with, and of the random tenth that is held out."""
    order = np.random.default_rng((seed, _SPLIT)).permutation(count)
    held_out = max(1, count // HELD_OUT_SHARE)
    return order[:-held_out], order[-held_out:]


def learning_rate(highest: float, step: int, steps: int) -> float:
    """Half a cosine, from `highest` down to 0."""
    return highest * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(
    files: Source, settings: TrainSettings, device: torch.device
) -> tuple[ClassifierRecord, ClassifierNetwork]:
    """Train a classifier of all attributes (`read_labelled`) and test it on a tenth of the images.

    Images are flipped left to right at random: attributes are taken not to depend on that. On a CPU
    the same images, settings and number of threads give the same weights.
    """
    # What can be refused is refused before images are read.
    build_network(settings.architecture, settings.resolution, 1)
    data = read_labelled(files, settings.resolution, skip_constant=settings.skip_constant)
    network = build_network(settings.architecture, data.resolution, len(data.names))
    network = network.to_empty(device="cpu")
    network.initialise(torch.Generator().manual_seed(settings.seed))
    network = network.to(device).to(memory_format=best_format(device))
    train_on, test_on = split(len(data.images), settings.seed)
    with strict_float32(device.type):
        _fit(network, data, train_on, settings)
        network.eval().requires_grad_(requires_grad=False)
        right = _answers(network, data, test_on, settings.batch)  # [n, A]
    record = ClassifierRecord(
        architecture=settings.architecture,
        resolution=data.resolution,
        attributes=_attribute_records(data, right, data.labels[test_on].numpy() > 0),
        data_digest=data.digest,
        images=len(data.images),
        held_out=len(test_on),
        epochs=settings.epochs,
        batch=settings.batch,
        seed=settings.seed,
        lrate=settings.lrate,
        version=version(PACKAGE),
    )
    return record, network.to("cpu")


def _fit(
    network: ClassifierNetwork,
    data: LabelledImages,
    train_on: NDArray[np.int64],
    settings: TrainSettings,
) -> None:
    device = next(network.parameters()).device
    order = np.random.default_rng((settings.seed, _ORDER))
    flips = np.random.default_rng((settings.seed, _FLIPS))
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lrate)
    batch = min(settings.batch, len(train_on))
    per_epoch = len(train_on) // batch  # what is left over comes up in another epoch's order
    steps = settings.epochs * per_epoch
    with progress_bar(desc="train", total=steps * batch, unit="img") as bar:
        for step in range(steps):
            if step % per_epoch == 0:
                shuffled = order.permutation(train_on)
            start = step % per_epoch * batch
            part = shuffled[start : start + batch]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings.lrate, step, steps)
            x = to_float(data.images[part].to(device))  # [N, 3, R, R]
            flip = torch.from_numpy(flips.random(batch) < 0.5).to(device)
            x = torch.where(flip[:, None, None, None], x.flip(3), x)
            x = x.contiguous(memory_format=best_format(device))
            loss = F.binary_cross_entropy_with_logits(network(x), data.labels[part].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.update(batch)
            if step % per_epoch == per_epoch - 1:
                check_loss(loss)
                bar.set_postfix(loss=f"{loss.item():.4f}")


def check_loss(loss: Tensor) -> None:
    """Stop where there is nothing left to train."""
    if not bool(torch.isfinite(loss)):
        raise UserError("training diverged: try a lower --lrate")


def _answers(
    network: ClassifierNetwork, data: LabelledImages, indices: NDArray[np.int64], batch: int
) -> NDArray[np.bool_]:
    """Whether each attribute of each of these images is read right: [n, A]."""
    device = next(network.parameters()).device
    right = []
    with torch.inference_mode():
        for start in range(0, len(indices), batch):
            part = indices[start : start + batch]
            logits = network(to_float(data.images[part].to(device)))
            right.append((logits.cpu() > 0) == (data.labels[part] > 0))
    return torch.cat(right).numpy()


def _attribute_records(
    data: LabelledImages, right: NDArray[np.bool_], present: NDArray[np.bool_]
) -> tuple[AttributeRecord, ...]:
    shares = data.labels.mean(dim=0).tolist()
    records = []
    for column, name in enumerate(data.names):
        answers, has = right[:, column], present[:, column]
        # A rare attribute may be absent from the tenth; then one kind is all there is.
        kinds = [answers[kind].mean() for kind in (has, ~has) if kind.any()]
        records.append(
            AttributeRecord(
                name=name,
                share=shares[column],
                accuracy=float(answers.mean()),
                balanced_accuracy=float(np.mean(kinds)),
            )
        )
    return tuple(records)
