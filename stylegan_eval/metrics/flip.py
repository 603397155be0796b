"""`stylegan-eval directions`: attribute directions and how reliably they work, or components."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.classifiers.storage import load_classifier
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.files import PACKAGE
from stylegan_eval.engine.protocols import LoadedGenerator
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.components import (
    Components,
    as_directions,
    covariance_of,
    principal_components,
    sampled_w,
)
from stylegan_eval.metrics.directions import Direction, Flips, Mover, find
from stylegan_eval.metrics.image_pass import GeneratedImages, collect
from stylegan_eval.metrics.ls import LsCollector, check_resolution, choose_attributes
from stylegan_eval.metrics.naming import where
from stylegan_eval.metrics.sources import about_generator, generator_key, load_pure_generator
from stylegan_eval.results.directions_file import Directions
from stylegan_eval.results.results import Row, one_note
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.others import ComponentsSettings, DirectionsSettings


@dataclass(frozen=True, kw_only=True)
class FoundDirections:
    """Directions with what they were seen to do."""

    directions: Directions  # For a file
    details: tuple[Direction, ...]  # All attributes asked for, also those without a direction
    flips: tuple[Flips, ...]  # One per row of `directions`
    rows: tuple[Row, ...]  # One per direction and strength
    notes: Sequence[str] = ()  # What must be known of the generator


def evaluate(inputs: Inputs, settings: DirectionsSettings, run: Run) -> FoundDirections | None:
    """Draw and classify images, fit the hyperplanes, move fresh images along their normals.

    Returns None in all processes but the first.
    """
    start = time.perf_counter()
    loaded = load_pure_generator(inputs, run.device, "directions")
    classifier = _classifier(inputs, settings, loaded, run)
    key = generator_key(loaded, settings, run.device)
    images = GeneratedImages(
        generator=loaded.generator, seed=settings.seed, batch=settings.batch, device=run.device
    )
    collector = LsCollector(classifier=classifier, num=settings.num, spaces=("w",))
    parts = collect(images, [collector], key, run, "generated images")[collector.name]
    if not run.processes.is_first:
        return None
    details = find(parts, classifier.attributes, settings)
    directions = _directions(details, settings, loaded, classifier)
    mover = Mover(
        generator=loaded.generator, classifier=classifier, settings=settings, device=run.device
    )
    flips = mover.measure(directions)
    about = {
        "seed": settings.seed,
        **about_generator(loaded, inputs),
        "detector": f"classifiers-{classifier.record.architecture}",
        "weights_sha256": classifier.sha256,
        "precision": "fp32",
        "note": one_note(*loaded.notes),
        "details": loaded.details,
        "seconds": round(time.perf_counter() - start, 1),
        **where(run),
    }
    by_name = {each.name: each for each in details}
    return FoundDirections(
        directions=directions,
        details=tuple(details),
        flips=tuple(flips),
        rows=tuple(
            _row(by_name[each.name], each, number, settings, about)
            for each in flips
            for number in range(len(each.strengths))
        ),
        notes=loaded.notes,
    )


def _check_maps(inputs: Inputs, loaded: LoadedGenerator) -> None:
    if not loaded.maps:
        raise UserError(
            f"directions lie in W, and {inputs.ckpt or inputs.generator} has no mapping network:"
            " use another (configurations C to F have one)"
        )


def _classifier(
    inputs: Inputs, settings: DirectionsSettings, loaded: LoadedGenerator, run: Run
) -> AttributeClassifier:
    """Load the classifiers and check everything that can be before the work."""
    if inputs.classifiers is None:
        raise UserError(
            "--classifiers is missing: stylegan-eval classifiers train --data LABELLED.zip makes"
            " a file of them; --components 10 needs none"
        )
    _check_maps(inputs, loaded)
    classifier = load_classifier(inputs.classifiers, run.device)
    choose_attributes(settings.attributes, classifier.attributes)
    check_resolution(classifier, loaded.generator.resolution)
    return classifier


def find_components(
    inputs: Inputs, settings: ComponentsSettings, device: torch.device
) -> tuple[Components, Directions]:
    """Components of a generator, and what a file shall hold of them."""
    loaded = load_pure_generator(inputs, device, "directions")
    _check_maps(inputs, loaded)
    generator = loaded.generator
    w = sampled_w(generator.mapping, generator.z_dim, settings, device)
    found = principal_components(covariance_of(w), settings.components)
    return found, as_directions(found, settings, loaded.description, loaded.sha256)


def _directions(
    details: Sequence[Direction],
    settings: DirectionsSettings,
    loaded: LoadedGenerator,
    classifier: AttributeClassifier,
) -> Directions:
    """Content of a file of directions."""
    fitted = [each for each in details if not each.error]
    if not fitted:
        reasons = ", ".join(f"{each.name} ({each.error})" for each in details)
        raise UserError(
            f"no directions: {reasons}: draw more images (--num), or keep more (--keep)"
        )
    apart = f", apart {settings.apart:g}" if settings.normal == "covariance" else ""
    description = (
        f"{settings.normal} normals in w{apart}; {settings.num} images of seed {settings.seed},"
        f" {settings.keep} kept; network: {loaded.description}; classifiers:"
        f" {classifier.record.architecture}, sha256 {classifier.sha256};"
        f" {PACKAGE} {version(PACKAGE)}"
    )
    return Directions(
        names=tuple(each.name for each in fitted),
        normals=np.stack([each.normal for each in fitted]).astype(np.float32),
        spreads=np.array([each.spread for each in fitted], np.float32),
        accuracies=np.array([each.accuracy for each in fitted], np.float32),
        generator_digest=loaded.sha256,
        description=description,
    )


def metric_name(settings: DirectionsSettings, strength: float, attribute: str) -> str:
    """Name under this protocol: ``flip_w/smiling``; what differs from it in brackets."""
    usual = DirectionsSettings
    marks = []
    if settings.normal != usual.normal:
        marks.append(f"normal:{settings.normal}")
    elif settings.apart != usual.apart:
        marks.append(f"apart:{settings.apart:g}")
    if strength != usual.strength:
        marks.append(f"strength:{strength:g}")
    return "flip_w" + (f"[{','.join(marks)}]" if marks else "") + f"/{attribute}"


def protocol(settings: DirectionsSettings, strength: float) -> dict[str, str]:
    """The protocol of a row: the settings that define its value."""
    choices = {
        "strength": f"{strength:g}",
        "normal": settings.normal,
        "fit": str(settings.num),
        "keep": str(settings.keep),
        "check-seed": str(settings.check_seed),
        "layers": "all",
    }
    if settings.normal == "plain" or not settings.apart:
        return choices
    # Only here does one attribute's direction depend on the others.
    words = [word.strip() for word in settings.attributes.split(",") if word.strip()]
    named = "+".join(sorted(words)).replace(" ", "-").replace("=", "-") or "all"
    return choices | {"apart": f"{settings.apart:g}", "attributes": named}


def _row(
    direction: Direction,
    flips: Flips,
    number: int,
    settings: DirectionsSettings,
    about: dict[str, Any],
) -> Row:
    strength = flips.strengths[number]
    lacking, having = flips.lacking, flips.having
    missing = [
        f"no fresh image {what} it"
        for side, what in ((lacking, "lacks"), (having, "has"))
        if not side.count
    ]
    return Row(
        metric=metric_name(settings, strength, direction.name),
        value=float(flips.rate[number]),
        stderr=float(flips.stderr[number]),
        num=lacking.count + having.count,
        protocol=protocol(settings, strength),
        details={
            **about["details"],
            "share": f"{direction.share:.4f}",
            "accuracy": f"{direction.accuracy:.4f}",
            "added": f"{lacking.turned[number]:.4f}",
            "added-of": str(lacking.count),
            "removed": f"{having.turned[number]:.4f}",
            "removed-of": str(having.count),
            "others": f"{flips.others[number]:.4f}",
            "sklearn": version("scikit-learn"),
        },
        note=one_note(about["note"], *missing),
        **{key: cell for key, cell in about.items() if key not in ("note", "details")},
    )
