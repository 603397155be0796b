"""Linear separability: how well a hyperplane in Z or W predicts an attribute of the image.

For each binary attribute a classifier labels `num` generated images; of the `keep` surest a linear
SVM predicts the label from the latent. What the label still hides from one who knows the SVM's
answer is H(Y|X); the score is 2 to the sum over all attributes, 1 at best (Section 4.2 of the
paper: 200,000 images without truncation, 100,000 kept, 40 attributes). w is the latent of the last
layer, as in the official code. Scores compare only where the classifiers are the same.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, Section 4.2.
metrics/linear_separability.py of the official StyleGAN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.blocks import split
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.ls_collector import Array, Space
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
from stylegan_eval.progress import progress_bar
from stylegan_eval.settings.ls import LsSettings

# Attributes that a metric's name lists at most.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class AttributeSeparation:
    """One attribute in one space.

    Attributes
    ----------
    name : str
        Of the attribute.
    share : float
        Of the kept images, those that have it by the classifier.
    entropy : float
        H(Y|X) in bits; NaN where no SVM was found.
    accuracy : float
        Share of kept images on which SVM and classifier agree; NaN likewise.
    table : tuple of tuple of int
        Kept images by (SVM's answer, classifier's label), attribute present first; zeros likewise.
    error : str
        Why no SVM was found; else empty.
    """

    name: str
    share: float
    entropy: float
    accuracy: float
    table: tuple[tuple[int, int], tuple[int, int]]
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class SpaceSeparation:
    """Separability of one space.

    Attributes
    ----------
    space : {'z', 'w'}
        Which.
    score : float
        2^(sum of entropies), 1 or more; NaN where an attribute has no SVM.
    stderr : float or None
        See `separability.score_stderr`; None where there is no score or one block only.
    attributes : tuple of AttributeSeparation
        In the order measured.
    note : str
        Why there is no score; else empty.
    """

    space: Space
    score: float
    stderr: float | None
    attributes: tuple[AttributeSeparation, ...]
    note: str


def choose_attributes(wanted: str, names: Sequence[str]) -> list[int]:
    """Columns of some attributes.

    Parameters
    ----------
    wanted : str
        Names with commas between; with a minus before each of them all others; empty for all.
    names : sequence of str
        All attributes.

    Raises
    ------
    UserError
        A name is unknown or there twice, some have a minus and some not, or nothing is left.
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

    Parameters
    ----------
    blocks : sequence of mapping
        Arrays of all blocks, in order; empty in processes other than the first.
    names : sequence of str
        The classifiers' A attributes.
    settings : LsSettings
        Its `num`, `keep`, `spaces`, `svm` and `attributes` are used.
    progress : bool
        Whether to show a bar on stderr.

    Returns
    -------
    list of SpaceSeparation
        One per space; empty where `blocks` is.

    Raises
    ------
    UserError
        An attribute is unknown.
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
        said = "+".join(words) if len(words) <= _NAMED else f"{len(words)}-named"
        marks.append(f"attributes:{said}")
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
