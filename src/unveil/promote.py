"""comparison -> champion: the best candidate goes out only when the gate lets it.

Takes ``comparison.json``, the verdict on the data and the best candidate's folder; registers it,
makes its bundle, makes it champion, puts the bundle into ``data/07_bundle`` and writes the
decision, refused or not, to ``data/05_reports/promotion.json``, ``data/promotions.jsonl`` and
MLflow. Commands: ``unveil promote``, ``unveil rollback``.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from unveil import compare, gate, journal, registry, release
from unveil.contest import Check, Contest
from unveil.errors import UserError, masked, unknown
from unveil.evaluate import probabilities
from unveil.files import write_json
from unveil.params import Params
from unveil.paths import MODELS, PROMOTION, PROMOTIONS
from unveil.registry import Reign, Version


@dataclass(frozen=True)
class Decision:
    """What became of a candidate and why; ``version`` is the champion's, where it became that.

    ``act`` is ``promoted``, ``forced``, ``rolled back``, ``refused``, or what starts with
    ``would be`` in a dry run. ``fault`` says why servers do not have the new champion.
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
        """Whether the champion is another now."""
        return self.act in ("promoted", "forced", "rolled back")

    def numbers(self) -> dict[str, float]:
        """Give the numbers of all checks, by name."""
        return {name: value for check in self.checks for name, value in check.numbers.items()}


class Refused(Exception):
    """The gate is closed for the candidate; the message is the reason."""


def promote(params: Params, *, force: str | None = None, dry_run: bool = False) -> Decision:
    """Let the best candidate through the gate, or say why not; the decision is written down.

    ``force`` is the reason for which a candidate goes out that was judged not to; one that is not
    sound is refused all the same. A dry run changes nothing and writes nothing.
    """
    force = force and masked(force)
    comparison = compare.read()
    key = comparison["ranking"][0]
    reign = registry.reign()
    decision = Decision(candidate=key, act="refused", reason="", previous=reign.champion)
    if reign.version and reign.version.origin == registry.origin(MODELS / key):
        decision = replace(decision, reason="it is the champion already")
    else:
        contest = Contest(key, comparison["reports"][key], reign, params)
        decision = _decided(decision, gate.judge(contest), force)
        if decision.promoted and dry_run:
            decision = replace(decision, act=f"would be {decision.act}")
        elif decision.promoted:
            decision = _done(decision, contest)
    return decision if dry_run else _written(decision)


def rollback(to: str | None = None, *, reason: str = "") -> Decision:
    """Make the champion of before champion again, or the version ``to``, if it ever was that.

    Raises ``UserError`` where there is none, and where its files or its bundle are not what was
    promoted.
    """
    reign = registry.reign()
    version = _former(reign, to)
    registry.load(version)
    version = release.prepared(version)
    decision = Decision(
        candidate=version.architecture,
        act="rolled back",
        reason=masked(reason) or "no reason given",
        previous=reign.champion,
    )
    try:
        registry.crown(version, after=reign, act=decision.act, reason=decision.reason)
    except registry.Overtaken as other:
        raise UserError(f"{other}; `unveil champion` says who it is") from None
    return _written(_installed(replace(decision, version=version.number)))


def _former(reign: Reign, to: str | None) -> Version:
    if not (to or reign.before):
        others = f"; {_others(reign, '')}" if reign.former else ""
        raise UserError(f"no version was champion before; there is nothing to roll back to{others}")
    number = to or reign.before[-1]
    if number not in reign.former:
        raise unknown("former champion", number, reign.former)
    version = registry.found(number)
    if version is None:
        raise UserError(f"version {number} is no longer in MLflow; {_others(reign, number)}")
    return version


def _installed(decision: Decision) -> Decision:
    """Give servers the new champion; it stays champion where that fails."""
    try:
        release.install()
    except (UserError, OSError) as error:
        return replace(decision, fault=str(error))
    return decision


def _others(reign: Reign, number: str) -> str:
    others = [one for one in reign.former if one != number]
    return f"`--to` takes {', '.join(others) or 'no other'}"


def _decided(decision: Decision, checks: list[Check], force: str | None) -> Decision:
    failed = [check for check in checks if not check.passed]
    decision = replace(decision, checks=tuple(checks))
    reason = "; ".join(dict.fromkeys(check.said for check in failed))
    sound = not {check.name for check in failed} & set(gate.SOUND)
    if failed and (force is None or not sound):
        return replace(decision, reason=reason)
    if failed:
        return replace(decision, act="forced", reason=f"{force} (although {reason})")
    return replace(decision, act="promoted", reason=_last(checks))


def _last(checks: list[Check]) -> str:
    return next(check.said for check in checks if check.name == "better")


def _done(decision: Decision, contest: Contest) -> Decision:
    try:
        version = registry.register(contest.key)
        _require_same(contest, version)
        version = _released(version)
        registry.crown(version, after=contest.reign, act=decision.act, reason=decision.reason)
    except Refused as refusal:
        return replace(decision, act="refused", reason=str(refusal))
    except registry.Overtaken as other:
        return replace(decision, act="refused", reason=f"{other}; it was judged against another")
    return _installed(replace(decision, version=version.number))


def _released(version: Version) -> Version:
    try:
        return release.make(version)
    except UserError as error:
        raise Refused(f"it cannot be exported: {error}") from None


def _require_same(contest: Contest, version: Version) -> None:
    try:
        registered = registry.load(version)
    except UserError as error:
        raise Refused(str(error)) from None
    pairs = zip(contest.network.get_weights(), registered.get_weights(), strict=True)
    if not all(np.array_equal(own, other) for own, other in pairs):
        raise Refused(f"version {version.number} of the registry has other weights")
    answers = probabilities(registered, contest.test.images[:64])
    if not np.allclose(answers, contest.answers[:64], atol=1e-5):
        raise Refused(f"version {version.number} of the registry answers differently")


def _written(decision: Decision) -> Decision:
    content: dict[str, Any] = asdict(decision) | {"promoted": decision.promoted}
    content |= decision.numbers()
    journal.append(PROMOTIONS, content)
    write_json(PROMOTION, content)
    registry.record(content, decision.numbers())
    return decision
