"""candidate, champion, test faces -> checks: what a network has to keep to become champion.

Takes a candidate's folder and report, the verdict on the data and the champion's own answers to the
same images; gives a `Check` for each condition, with its numbers. `promote` asks and acts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unveil import measures, packed, registry, train
from unveil.errors import UserError
from unveil.evaluate import Probabilities, probabilities
from unveil.files import read_json, sha256
from unveil.measures import Estimate
from unveil.packed import Faces
from unveil.params import Params
from unveil.paths import MODELS, PACKED, VERDICT
from unveil.registry import Reign

TOLERANCE = 1e-3
"""By how much a reloaded network's macro-F1 may differ from its report: other processors round."""


SOUND = ("reported", "finite", "reproduced")
"""The checks without which nothing can be said of a network; no force passes them."""


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

    def macro_f1(self, answers: Probabilities) -> float:
        """Give the macro-F1 of someone's answers."""
        matrix = measures.confusion(self.test.labels, answers.argmax(1), len(self.params.classes))
        return float(measures.macro_f1(matrix))


def judge(contest: Contest) -> list[Check]:
    """Ask every condition; after one of `SOUND` that fails, no other can be asked."""
    checks = []
    for condition in CONDITIONS:
        checks.append(condition(contest))
        if not checks[-1].passed and checks[-1].name in SOUND:
            break
    return checks


def validated(contest: Contest) -> Check:
    """The data passed its rules."""
    try:
        passed = bool(read_json(VERDICT, made_by="unveil validate")["passed"])
    except UserError:
        return Check("validated", passed=False, said="the data was never validated")
    return Check(
        "validated", passed, f"the data {'passed' if passed else 'did not pass'} validation"
    )


def reported(contest: Contest) -> Check:
    """The report is about this network and these test images."""
    files = {"model_digest": MODELS / contest.key / "model.keras"}
    files |= {"test_digest": PACKED / "test.npz"}
    for name, path in files.items():
        if not path.exists() or contest.report[name] != sha256(path):
            said = f"its report is not about {path}; `dvc repro compare` makes one"
            return Check("reported", passed=False, said=said)
    return Check("reported", passed=True, said="its report is about these files")


def finite(contest: Contest) -> Check:
    """Every weight and every probability is a number."""
    if not all(np.isfinite(weights).all() for weights in contest.network.get_weights()):
        return Check("finite", passed=False, said="a weight is not finite")
    try:
        contest.answers  # noqa: B018  asked for the error
    except UserError as error:
        return Check("finite", passed=False, said=str(error))
    return Check("finite", passed=True, said="weights and probabilities are finite")


def reproduced(contest: Contest) -> Check:
    """The network has the macro-F1 that its report states."""
    stated = float(contest.report["test"]["macro_f1"]["value"])
    own = contest.macro_f1(contest.answers)
    passed = abs(own - stated) <= TOLERANCE
    verb = "reproduces" if passed else "does not reproduce"
    said = f"it {verb} its report: {own:.4f} instead of {stated:.4f}"
    return Check("reproduced", passed, said, {"macro_f1": own, "reported_macro_f1": stated})


def better(contest: Contest) -> Check:
    """It beats the champion on the same images, by an interval that lies above 0."""
    try:
        rival = contest.rival
    except UserError as error:
        return Check("better", passed=False, said=str(error))
    if rival is None:
        return Check("better", passed=True, said="no champion before")
    confidence = contest.params.promotion.confidence
    lead = measures.paired_difference(
        contest.test.labels,
        contest.answers.argmax(1),
        rival.argmax(1),
        classes=len(contest.params.classes),
        confidence=confidence,
    )
    said = (
        f"{_standing(lead)} on the same {len(rival)} images: {lead.value:+.4f} macro-F1, "
        f"{100 * confidence:g} % interval [{lead.low:+.4f}, {lead.high:+.4f}]"
    )
    numbers = {"champion_macro_f1": contest.macro_f1(rival), "confidence": confidence}
    numbers |= {"lead": lead.value, "lead_low": lead.low, "lead_high": lead.high}
    return Check("better", lead.low > 0, said, numbers)


def _standing(lead: Estimate) -> str:
    if lead.low > 0:
        return "better than the champion"
    return "worse than the champion" if lead.high < 0 else "a tie with the champion"


CONDITIONS: tuple[Callable[[Contest], Check], ...] = (
    validated,
    reported,
    finite,
    reproduced,
    better,
)
