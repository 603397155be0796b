"""Whether moving w along a direction gives the image the attribute, or takes it.

Of fresh images without the attribute, the share that has it after w moved by k standard deviations
along the normal; of those with it, the share that lacks it after as much the other way. All layers
move, the noise stays.

Shapes: n images, L layers, D length of w, A attributes of the classifiers, K strengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.directions import Directions
from stylegan_eval.noise import rate_stderr
from stylegan_eval.precision import strict_float32
from stylegan_eval.progress import follow, progress_bar
from stylegan_eval.protocols import ImageGenerator
from stylegan_eval.sampling import draw, latents, noise_maps
from stylegan_eval.settings.directions import DirectionsSettings

Shares = NDArray[np.float64]
Verdicts = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Side:
    """What became of the images on one side of an attribute.

    Attributes
    ----------
    count : int
        n, images that were moved; 0 where none was found.
    turned : ndarray
        float64 [K], share whose verdict on the attribute turned; NaN where `count` is 0.
    others : ndarray
        float64 [K], share of verdicts on all other attributes that turned as well; likewise, and
        where there is no other attribute.
    """

    count: int
    turned: Shares
    others: Shares

    @property
    def variance(self) -> Shares:
        """[K], of the share that turned, over other images; see `noise.rate_stderr`."""
        errors = [rate_stderr(share, max(self.count, 1)) for share in self.turned.tolist()]
        return np.square(errors)


@dataclass(frozen=True, kw_only=True)
class Flips:
    """What a direction does.

    Attributes
    ----------
    name : str
        Of the attribute.
    strengths : tuple of float
        K distances in standard deviations.
    lacking, having : Side
        Images without the attribute, moved towards it; and with it, moved away.
    """

    name: str
    strengths: tuple[float, ...]
    lacking: Side
    having: Side

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
    """Fresh images and what moves them.

    Attributes
    ----------
    generator : ImageGenerator
        On `device`.
    classifier : AttributeClassifier
        Likewise.
    settings : DirectionsSettings
        Its `samples`, `strengths`, `check_seed`, `num` and `batch` are used.
    device : torch.device
        Where.
    """

    generator: ImageGenerator
    classifier: AttributeClassifier
    settings: DirectionsSettings
    device: torch.device

    def measure(self, directions: Directions, *, progress: bool = True) -> list[Flips]:
        """Move images along each direction.

        Of at most `num` fresh images the first `samples` on each side are taken.
        """
        names = self.classifier.attributes
        columns = [names.index(name) for name in directions.names]
        before = self._verdicts(columns, progress=progress)
        found = []
        followed = follow(columns, "moving", len(columns), unit="attribute", shown=progress)
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

    def _verdicts(self, columns: Sequence[int], *, progress: bool) -> Verdicts:
        """Verdicts [n, A] on so many fresh images that there are enough of each kind."""
        settings, parts = self.settings, []
        counts = np.zeros((2, len(columns)), np.int64)
        with progress_bar(
            desc="fresh images", total=settings.num, unit="img", shown=progress
        ) as bar:
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
