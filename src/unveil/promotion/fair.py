"""The check of a candidate's worst slice against the champion's."""

from unveil.common.errors import UserError
from unveil.evaluation import slices
from unveil.evaluation.predictions import Probabilities
from unveil.promotion.challenger import Challenge, Check


def fair(challenge: Challenge) -> Check:
    """Its worst slice is at most the tolerance worse than the champion's worst slice."""
    tolerance = challenge.params.promotion.slice_tolerance
    own = _worst_slice(challenge, challenge.candidate_probabilities)
    try:
        champion_worst = (
            None
            if challenge.champion_probabilities is None
            else _worst_slice(challenge, challenge.champion_probabilities)
        )
    except UserError as error:
        return Check("fair", passed=False, said=str(error))
    if own is None:
        return Check("fair", passed=True, said="no slice has enough images to be measured")
    value, name = own
    if champion_worst is None:
        message = f"its worst slice is {name}: macro-F1 {value:.3f}"
        return Check("fair", passed=True, said=message, numbers={"worst_slice": value})
    passed = value >= champion_worst[0] - tolerance
    message = (
        f"its worst slice, {name}, has macro-F1 {value:.3f}, {'not ' if passed else ''}more than "
        f"{tolerance:g} below the champion's worst, {champion_worst[1]}: {champion_worst[0]:.3f}"
    )
    return Check(
        "fair", passed, message, {"worst_slice": value, "champion_worst_slice": champion_worst[0]}
    )


def _worst_slice(challenge: Challenge, predicted: Probabilities) -> tuple[float, str] | None:
    classes, setting = len(challenge.params.classes), challenge.params.slices
    scores = slices.score_slices(
        challenge.slices,
        challenge.test.labels,
        predicted.argmax(1),
        classes=classes,
        setting=setting,
    )
    worst = slices.worst(scores)
    if worst is None or worst.macro_f1 is None:
        return None
    return worst.macro_f1.value, f"{worst.dimension}={worst.name}"
