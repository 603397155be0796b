"""Attribute directions in W, and how often moving along one flips the classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.progress import follow, progress_bar
from stylegan_eval.engine.protocols import ImageGenerator
from stylegan_eval.engine.sampling import draw, latents, noise_maps
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.components import covariance_of
from stylegan_eval.metrics.ls import choose_attributes
from stylegan_eval.metrics.separability import (
    Floats,
    SvmError,
    fit_hyperplane,
    most_confident,
    probabilities,
)
from stylegan_eval.results.directions_file import Directions
from stylegan_eval.results.significance import rate_stderr
from stylegan_eval.settings.others import DirectionsSettings


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Where one attribute lies."""

    name: str  # Of the attribute
    share: float  # Of the kept images, those that have it by the classifier
    accuracy: float
    """Share of kept images on which hyperplane and classifier agree; NaN where there is none."""
    normal: Floats
    """float64 [D], of length 1, pointing to where the attribute is present; zeros likewise."""
    spread: float  # Standard deviation of w along it; 0 likewise
    error: str = ""  # Why there is no direction; else empty


def find(
    blocks: Sequence[Mapping[str, NDArray[Any]]],
    names: Sequence[str],
    settings: DirectionsSettings,
) -> list[Direction]:
    """Directions of the chosen attributes in what `ls.LsCollector` collected.

    Parameters
    ----------
    blocks : sequence of mapping
        Arrays ``logits`` [n, A] and ``w`` [n, D] of all blocks, in order.
    settings : DirectionsSettings
        Its `keep`, `attributes`, `normal` and `apart` are used.
    """
    columns = choose_attributes(settings.attributes, names)
    logits = np.concatenate([block["logits"] for block in blocks])  # [n, A]
    w = np.concatenate([block["w"] for block in blocks])  # [n, D]
    covariance = covariance_of(w)  # [D, D]
    if not np.trace(covariance) > 0:
        raise UserError("all w are the same: the generator draws one image, and has no directions")
    found = []
    for column in follow(columns, "SVMs", len(columns), unit="svm"):
        indices, targets = most_confident(probabilities(logits[:, column]), settings.keep)
        found.append(_fit(names[column], w[indices], targets))
    return _turned(found, covariance, settings)


def _fit(name: str, w: NDArray[Any], targets: NDArray[np.int64]) -> Direction:
    """Plain normal of one attribute; its spread is not known yet."""
    share = float((targets == 0).mean())
    try:
        plane = fit_hyperplane(w, targets)
        accuracy, normal = float((plane.sides == targets).mean()), plane.normal
        error = "" if normal.any() else "the SVM found no hyperplane"
    except SvmError as failure:
        accuracy, normal, error = float("nan"), np.zeros(w.shape[1]), str(failure)
    return Direction(
        name=name, share=share, accuracy=accuracy, normal=normal, spread=0.0, error=error
    )


def _turned(
    plain: Sequence[Direction], covariance: Floats, settings: DirectionsSettings
) -> list[Direction]:
    """The same directions with the normals that the settings ask for."""
    planes = {each.name: each.normal for each in plain if not each.error}
    turned = []
    for each in plain:
        normal = each.normal
        if not each.error and settings.normal == "covariance":
            others = [plane for name, plane in planes.items() if name != each.name]
            normal = covariance_normal(each.normal, others, covariance, settings.apart)
        spread = float(np.sqrt(normal @ covariance @ normal))
        error = each.error or ("" if spread > 0 else "w does not vary along its normal")
        turned.append(replace(each, normal=normal, spread=spread, error=error))
    return turned


def covariance_normal(
    plane: Floats, others: Sequence[Floats], covariance: Floats, apart: float
) -> Floats:
    """Normal of a hyperplane by the covariance of w: S a, or with others a cleaner one.

    Of all u with the same a.u it has the least u^T S^-1 u + m |B u|^2 (docs/directions.md).

    Returns float64 [D], of length 1; zeros where w does not vary along a.

    Parameters
    ----------
    plane : ndarray
        a, [D].
    others : sequence of ndarray
        Rows of B, [D] each, in any units: here they get those that give B w deviation 1.
    covariance : ndarray
        S, [D, D].
    apart : float
        m, 0 or more.
    """
    towards: Floats = covariance @ plane
    if apart > 0 and len(others):
        B = np.stack(others)  # [J, D]
        B = B / np.sqrt(np.einsum("jd,de,je->j", B, covariance, B))[:, None]
        S_B = covariance @ B.T  # [D, J]
        weights = np.linalg.solve(np.eye(len(B)) / apart + B @ S_B, B @ towards)
        towards = towards - S_B @ weights
    length = float(np.linalg.norm(towards))
    return towards / length if length else towards


Shares = NDArray[np.float64]
Verdicts = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Side:
    """Counts of the images on one side of an attribute."""

    count: int  # n, images that were moved; 0 where none was found
    turned: Shares
    """float64 [K], share whose verdict on the attribute turned; NaN where `count` is 0."""
    others: Shares
    """float64 [K], share of verdicts on all other attributes that turned as well; likewise, and
    where there is no other attribute."""

    @property
    def variance(self) -> Shares:
        """[K], of the share that turned, over other images; see `rate_stderr`."""
        errors = [rate_stderr(share, max(self.count, 1)) for share in self.turned.tolist()]
        return np.square(errors)


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Effects of a direction."""

    name: str  # Of the attribute
    strengths: tuple[float, ...]  # K distances in standard deviations
    lacking: Side
    having: Side
    """lacking, having: Images without the attribute, moved towards it; and with it, moved away."""

    @property
    def rate(self) -> Shares:
        """[K], mean of both sides; of the one that has images where the other has none."""
        return _mean(self.lacking.turned, self.having.turned)

    @property
    def stderr(self) -> Shares:
        """[K], standard error of the rate over other images."""
        if not self.lacking.count or not self.having.count:
            return np.sqrt(_mean(self.lacking.variance, self.having.variance))
        return np.sqrt(self.lacking.variance + self.having.variance) / 2

    @property
    def others(self) -> Shares:
        """[K], share of verdicts on other attributes that turned, mean of both sides."""
        return _mean(self.lacking.others, self.having.others)


def _mean(a: Shares, b: Shares) -> Shares:
    """Mean of what is a number."""
    return np.where(np.isnan(a), b, np.where(np.isnan(b), a, (a + b) / 2))


@dataclass(frozen=True, kw_only=True)
class Mover:
    """Fresh images and what moves them."""

    generator: ImageGenerator  # On `device`
    classifier: AttributeClassifier  # Likewise
    settings: DirectionsSettings
    """Its `samples`, `strengths`, `check_seed`, `num` and `batch` are used."""
    device: torch.device  # Where

    def measure(self, directions: Directions) -> list[Flips]:
        """Move images along each direction.

        Of at most `num` fresh images the first `samples` on each side are taken.
        """
        names = self.classifier.attributes
        columns = [names.index(name) for name in directions.names]
        before = self._verdicts(columns)
        found = []
        followed = follow(columns, "moving", len(columns), unit="attribute")
        for row, column in enumerate(followed):
            step = directions.spreads[row] * directions.normals[row]
            sides = [self._side(before, column, step, present=side) for side in (False, True)]
            found.append(
                Flips(
                    name=names[column],
                    strengths=self.settings.strengths,
                    lacking=sides[0],
                    having=sides[1],
                )
            )
        return found

    def _verdicts(self, columns: Sequence[int]) -> Verdicts:
        """Verdicts [n, A] on so many fresh images that there are enough of each kind."""
        settings, parts = self.settings, []
        counts = np.zeros((2, len(columns)), np.int64)
        with progress_bar(desc="fresh images", total=settings.num, unit="img") as bar:
            for start in range(0, settings.num, settings.batch):
                part = range(start, min(start + settings.batch, settings.num))
                _, _, images = draw(self.generator, settings.check_seed, part, self.device)
                parts.append(self._judge(images))
                has = parts[-1][:, columns].sum(axis=0)
                counts += np.stack([len(part) - has, has])
                bar.update(len(part))
                if counts.min() >= settings.samples:
                    break
        return np.concatenate(parts)

    def _side(
        self, before: Verdicts, column: int, step: NDArray[np.float32], *, present: bool
    ) -> Side:
        settings = self.settings
        chosen = np.flatnonzero(before[:, column] == present)[: settings.samples]
        if not len(chosen):
            unknown = np.full(len(settings.strengths), np.nan)
            return Side(count=0, turned=unknown, others=unknown)
        towards = torch.from_numpy(-step if present else step).to(self.device)  # [D]
        changed = np.concatenate(
            [
                self._moved(chosen[start : start + settings.batch], towards)
                != before[None, chosen[start : start + settings.batch]]
                for start in range(0, len(chosen), settings.batch)
            ],
            axis=1,
        )  # [K, n, A]
        others = np.delete(changed, column, axis=2)
        return Side(
            count=len(chosen),
            turned=changed[:, :, column].mean(axis=1),
            others=others.mean(axis=(1, 2))
            if others.size
            else np.full(len(settings.strengths), np.nan),
        )

    def _moved(self, indices: NDArray[np.int64], towards: Tensor) -> Verdicts:
        """Verdicts [K, n, A] on these images after each move."""
        seed, generator = self.settings.check_seed, self.generator
        wanted = indices.tolist()
        with torch.inference_mode(), strict_float32(self.device.type):
            z = latents(seed, wanted, generator.z_dim).to(self.device)
            ws = generator.mapping(z)  # [n, L, D]
            noise = noise_maps(seed, wanted, generator.noise_shapes, self.device)
            return np.stack(
                [
                    self._judge(generator.synthesis(ws + strength * towards, noise))
                    for strength in self.settings.strengths
                ]
            )

    def _judge(self, images: Tensor) -> Verdicts:
        """Verdicts [n, A]: whether each attribute is present."""
        return (self.classifier(images) > 0).cpu().numpy()
