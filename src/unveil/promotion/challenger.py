"""A candidate and the champion, evaluated on the same test images.

Networks, images and predictions are loaded once, when a check of `checks` needs them.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.paths import MODELS
from unveil.config.params import Params
from unveil.data import real_or_synthetic
from unveil.dataset import arrays
from unveil.dataset.arrays import Faces
from unveil.evaluation import metrics, slices
from unveil.evaluation.evaluate import probabilities
from unveil.evaluation.predictions import Probabilities
from unveil.evaluation.slices import Slice
from unveil.promotion import release
from unveil.registry import ChampionRecord
from unveil.training import train


@dataclass(frozen=True)
class Check:
    """The result of one check; ``said`` explains it, as in ``promotion.json``."""

    name: str
    passed: bool
    said: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Challenge:
    """A candidate, its report and the current champion; predictions are computed when needed."""

    key: str
    report: dict[str, Any]
    record: ChampionRecord
    params: Params

    @cached_property
    def network(self) -> Any:
        """The candidate's network."""
        return train.load(MODELS / self.key / "model.keras")

    @cached_property
    def test(self) -> Faces:
        """The test images and labels."""
        return arrays.load("test")

    @cached_property
    def candidate_probabilities(self) -> Probabilities:
        """The candidate's probabilities for the test images, ``(n, classes)``."""
        return probabilities(self.network, self.test.images)

    @cached_property
    def champion_probabilities(self) -> Probabilities | None:
        """The champion's probabilities; ``None`` without a champion.

        Raises ``UserError`` if the champion cannot be loaded, takes other classes or sizes, or if
        MLflow does not have a version that was promoted.
        """
        if message := release.unknown_promotion(self.record):
            raise UserError(message)
        if self.record.champion is None:
            return None
        version = self.record.version
        if version is None:
            raise UserError(f"champion version {self.record.champion} is no longer in MLflow")
        expected = (self.params.classes, self.params.data.image_size)
        if (version.classes, version.image_size) != expected:
            raise UserError(
                f"champion version {version.number} cannot be evaluated on the same images: it has "
                f"{', '.join(version.classes)} at {version.image_size} pixels"
            )
        return probabilities(registry.load(version), self.test.images)

    @property
    def candidate_source(self) -> str:
        """The source of the candidate's training images, as in `real_or_synthetic`."""
        return registry.face_source(MODELS / self.key)

    @property
    def champion_source(self) -> str:
        """The source of the champion's training images; ``UNKNOWN`` if not recorded."""
        version = self.record.version
        return registry.face_source_of(version) if version else real_or_synthetic.UNKNOWN

    @cached_property
    def slices(self) -> list[Slice]:
        """The subsets of the test images that are evaluated separately."""
        return slices.make_slices(
            arrays.load_metadata("test"), arrays.load_metadata("train"), self.params
        )

    def macro_f1(self, predicted: Probabilities) -> float:
        """Return the macro-F1 of predicted probabilities ``(n, classes)``."""
        matrix = metrics.confusion_matrix(
            self.test.labels, predicted.argmax(1), len(self.params.classes)
        )
        return float(metrics.macro_f1(matrix))
