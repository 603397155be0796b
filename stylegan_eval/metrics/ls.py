"""Linear separability: from latents and classifier logits to rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.classifiers.network import SMALLEST
from stylegan_eval.classifiers.storage import load_classifier
from stylegan_eval.engine.blocks import BLOCK_COUNTS, Arrays, Run, split
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.image_metrics import evaluate as evaluate_images
from stylegan_eval.metrics.image_pass import Images, Samples
from stylegan_eval.metrics.naming import Value, freedom_details, make_row, where
from stylegan_eval.metrics.separability import (
    SvmError,
    conditional_entropy,
    few_kept_note,
    joint_tables,
    most_confident,
    probabilities,
    score_stderr,
    separability,
    svm_predictions,
)
from stylegan_eval.results.results import Row, one_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import LsSettings

_NAMED = 3  # attributes that a metric's name lists at most
Space = Literal["z", "w"]
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LsCollector:
    """Latents and classifier logits of generated images, for `image_pass.collect`.

    A block's arrays are ``logits`` [n, A], ``z`` [n, z_dim] and ``w`` [n, w_dim], float32, as far
    as `spaces` needs them.
    """

    classifier: AttributeClassifier
    """On the generator's device; reads the images as floats, not quantised."""
    num: int  # Images 0 .. num - 1 are shown to it
    spaces: Sequence[Space] = ("z", "w")  # Latents to keep
    _parts: dict[str, list[torch.Tensor]] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """Of the collector."""
        return "ls"

    @property
    def identity(self) -> str:
        """The classifiers' file and what is kept."""
        return f"classifiers={self.classifier.sha256} spaces={''.join(self.spaces)}"

    def begin(self) -> "LsCollector":
        """Return an empty one for a block."""
        return replace(self)

    def add(self, samples: Samples) -> None:
        """Take in a batch."""
        if samples.raw is None or samples.z is None or samples.ws is None:
            raise UserError(
                "linear separability needs a generator's latents, not images of files: use --ckpt"
            )
        logits = self.classifier(samples.raw)  # [n, A]
        values = {"logits": logits, "z": samples.z, "w": samples.ws[:, -1]}
        for name in ("logits", *self.spaces):
            self._parts.setdefault(name, []).append(values[name].float())

    def arrays(self) -> Arrays:
        """Arrays of the block."""
        arrays = {name: torch.cat(parts).cpu().numpy() for name, parts in self._parts.items()}
        if not np.isfinite(arrays["logits"]).all():
            raise UserError("the classifiers produced NaN or infinite logits: train them again")
        return arrays


def check_resolution(classifier: AttributeClassifier, resolution: int) -> None:
    """Check before the work that the classifiers can read the generator's images."""
    if resolution % classifier.resolution:
        fitting = resolution & -resolution  # its largest divisor that is a power of two
        remedy = f"train them with --resolution {fitting}"
        if fitting < SMALLEST:
            remedy = f"classifiers need a generator of a multiple of {SMALLEST} pixels"
        raise UserError(
            f"the generator draws {resolution}x{resolution}, the classifiers read"
            f" {classifier.resolution}x{classifier.resolution}: {remedy}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributeSeparation:
    """One attribute in one space."""

    name: str  # Of the attribute
    share: float  # Of the kept images, those that have it by the classifier
    tables: NDArray[np.float64]
    """[B, 2, 2]: kept images of each block by (SVM's answer, classifier's label), attribute present
    first; zeros where no SVM was found."""
    error: str = ""  # Why no SVM was found; else empty

    @property
    def table(self) -> list[list[int]]:
        """Sum over blocks."""
        table: list[list[int]] = self.tables.sum(axis=0).astype(int).tolist()
        return table

    @property
    def entropy(self) -> float:
        """H(Y|X) in bits; NaN where no SVM was found."""
        return float("nan") if self.error else conditional_entropy(self.table)

    @property
    def accuracy(self) -> float:
        """Share of kept images on which SVM and classifier agree; NaN where no SVM was found."""
        (a, b), (c, d) = self.table
        return float("nan") if self.error else (a + d) / (a + b + c + d)


@dataclass(frozen=True, kw_only=True)
class SpaceSeparation:
    """Separability of one space."""

    space: Space  # Which
    score: float  # 2^(sum of entropies), 1 or more; NaN where an attribute has no SVM
    stderr: float | None  # None where there is no score or one block only
    attributes: tuple[AttributeSeparation, ...]  # In the order measured
    note: str  # Why there is no score; else empty
    few_kept: str  # `separability.few_kept_note`


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
) -> list[SpaceSeparation]:
    """Separability of what `LsCollector` collected.

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
    with progress_bar(desc="SVMs", total=total, unit="svm") as bar:
        for space in settings.spaces:
            latents = np.concatenate([block[space] for block in blocks])  # [num, D]
            fits = []
            for column in columns:
                fits.append(_separate(names[column], latents, logits[:, column], groups, settings))
                bar.update()
            results.append(_score(space, fits, few_kept_note(settings.keep, latents.shape[1])))
    return results


def _separate(
    name: str, latents: Array, logits: Array, groups: NDArray[Any], settings: LsSettings
) -> AttributeSeparation:
    indices, targets = most_confident(probabilities(logits), settings.keep)
    tables, trouble = np.zeros((groups[-1] + 1, 2, 2)), ""
    try:
        sides = svm_predictions(latents[indices], targets, settings.svm)
        tables = joint_tables(sides, targets, groups[indices], len(tables))
    except SvmError as error:
        trouble = str(error)
    share = float((targets == 0).mean())
    return AttributeSeparation(name=name, share=share, tables=tables, error=trouble)


def _score(
    space: Space, attributes: Sequence[AttributeSeparation], few_kept: str
) -> SpaceSeparation:
    failed = [attribute for attribute in attributes if attribute.error]
    note = ""
    if failed:
        reasons = ", ".join(f"{attribute.name} ({attribute.error})" for attribute in failed)
        without = ",".join(f"-{attribute.name}" for attribute in failed)
        note = f"no ls_{space}: {reasons}: leave out with --attributes={without}"
    tables = np.stack([attribute.tables for attribute in attributes], axis=1)  # [B, A, 2, 2]
    return SpaceSeparation(
        space=space,
        score=float("nan") if failed else separability([a.entropy for a in attributes]),
        stderr=None if failed else score_stderr(tables),
        attributes=tuple(attributes),
        note=note,
        few_kept=few_kept,
    )


def _chosen(settings: LsSettings) -> list[str]:
    """The attributes that ``--attributes`` lists, sorted."""
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
    """The protocol of a row: the settings that define its value."""
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
    """Linear separability as a consumer of generated images; see `image_metrics.Consumer`."""

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
        check_resolution(self.classifier, fakes.generator.resolution)

    def rows(self, parts: Sequence[Arrays], fakes: Images, run: Run) -> list[Row]:
        """Fit the SVMs."""
        names, group = self.classifier.attributes, self.classifier.group
        spaces = measure(parts, names, self.settings)
        blocks = [len(part["logits"]) for part in parts] if group > 1 else []
        about: dict[str, Any] = {
            **fakes.about,
            "note": one_note(
                fakes.about["note"], cut_groups_note(blocks, self.settings.batch, group)
            ),
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
        free = None if space.stderr is None else len(split(self.settings.num)) - 1
        yield Value(
            name=name,
            value=space.score,
            stderr=space.stderr,
            details=freedom_details(free),
            notes=[space.note, space.few_kept],
        )
        for attribute in space.attributes:
            details = {"share": f"{attribute.share:.4f}", "accuracy": f"{attribute.accuracy:.4f}"}
            if attribute.error:
                details = {
                    "share": details["share"],
                    "error": attribute.error.replace(" ", "-").replace("=", "-"),
                }
            part, notes = f"{name}/{attribute.name}", [] if attribute.error else [space.few_kept]
            yield Value(name=part, value=attribute.entropy, details=details, notes=notes)


def cut_groups_note(blocks: Sequence[int], batch: int, group: int) -> str:
    """Say how many images a classifier compared with fewer than `group` - 1 others.

    `blocks`: how many images each block has, which is drawn in batches.
    """
    cut = sum(size // batch * (batch % group) + size % batch % group for size in blocks)
    if not cut:
        return ""
    even = group * max(count for count, _ in BLOCK_COUNTS)
    return (
        f"the classifiers compare {group} images in a row, and {cut:,} of {sum(blocks):,} images"
        f" were in groups cut short: measure ls by itself, of a multiple of {even} images, with a"
        f" --batch that {group} divides"
    )


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
