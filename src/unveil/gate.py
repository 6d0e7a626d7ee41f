"""contest -> checks: what a network has to keep to become champion.

Takes a `Contest` and the verdict on the data; gives a `Check` for each condition, with its numbers.
`promote` asks and acts.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unveil import bundle, export, measures, origins, slices
from unveil.bundle import Bundle
from unveil.bundle_folder import FILES
from unveil.contest import Check, Contest
from unveil.errors import UserError
from unveil.files import read_json, sha256
from unveil.measures import Estimate
from unveil.paths import MODELS, PACKED, VERDICT
from unveil.predictions import Probabilities

TOLERANCE = 1e-3
"""By how much a reloaded network's macro-F1 may differ from its report: other processors round."""


WARM, TIMED = 5, 50
"""Faces that are answered before latency is measured, and while."""

SOUND = ("reported", "finite", "reproduced")
"""The checks without which nothing can be said of a network; no force passes them."""


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
        if VERDICT.exists():
            raise
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


def useful(contest: Contest) -> Check:
    """It beats chance by its interval, and its macro-F1 is not below the floor."""
    names = contest.params.classes
    matrix = measures.confusion(contest.test.labels, contest.answers.argmax(1), len(names))
    own = measures.interval(measures.macro_f1, matrix)
    counts = matrix.sum(1)
    share = float(counts.max() / counts.sum())
    # Guessing reaches 1 / classes at most; one class alone has an F1 above 0.
    always, chance = 2 * share / (1 + share) / len(names), 1 / len(names)
    floor = chance + contest.params.promotion.floor * (1 - chance)
    numbers = {"macro_f1_low": own.low, "chance": chance, "majority": always, "floor": floor}
    trivial = f"guessing reaches {chance:.4f}, always {names[int(counts.argmax())]} {always:.4f}"
    said = f"macro-F1 {own} is better than chance: {trivial}; the floor is {floor:.4f}"
    if own.low <= max(chance, always):
        said = f"macro-F1 {own} is not better than chance by its interval: {trivial}"
    elif own.value < floor:
        said = f"macro-F1 {own} is below {floor:.4f}, the promotion.floor of {len(names)} classes"
    passed = own.low > max(chance, always) and own.value >= floor
    return Check("useful", passed, said, numbers)


def real(contest: Contest) -> Check:
    """It learned from real faces, or no champion did."""
    if contest.faces != origins.DRAWN:
        return Check("real", passed=True, said=f"it learned from: {contest.faces}")
    reign = contest.reign
    if reign.champion is None or contest.champion_faces == origins.DRAWN:
        said = "it learned from synthetic faces, and no champion of real ones is there"
        return Check("real", passed=True, said=said)
    said = (
        f"it learned from synthetic faces, the champion, version {reign.champion}, did not: "
        f"{contest.champion_faces}"
    )
    return Check("real", passed=False, said=said)


def better(contest: Contest) -> Check:
    """It beats the champion on the same images, by an interval that lies above 0."""
    try:
        rival = contest.rival
    except UserError as error:
        return Check("better", passed=False, said=str(error))
    if rival is None:
        return Check("better", passed=True, said="no champion before")
    lead = measures.paired_difference(
        contest.test.labels,
        contest.answers.argmax(1),
        rival.argmax(1),
        classes=len(contest.params.classes),
    )
    said = (
        f"{_standing(lead)} on the same {len(rival)} images: {lead.value:+.4f} macro-F1, "
        f"95 % interval [{lead.low:+.4f}, {lead.high:+.4f}]"
    )
    numbers = {"champion_macro_f1": contest.macro_f1(rival)}
    numbers |= {"lead": lead.value, "lead_low": lead.low, "lead_high": lead.high}
    return Check("better", lead.low > 0, said, numbers)


def _standing(lead: Estimate) -> str:
    if lead.low > 0:
        return "better than the champion"
    return "worse than the champion" if lead.high < 0 else "a tie with the champion"


def fair(contest: Contest) -> Check:
    """Its worst slice is not worse than the champion's by more than the tolerance."""
    tolerance = contest.params.promotion.slice_tolerance
    own = _worst(contest, contest.answers)
    try:
        rival = None if contest.rival is None else _worst(contest, contest.rival)
    except UserError as error:
        return Check("fair", passed=False, said=str(error))
    if own is None:
        return Check("fair", passed=True, said="no slice has enough images to be measured")
    value, name = own
    if rival is None:
        said = f"its worst slice is {name}: macro-F1 {value:.4f}"
        return Check("fair", passed=True, said=said, numbers={"worst_slice": value})
    passed = value >= rival[0] - tolerance
    said = (
        f"its worst slice, {name}, has macro-F1 {value:.4f}, {'not ' if passed else ''}more than "
        f"{tolerance:g} below the champion's worst, {rival[1]}: {rival[0]:.4f}"
    )
    return Check("fair", passed, said, {"worst_slice": value, "champion_worst_slice": rival[0]})


def _worst(contest: Contest, answers: Probabilities) -> tuple[float, str] | None:
    classes, setting = len(contest.params.classes), contest.params.slices
    scores = slices.scored(
        contest.slices, contest.test.labels, answers.argmax(1), classes=classes, setting=setting
    )
    worst = slices.worst(scores)
    if worst is None or worst.macro_f1 is None:
        return None
    return worst.macro_f1.value, f"{worst.dimension}={worst.name}"


def deployable(contest: Contest) -> Check:
    """Exported, it answers as it does here, soon enough on one core, and is small enough."""
    limit = contest.params.promotion
    with tempfile.TemporaryDirectory(prefix="unveil-gate-") as folder:
        try:
            source = export.trained(contest.key, contest.params)
            made = export.export(source, Path(folder) / "bundle")
        except UserError as error:
            return Check("deployable", passed=False, said=str(error))
        size = (made.folder / FILES["float32"]).stat().st_size / 1e6
        latency = _latency(bundle.load(made.folder, threads=1), contest.test.images)
    near = made.card.parity["float32"]
    numbers = {"size": size, "latency": latency, "parity": float(near["max_difference"])}
    over = [
        f"{name} is {value:.3g} {unit}, over the budget of {most:g}"
        for name, value, unit, most in (
            ("the exported network", size, "MB", limit.size),
            ("one face on one core", latency, "ms", limit.latency),
        )
        if value > most
    ]
    said = f"exported, it answers as it does here: {size:.1f} MB, {latency:.1f} ms for one face"
    return Check("deployable", not over, "; ".join(over) or said, numbers)


def _latency(made: Bundle, faces: NDArray[np.uint8]) -> float:
    """Give the median of milliseconds that one core works for one face, whatever else it does."""
    seconds = []
    for place in range(WARM + TIMED):
        face = faces[place % len(faces)][np.newaxis]
        began = time.thread_time()
        made.probabilities(face)
        seconds.append(time.thread_time() - began)
    return float(1000 * np.median(seconds[WARM:]))


CONDITIONS: tuple[Callable[[Contest], Check], ...] = (
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
