"""`stylegan-eval ls`: separability of a generator's latents, as rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sklearn

from stylegan_eval.blocks import Arrays, Run
from stylegan_eval.classifiers.classifier import AttributeClassifier
from stylegan_eval.classifiers.storage import load_classifier
from stylegan_eval.errors import UserError
from stylegan_eval.evaluation.images import evaluate as evaluate_images
from stylegan_eval.evaluation.provenance import about_fakes, make_row, where
from stylegan_eval.evaluation.sources import Fakes
from stylegan_eval.metrics.image_metric import Value
from stylegan_eval.metrics.ls import (
    SpaceSeparation,
    choose_attributes,
    measure,
    metric_name,
    protocol,
)
from stylegan_eval.metrics.ls_collector import LsCollector, check
from stylegan_eval.results import Row
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.ls import LsSettings


def evaluate(inputs: Inputs, settings: LsSettings, run: Run) -> list[Row]:
    """Draw images, classify them and fit the SVMs.

    Returns
    -------
    list of Row
        For each space the score, then the entropies of the attributes (``ls_w/eyeglasses``); empty
        in all processes but the first.

    Raises
    ------
    UserError
        Something of the inputs cannot be used.
    """
    return evaluate_images(inputs, [], run, [separability(inputs, settings, run)])


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

    def check(self, fakes: Fakes) -> None:
        """Refuse images of files, and those that the classifiers cannot read."""
        if fakes.generator is None:
            raise UserError("linear separability needs latents: give --ckpt, not --images")
        check(self.classifier, fakes.generator.resolution)

    def rows(self, parts: Sequence[Arrays], fakes: Fakes, run: Run) -> list[Row]:
        """Fit the SVMs."""
        names = self.classifier.attributes
        spaces = measure(parts, names, self.settings)
        fakes_about = about_fakes(fakes, self.inputs)
        about: dict[str, Any] = {
            **fakes_about,
            "details": {**fakes_about["details"], "sklearn": sklearn.__version__},
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
            said = {"share": f"{attribute.share:.4f}", "accuracy": f"{attribute.accuracy:.4f}"}
            if attribute.error:
                said = {
                    "share": said["share"],
                    "error": attribute.error.replace(" ", "-").replace("=", "-"),
                }
            yield Value(name=f"{name}/{attribute.name}", value=attribute.entropy, details=said)


def separability(inputs: Inputs, settings: LsSettings, run: Run) -> Separability:
    """Load the classifiers.

    Raises
    ------
    UserError
        There are none, or they do not know an attribute.
    """
    if inputs.classifiers is None:
        raise UserError(
            "--classifiers is missing: stylegan-eval classifiers train --data LABELLED.zip makes"
            " a file of them"
        )
    classifier = load_classifier(inputs.classifiers, run.device)
    choose_attributes(settings.attributes, classifier.attributes)
    return Separability(inputs=inputs, settings=settings, classifier=classifier)
