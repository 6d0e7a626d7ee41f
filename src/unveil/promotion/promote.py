"""Promote the best candidate to champion if it passes the checks; roll the champion back.

Input: ``comparison.json``, the validation result and the best candidate's folder. The candidate is
registered, exported as a bundle, set as champion, and its bundle installed in ``data/07_bundle``.
The decision, promoted or refused, is written to ``data/05_reports/promotion.json``,
``data/promotions.jsonl`` and MLflow. Commands: ``unveil promote``, ``unveil rollback``.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from unveil import registry
from unveil.common import audit_log
from unveil.common.errors import UserError, mask_secrets, unknown_choice
from unveil.common.files import read_json, write_json
from unveil.common.paths import MODELS, PROMOTION, PROMOTIONS
from unveil.config.params import Params
from unveil.evaluation.evaluate import probabilities
from unveil.evaluation.model_comparison import read_comparison
from unveil.promotion import checks as gate
from unveil.promotion import release
from unveil.promotion.challenger import Challenge, Check
from unveil.registry import ChampionRecord, Version


@dataclass(frozen=True)
class Decision:
    """The decision about a candidate and its reason.

    ``act`` is ``promoted``, ``forced``, ``rolled back`` or ``refused``; in a dry run it starts with
    ``would be``. ``version`` is the new champion's version, or the champion's if that is the
    candidate; ``previous`` is the old one's. ``fault`` says why the bundle of the new champion
    could not be installed.
    """

    candidate: str
    act: str
    reason: str
    previous: str | None = None
    version: str | None = None
    fault: str = ""
    checks: tuple[Check, ...] = ()
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def promoted(self) -> bool:
        """Whether the champion has changed."""
        return self.act in ("promoted", "forced", "rolled back")

    def numbers(self) -> dict[str, float]:
        """Return the numbers of all checks, by name."""
        return {name: value for check in self.checks for name, value in check.numbers.items()}


class PromotionRefused(Exception):
    """The candidate cannot be promoted; the message is the reason."""


def promote(params: Params, *, force: str | None = None, dry_run: bool = False) -> Decision:
    """Promote the best candidate if it passes the checks, and write the decision.

    ``force`` is the reason to promote a candidate that fails a check; a candidate that fails a
    prerequisite is refused nevertheless. A dry run changes and writes nothing.
    """
    force = force and mask_secrets(force)
    comparison = read_comparison()
    key = comparison["ranking"][0]
    record = registry.champion_record()
    decision = Decision(candidate=key, act="refused", reason="", previous=record.champion)
    if record.version and record.version.origin == registry.training_origin(MODELS / key):
        number = record.version.number
        decision = replace(decision, reason="it is already the champion", version=number)
    else:
        challenge = Challenge(key, comparison["reports"][key], record, params)
        decision = _decide(decision, gate.run_checks(challenge), force)
        if decision.promoted and dry_run:
            decision = replace(decision, act=f"would be {decision.act}")
        elif decision.promoted:
            decision = _set_champion(decision, challenge)
    return decision if dry_run else _record(decision)


def rollback(to: str | None = None, *, reason: str = "") -> Decision:
    """Restore the previous champion, or the former champion with version ``to``.

    Raises ``UserError`` if there is none, or if its files or its bundle were altered.
    """
    record = registry.champion_record()
    version = _rollback_target(record, to)
    registry.load(version)
    version = release.ensure_bundle(version)
    decision = Decision(
        candidate=version.architecture,
        act="rolled back",
        reason=mask_secrets(reason) or "no reason given",
        previous=record.champion,
    )
    try:
        registry.set_champion(version, after=record, act=decision.act, reason=decision.reason)
    except registry.ChampionChanged as other:
        raise UserError(f"{other}; `unveil champion` shows the current one") from None
    return _record(_install(replace(decision, version=version.number)))


def _rollback_target(record: ChampionRecord, to: str | None) -> Version:
    if not (to or record.predecessors):
        others = f"; {_other_versions(record, '')}" if record.former else ""
        raise UserError(f"no previous champion; there is nothing to roll back to{others}")
    number = to or record.predecessors[-1]
    if number not in record.former:
        if not record.former:
            raise UserError(f"{number} is no former champion: there is none, so no rollback")
        raise unknown_choice("former champion", number, record.former)
    version = registry.find_version(number)
    if version is None:
        raise UserError(
            f"version {number} is no longer in MLflow; {_other_versions(record, number)}"
        )
    return version


def _install(decision: Decision) -> Decision:
    """Install the new champion's bundle; a failure does not undo the promotion."""
    try:
        release.install()
    except (UserError, OSError) as error:
        return replace(decision, fault=str(error))
    return decision


def _other_versions(record: ChampionRecord, number: str) -> str:
    others = [one for one in record.former if one != number]
    return f"`--to` takes {', '.join(others) or 'no other'}"


def _decide(decision: Decision, checks: list[Check], force: str | None) -> Decision:
    failed = [check for check in checks if not check.passed]
    decision = replace(decision, checks=tuple(checks))
    reason = "; ".join(dict.fromkeys(check.said for check in failed))
    prerequisites_passed = not {check.name for check in failed} & set(gate.PREREQUISITES)
    if failed and (force is None or not prerequisites_passed):
        return replace(decision, reason=reason)
    if failed:
        return replace(decision, act="forced", reason=f"{force} (despite: {reason})")
    return replace(decision, act="promoted", reason=_comparison_sentence(checks))


def _comparison_sentence(checks: list[Check]) -> str:
    return next(check.said for check in checks if check.name == "better")


def _set_champion(decision: Decision, challenge: Challenge) -> Decision:
    try:
        version = registry.register(challenge.key)
        _require_same_network(challenge, version)
        version = _store_bundle(version)
        registry.set_champion(
            version, after=challenge.record, act=decision.act, reason=decision.reason
        )
    except PromotionRefused as refusal:
        return replace(decision, act="refused", reason=str(refusal))
    except registry.ChampionChanged as other:
        reason = f"{other}; the candidate was compared with another champion"
        return replace(decision, act="refused", reason=reason)
    return _install(replace(decision, version=version.number))


def _store_bundle(version: Version) -> Version:
    try:
        return release.make(version)
    except UserError as error:
        raise PromotionRefused(f"it cannot be exported: {error}") from None


def _require_same_network(challenge: Challenge, version: Version) -> None:
    try:
        registered = registry.load(version)
    except UserError as error:
        raise PromotionRefused(str(error)) from None
    pairs = zip(challenge.network.get_weights(), registered.get_weights(), strict=True)
    if not all(np.array_equal(own, other) for own, other in pairs):
        raise PromotionRefused(f"version {version.number} in MLflow has different weights")
    answers = probabilities(registered, challenge.test.images[:64])
    if not np.allclose(answers, challenge.candidate_probabilities[:64], atol=1e-5):
        raise PromotionRefused(f"version {version.number} in MLflow gives different predictions")


def _record(decision: Decision) -> Decision:
    content: dict[str, Any] = asdict(decision) | {"promoted": decision.promoted}
    content |= decision.numbers()
    audit_log.append(PROMOTIONS, content)
    write_json(PROMOTION, _with_earlier_checks(content))
    registry.record_decision(content, decision.numbers())
    return decision


def _with_earlier_checks(content: dict[str, Any]) -> dict[str, Any]:
    """Add the checks of the champion's promotion to the decision that it is champion already."""
    if content["promoted"] or content["version"] is None or not PROMOTION.exists():
        return content
    try:
        known = read_json(PROMOTION, made_by="unveil promote")
    except UserError:  # it is replaced anyway
        return content
    checks = known.get("checks") if known.get("version") == content["version"] else None
    return {**content, "checks": checks} if checks else content
