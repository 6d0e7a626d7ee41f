"""candidate, champion, test faces -> a contest: both of them asked about the same images.

Takes a candidate's folder and report and who reigns; loads networks, images and answers once, when
a condition of `gate` asks for them.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from unveil import measures, origins, packed, registry, release, slices, train
from unveil.errors import UserError
from unveil.evaluate import probabilities
from unveil.packed import Faces
from unveil.params import Params
from unveil.paths import MODELS
from unveil.predictions import Probabilities
from unveil.registry import Reign
from unveil.slices import Slice


@dataclass(frozen=True)
class Check:
    """A condition, whether it holds, the sentence that says so, and its numbers."""

    name: str
    passed: bool
    said: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contest:
    """A candidate with its report, and who reigns; answers are asked for once, when needed."""

    key: str
    report: dict[str, Any]
    reign: Reign
    params: Params

    @cached_property
    def network(self) -> Any:
        """The candidate's network."""
        return train.load(MODELS / self.key / "model.keras")

    @cached_property
    def test(self) -> Faces:
        """The test images and labels."""
        return packed.load("test")

    @cached_property
    def answers(self) -> Probabilities:
        """The candidate's probabilities of the test images ``(n, classes)``."""
        return probabilities(self.network, self.test.images)

    @cached_property
    def rival(self) -> Probabilities | None:
        """The champion's; ``None`` without one. ``UserError`` where it cannot be asked."""
        if said := release.forgotten(self.reign):
            raise UserError(said)
        if self.reign.champion is None:
            return None
        version = self.reign.version
        if version is None:
            raise UserError(f"champion version {self.reign.champion} is no longer in MLflow")
        asked = (self.params.classes, self.params.data.image_size)
        if (version.classes, version.image_size) != asked:
            raise UserError(
                f"champion version {version.number} cannot judge the same images: it knows "
                f"{', '.join(version.classes)} at {version.image_size} pixels"
            )
        return probabilities(registry.load(version), self.test.images)

    @property
    def faces(self) -> str:
        """Where the faces are from that the candidate learned from, by `origins`."""
        return registry.faces(MODELS / self.key)

    @property
    def champion_faces(self) -> str:
        """Likewise of the champion; ``UNKNOWN`` where nobody recorded it."""
        version = self.reign.version
        return registry.faces_of(version) if version else origins.UNKNOWN

    @cached_property
    def slices(self) -> list[Slice]:
        """The parts of the test images in which it is measured apart."""
        return slices.of(packed.rows("test"), packed.rows("train"), self.params)

    def macro_f1(self, answers: Probabilities) -> float:
        """Give the macro-F1 of someone's answers."""
        matrix = measures.confusion(self.test.labels, answers.argmax(1), len(self.params.classes))
        return float(measures.macro_f1(matrix))
