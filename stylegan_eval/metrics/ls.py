"""Linear separability: from latents and classifier logits to rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.classifiers.storage import load_classifier
from stylegan_eval.engine.blocks import Arrays, Run, split
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.image_metrics import evaluate as evaluate_images
from stylegan_eval.metrics.image_pass import Images
from stylegan_eval.metrics.ls_collector import Array, LsCollector, Space, check
from stylegan_eval.metrics.naming import Value, make_row, where
from stylegan_eval.metrics.separability import (
    SvmError,
    conditional_entropy,
    joint_tables,
    most_confident,
    probabilities,
    score_stderr,
    separability,
    svm_predictions,
)
from stylegan_eval.results.results import Row
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import LsSettings

# Attributes that a metric's name lists at most.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class AttributeSeparation:
    """One attribute in one space."""

    name: str  # Of the attribute
    share: float  # Of the kept images, those that have it by the classifier
    entropy: float  # H(Y|X) in bits; NaN where no SVM was found
    accuracy: float  # Share of kept images on which SVM and classifier agree; NaN likewise
    table: tuple[tuple[int, int], tuple[int, int]]
    """Kept images by (SVM's answer, classifier's label), attribute present first; zeros
    likewise."""
    error: str = ""  # Why no SVM was found; else empty


@dataclass(frozen=True, kw_only=True)
class SpaceSeparation:
    """Separability of one space."""

    space: Space  # Which
    score: float  # 2^(sum of entropies), 1 or more; NaN where an attribute has no SVM
    stderr: float | None
    """See `separability.score_stderr`; None where there is no score or one block only."""
    attributes: tuple[AttributeSeparation, ...]  # In the order measured
    note: str  # Why there is no score; else empty


def choose_attributes(wanted: str, names: Sequence[str]) -> list[int]:
    """Columns of some attributes.

    `wanted`: names with commas between; with a minus before each of them all others; empty for all.
    """
    if not wanted.strip():
        return list(range(len(names)))
    words = _words(wanted)
    chosen = [word.removeprefix("-") for word in words]
    for name in chosen:
        if name not in names:
            raise UserError(
                f"--attributes: the classifiers know no {name!r}; they know {', '.join(names)}"
            )
        if chosen.count(name) > 1:
            raise UserError(f"--attributes: {name} is there {chosen.count(name)} times")
    left_out = [word.startswith("-") for word in words]
    if not any(left_out):
        return [names.index(name) for name in chosen]
    if not all(left_out) or len(chosen) == len(names):
        raise UserError(
            "--attributes: name those to measure, or those to leave out with a minus before each"
        )
    return [column for column, name in enumerate(names) if name not in chosen]


def _words(wanted: str) -> list[str]:
    return [word.strip() for word in wanted.split(",")]


def measure(
    blocks: Sequence[Mapping[str, NDArray[Any]]],
    names: Sequence[str],
    settings: LsSettings,
    *,
    progress: bool = True,
) -> list[SpaceSeparation]:
    """Separability of what `ls_collector.LsCollector` collected.

    Returns one result per space; none where `blocks` is empty.

    Parameters
    ----------
    blocks : sequence of mapping
        Arrays of all blocks, in order; empty in processes other than the first.
    settings : LsSettings
        Its `num`, `keep`, `spaces`, `svm` and `attributes` are used.
    """
    columns = choose_attributes(settings.attributes, names)
    if not blocks:
        return []
    logits = np.concatenate([block["logits"] for block in blocks])  # [num, A]
    assert len(logits) == settings.num, (len(logits), settings.num)
    # Not the blocks of the pass: those depend on what else was measured in it.
    stops = [block.stop for block in split(settings.num)]
    groups = np.searchsorted(stops, np.arange(settings.num), side="right")
    total = len(columns) * len(settings.spaces)
    results = []
    with progress_bar(desc="SVMs", total=total, unit="svm", shown=progress) as bar:
        for space in settings.spaces:
            latents = np.concatenate([block[space] for block in blocks])  # [num, D]
            fits = []
            for column in columns:
                fits.append(_separate(names[column], latents, logits[:, column], groups, settings))
                bar.update()
            results.append(_score(space, fits))
    return results


@dataclass(frozen=True)
class _Fit:
    attribute: AttributeSeparation
    tables: NDArray[np.float64]  # [B, 2, 2]


def _separate(
    name: str, latents: Array, logits: Array, groups: NDArray[Any], settings: LsSettings
) -> _Fit:
    indices, targets = most_confident(probabilities(logits), settings.keep)
    share = float((targets == 0).mean())
    try:
        sides = svm_predictions(latents[indices], targets, settings.svm)
    except SvmError as error:
        failed = AttributeSeparation(
            name=name,
            share=share,
            entropy=float("nan"),
            accuracy=float("nan"),
            table=((0, 0), (0, 0)),
            error=str(error),
        )
        return _Fit(failed, np.zeros((groups[-1] + 1, 2, 2)))
    tables = joint_tables(sides, targets, groups[indices], groups[-1] + 1)
    (a, b), (c, d) = tables.sum(axis=0).astype(int).tolist()
    separation = AttributeSeparation(
        name=name,
        share=share,
        entropy=conditional_entropy([[a, b], [c, d]]),
        accuracy=(a + d) / settings.keep,
        table=((a, b), (c, d)),
    )
    return _Fit(separation, tables)


def _score(space: Space, fits: Sequence[_Fit]) -> SpaceSeparation:
    attributes = tuple(fit.attribute for fit in fits)
    failed = [attribute for attribute in attributes if attribute.error]
    note = ""
    if failed:
        reasons = ", ".join(f"{attribute.name} ({attribute.error})" for attribute in failed)
        without = ",".join(f"-{attribute.name}" for attribute in failed)
        note = f"no ls_{space}: {reasons}: leave out with --attributes={without}"
    tables = np.stack([fit.tables for fit in fits], axis=1)  # [B, A, 2, 2]
    return SpaceSeparation(
        space=space,
        score=float("nan") if failed else separability([a.entropy for a in attributes]),
        stderr=None if failed else score_stderr(tables),
        attributes=attributes,
        note=note,
    )


def _chosen(settings: LsSettings) -> list[str]:
    """What ``--attributes`` lists, sorted; empty where it lists nothing."""
    return sorted(_words(settings.attributes)) if settings.attributes.strip() else []


def metric_name(space: Space, settings: LsSettings) -> str:
    """Name under this protocol: ``ls_w``; what differs from it in brackets."""
    marks = []
    if settings.svm != "deterministic":
        marks.append(f"svm:{settings.svm}")
    if words := _chosen(settings):
        # A long list would make the name unreadable; the protocol has all of it.
        named = "+".join(words) if len(words) <= _NAMED else f"{len(words)}-named"
        marks.append(f"attributes:{named}")
    return f"ls_{space}" + (f"[{','.join(marks)}]" if marks else "")


def protocol(settings: LsSettings, names: Sequence[str]) -> dict[str, str]:
    """What a result must say about how it came about."""
    # A cell of the table is "key=value key=value".
    words = [word.replace(" ", "-").replace("=", "-") for word in _chosen(settings)]
    return {
        "keep": str(settings.keep),
        "svm": settings.svm,
        "attributes": "+".join(words) or str(len(names)),
        "quantisation": "none",
        "w": "last-layer",
    }


def evaluate(inputs: Inputs, settings: LsSettings, run: Run) -> list[Row]:
    """Draw images, classify them and fit the SVMs.

    Returns for each space the score, then the entropies of the attributes (``ls_w/eyeglasses``);
    no rows in all processes but the first.
    """
    return evaluate_images(inputs, [], run, [open_separability(inputs, settings, run)])


@dataclass(frozen=True, kw_only=True)
class Separability:
    """Linear separability as a consumer of generated images; see `images.Consumer`."""

    inputs: Inputs
    settings: LsSettings
    classifier: AttributeClassifier

    @property
    def collector(self) -> LsCollector:
        """Latents and the classifiers' answers."""
        settings = self.settings
        return LsCollector(classifier=self.classifier, num=settings.num, spaces=settings.spaces)

    def check(self, fakes: Images) -> None:
        """Refuse images of files, and those that the classifiers cannot read."""
        if fakes.generator is None:
            raise UserError("linear separability needs latents: give --ckpt, not --images")
        check(self.classifier, fakes.generator.resolution)

    def rows(self, parts: Sequence[Arrays], fakes: Images, run: Run) -> list[Row]:
        """Fit the SVMs."""
        names = self.classifier.attributes
        spaces = measure(parts, names, self.settings)
        about: dict[str, Any] = {
            **fakes.about,
            "details": {**fakes.about["details"], "sklearn": version("scikit-learn")},
            "protocol": protocol(self.settings, names),
            "num": self.settings.num,
            "seed": self.settings.seed,
            "detector": f"classifiers-{self.classifier.record.architecture}",
            "weights_sha256": self.classifier.sha256,
            "precision": "fp32",
            **where(run),
        }
        return [make_row(value, about) for space in spaces for value in self._values(space)]

    def _values(self, space: SpaceSeparation) -> Iterator[Value]:
        name = metric_name(space.space, self.settings)
        yield Value(name=name, value=space.score, stderr=space.stderr, notes=[space.note])
        for attribute in space.attributes:
            details = {"share": f"{attribute.share:.4f}", "accuracy": f"{attribute.accuracy:.4f}"}
            if attribute.error:
                details = {
                    "share": details["share"],
                    "error": attribute.error.replace(" ", "-").replace("=", "-"),
                }
            yield Value(name=f"{name}/{attribute.name}", value=attribute.entropy, details=details)


def open_separability(inputs: Inputs, settings: LsSettings, run: Run) -> Separability:
    """Load the classifiers."""
    if inputs.classifiers is None:
        raise UserError(
            "--classifiers is missing: stylegan-eval classifiers train --data LABELLED.zip makes"
            " a file of them"
        )
    classifier = load_classifier(inputs.classifiers, run.device)
    choose_attributes(settings.attributes, classifier.attributes)
    return Separability(inputs=inputs, settings=settings, classifier=classifier)
