"""The checks that a candidate has to pass to become champion.

Each takes a `Challenge` and returns a `Check` with its numbers; `promote` runs them and decides.
"""

from collections.abc import Callable

import numpy as np

from unveil.common.errors import UserError
from unveil.common.files import read_json, sha256
from unveil.common.paths import MODELS, PACKED, VALIDATION
from unveil.data import real_or_synthetic
from unveil.evaluation import metrics
from unveil.evaluation.metrics import Estimate
from unveil.promotion.challenger import Challenge, Check
from unveil.promotion.deployable import deployable
from unveil.promotion.fair import fair

TOLERANCE = 1e-3
"""Allowed difference between a reloaded network's macro-F1 and its report (rounding)."""

PREREQUISITES = ("reported", "finite", "reproduced")
"""Checks on which all others depend; --force does not override them."""


def run_checks(challenge: Challenge) -> list[Check]:
    """Run all checks; stop after a failed prerequisite."""
    checks = []
    for check in CHECKS:
        checks.append(check(challenge))
        if not checks[-1].passed and checks[-1].name in PREREQUISITES:
            break
    return checks


def validated(challenge: Challenge) -> Check:
    """The data passed its rules."""
    try:
        passed = bool(read_json(VALIDATION, made_by="unveil validate")["passed"])
    except UserError:
        if VALIDATION.exists():
            raise
        return Check("validated", passed=False, said="the data has not been validated")
    return Check("validated", passed, f"the data {'passed' if passed else 'failed'} validation")


def reported(challenge: Challenge) -> Check:
    """The report was made with this network and these test images."""
    files = {"model_digest": MODELS / challenge.key / "model.keras"}
    files |= {"test_digest": PACKED / "test.npz"}
    for name, path in files.items():
        if not path.exists() or challenge.report[name] != sha256(path):
            message = f"its report does not match {path}; `dvc repro compare` updates it"
            return Check("reported", passed=False, said=message)
    return Check("reported", passed=True, said="its report matches the model and the test data")


def finite(challenge: Challenge) -> Check:
    """Every weight and every probability is finite."""
    if not all(np.isfinite(weights).all() for weights in challenge.network.get_weights()):
        return Check("finite", passed=False, said="a weight is not finite")
    try:
        challenge.candidate_probabilities  # noqa: B018  raises UserError if not finite
    except UserError as error:
        return Check("finite", passed=False, said=str(error))
    return Check("finite", passed=True, said="weights and probabilities are finite")


def reproduced(challenge: Challenge) -> Check:
    """The reloaded network reproduces the macro-F1 of its report."""
    stated = float(challenge.report["test"]["macro_f1"]["value"])
    own = challenge.macro_f1(challenge.candidate_probabilities)
    passed = abs(own - stated) <= TOLERANCE
    verb = "reproduces" if passed else "does not reproduce"
    message = f"it {verb} its report: macro-F1 {own:.3f}, reported {stated:.3f}"
    return Check("reproduced", passed, message, {"macro_f1": own, "reported_macro_f1": stated})


def useful(challenge: Challenge) -> Check:
    """The interval of its macro-F1 is above chance, and its macro-F1 is not below the floor."""
    names = challenge.params.classes
    matrix = metrics.confusion_matrix(
        challenge.test.labels, challenge.candidate_probabilities.argmax(1), len(names)
    )
    own = metrics.confidence_interval(metrics.macro_f1, matrix)
    counts = matrix.sum(1)
    share = float(counts.max() / counts.sum())
    # Random guessing reaches 1 / classes at most; a constant prediction has one F1 above 0.
    always, chance = 2 * share / (1 + share) / len(names), 1 / len(names)
    floor = chance + challenge.params.promotion.floor * (1 - chance)
    numbers = {"macro_f1_low": own.low, "chance": chance, "majority": always, "floor": floor}
    majority = names[int(counts.argmax())]
    trivial = f"random guessing reaches {chance:.3f}, always predicting {majority} {always:.3f}"
    message = f"macro-F1 {own} is better than chance: {trivial}; the floor is {floor:.3f}"
    if own.low <= max(chance, always):
        message = f"macro-F1 {own} is not significantly better than chance: {trivial}"
    elif own.value < floor:
        message = (
            f"macro-F1 {own} is below {floor:.3f}, the promotion.floor of {len(names)} classes"
        )
    passed = own.low > max(chance, always) and own.value >= floor
    return Check("useful", passed, message, numbers)


def real(challenge: Challenge) -> Check:
    """It was trained on real faces, or the champion was not either."""
    if challenge.candidate_source != real_or_synthetic.DRAWN:
        return Check("real", passed=True, said=f"it was trained on: {challenge.candidate_source}")
    record = challenge.record
    if record.champion is None or challenge.champion_source == real_or_synthetic.DRAWN:
        message = "it was trained on synthetic faces, and there is no champion trained on real ones"
        return Check("real", passed=True, said=message)
    message = (
        f"it was trained on synthetic faces, but the champion, version {record.champion}, on: "
        f"{challenge.champion_source}"
    )
    return Check("real", passed=False, said=message)


def better(challenge: Challenge) -> Check:
    """It is better than the champion on the same images: the interval of the lead is above 0."""
    try:
        probabilities = challenge.champion_probabilities
    except UserError as error:
        return Check("better", passed=False, said=str(error))
    if probabilities is None:
        return Check("better", passed=True, said="no previous champion")
    lead = metrics.paired_difference(
        challenge.test.labels,
        challenge.candidate_probabilities.argmax(1),
        probabilities.argmax(1),
        classes=len(challenge.params.classes),
    )
    message = (
        f"{_verdict(lead)} on the same {len(probabilities)} images: {lead.value:+.3f} macro-F1, "
        f"95 % interval [{lead.low:+.3f}, {lead.high:+.3f}]"
    )
    numbers = {"champion_macro_f1": challenge.macro_f1(probabilities)}
    numbers |= {"lead": lead.value, "lead_low": lead.low, "lead_high": lead.high}
    return Check("better", lead.low > 0, message, numbers)


def _verdict(lead: Estimate) -> str:
    if lead.low > 0:
        return "better than the champion"
    return "worse than the champion" if lead.high < 0 else "a tie with the champion"


CHECKS: tuple[Callable[[Challenge], Check], ...] = (
    validated,
    reported,
    finite,
    reproduced,
    better,
    fair,
    useful,
    real,
    deployable,
)
