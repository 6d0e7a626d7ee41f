"""comparison -> champion: the best candidate goes out only when the gate lets it.

Takes ``comparison.json``, the verdict on the data and the best candidate's folder; registers it,
moves the alias ``champion`` and writes ``data/05_reports/promotion.json``. Command:
``unveil promote``. Refused: data that did not pass, a network that is not finite or does not
reproduce its report, and one that is not better than the champion on the same images.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from unveil import measures, packed, registry, train
from unveil.errors import UserError
from unveil.evaluate import probabilities
from unveil.files import read_json, write_json
from unveil.params import Params
from unveil.paths import COMPARISON, MODELS, PROMOTION, VERDICT
from unveil.registry import Version

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-3
"""By how much a reloaded network's macro-F1 may differ from its report: other processors round."""


_DEPOSE = "remove its alias in MLflow to go on without it"


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and the macro-F1 of both on the same test images."""

    candidate: str
    promoted: bool
    reason: str
    macro_f1: float
    champion_macro_f1: float | None = None
    version: str | None = None
    previous: str | None = None


class Refused(Exception):
    """The gate is closed for the candidate; the message is the reason."""


def promote(params: Params) -> Decision:
    """Let the best candidate through the gate, or say why not; the decision is written down."""
    comparison = read_json(COMPARISON, made_by="unveil compare")
    key = comparison["ranking"][0]
    reported = comparison["reports"][key]["test"]["macro_f1"]["value"]
    before = registry.champion()
    try:
        decision = _through_the_gate(key, params, reported=reported, before=before)
    except Refused as refusal:
        decision = Decision(
            candidate=key,
            promoted=False,
            reason=str(refusal),
            macro_f1=reported,
            previous=before.number if before else None,
        )
    write_json(PROMOTION, asdict(decision))
    return decision


def _through_the_gate(
    key: str, params: Params, *, reported: float, before: Version | None
) -> Decision:
    _require_valid_data()
    folder = MODELS / key
    if before is not None and before.origin == registry.origin(folder):
        raise Refused("it is the champion already")
    network = _finite(train.load(folder / "model.keras"))
    own = _score(network, params)
    if abs(own - reported) > TOLERANCE:
        raise Refused(f"it does not reproduce its report: {own:.4f} instead of {reported:.4f}")
    rival = _champion_score(before, params)
    if rival is not None and own <= rival:
        raise Refused(f"not better than the champion on the same images: {own:.4f} <= {rival:.4f}")
    version = registry.register(key)
    _require_same_answers(network, version)
    registry.crown(version)
    return Decision(
        candidate=key,
        promoted=True,
        reason="no champion before" if before is None else "better on the same images",
        macro_f1=own,
        champion_macro_f1=rival,
        version=version.number,
        previous=before.number if before else None,
    )


def _require_valid_data() -> None:
    try:
        passed = read_json(VERDICT, made_by="unveil validate")["passed"]
    except UserError:
        raise Refused("the data was never validated") from None
    if not passed:
        raise Refused("the data did not pass validation")


def _finite(network: "keras.Model") -> "keras.Model":
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise Refused("a weight is not finite")
    return network


def _champion_score(before: Version | None, params: Params) -> float | None:
    if before is None:
        return None
    if before.classes != params.classes or before.image_size != params.data.image_size:
        raise Refused(
            f"champion version {before.number} cannot judge the same images: it knows "
            f"{', '.join(before.classes)} at {before.image_size} pixels; {_DEPOSE}"
        )
    try:
        return _score(registry.load(before), params)
    except UserError as error:
        raise Refused(f"{error}; {_DEPOSE}") from None


def _score(network: "keras.Model", params: Params) -> float:
    test = packed.load("test")
    try:
        answers = probabilities(network, test.images).argmax(1)
    except UserError as error:
        raise Refused(str(error)) from None
    matrix = measures.confusion(test.labels, answers, len(params.classes))
    return float(measures.macro_f1(matrix))


def _require_same_answers(network: "keras.Model", version: Version) -> None:
    faces = packed.load("test").images[:64]
    local, registered = (probabilities(one, faces) for one in (network, registry.load(version)))
    if not np.allclose(local, registered, atol=1e-5):
        raise Refused(f"version {version.number} of the registry answers differently")
