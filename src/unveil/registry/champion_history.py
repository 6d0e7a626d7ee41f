"""The append-only log of champions; MLflow's alias ``champion`` only repeats its last entry.

An alias is last-writer-wins. A run parameter is first-writer-wins: the primary key of MLflow's
table, in SQLite and PostgreSQL, rejects a second value. So the n-th change of champion is the
parameter ``n`` of one run, and the process that logs it first succeeds: a compare-and-swap with
MLflow's API alone. A tag of the experiment ``facial-emotion-promotions`` names that run; the tag is
set when the experiment is created, and the experiment's name is unique. The run is in the
experiment ``facial-emotion-champions``; older ones are among the trainings, and stay there.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.common.errors import UserError, reason
from unveil.registry.connection import NAME, artifact_location, find_or_create_experiment

PROMOTIONS = f"{NAME}-promotions"
"""The experiment with one run per decision."""

CHAMPIONS = f"{NAME}-champions"
"""The experiment with the run of the champion history."""

LOG = "log"
"""The tag of that experiment that names the run with the champion history."""

MAX_REASON_LENGTH = 1000


class ChampionChanged(Exception):
    """Another process changed the champion first; the message names the current champion."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class HistoryEntry:
    """One change of champion; ``number`` counts from 1.

    ``act`` is ``promoted``, ``forced`` or ``rolled back``; ``previous`` is the previous champion or
    ``""``. ``seal`` is the sha256 of the version's digests tag. ``bundle`` has the digests of the
    bundle's files as JSON; older entries have none.
    """

    number: int
    version: str
    previous: str
    act: str
    reason: str
    seal: str
    time: str = field(default_factory=_now)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    bundle: str = ""


def entries(client: MlflowClient) -> list[HistoryEntry]:
    """Read all changes of champion, oldest first."""
    run_id = _history_run(client)
    found = client.get_run(run_id).data.params if run_id else {}
    numbered = {int(key): value for key, value in found.items() if key.isdecimal()}
    return [
        HistoryEntry(number=number, **json.loads(numbered[number])) for number in sorted(numbered)
    ]


def append(client: MlflowClient, entry: HistoryEntry) -> None:
    """Add a change of champion; ``ChampionChanged`` if its number is already taken."""
    run_id = _history_run(client) or _create_history(client)
    content = asdict(entry) | {"reason": entry.reason[:MAX_REASON_LENGTH]}
    value = json.dumps({name: one for name, one in content.items() if name != "number"})
    fault = "the entry was not stored"
    try:
        client.log_param(run_id, f"{entry.number:06}", value)
    except MlflowException as error:
        fault = reason(error)
    # The answer may have been lost after the write, so only reading back shows what is stored.
    written = client.get_run(run_id).data.params.get(f"{entry.number:06}")
    if written is None:
        raise UserError(f"MLflow did not record the new champion: {fault}")
    if written != value:
        other = json.loads(written)
        raise ChampionChanged(f"version {other['version']} was {other['act']} meanwhile")


def rollback_chain(log: Sequence[HistoryEntry]) -> list[str]:
    """Return the versions that successive rollbacks restore; the current champion is last."""
    versions = [log[0].previous] if log and log[0].previous else []
    for entry in log:
        if entry.act == "rolled back" and entry.version in versions:
            last = len(versions) - versions[::-1].index(entry.version)
            versions = versions[:last]
        else:
            versions.append(entry.version)
    return versions


def former_champions(log: Sequence[HistoryEntry]) -> list[str]:
    """Return all former champions, most recent first."""
    versions = [entry.version for entry in reversed(log)] + [log[0].previous] if log else []
    return [one for one in dict.fromkeys(versions) if one and one != log[-1].version]


def decisions_experiment(client: MlflowClient) -> str:
    """Return the id of the experiment of decisions; create it and the history if missing."""
    found = client.get_experiment_by_name(PROMOTIONS)
    if found is None:
        _create_history(client)
        found = client.get_experiment_by_name(PROMOTIONS)
    assert found is not None
    return str(found.experiment_id)


def _history_run(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(PROMOTIONS)
    return str(found.tags[LOG]) if found else ""


def _create_history(client: MlflowClient) -> str:
    """Create the run, then the experiment that names it; the first of two processes wins."""
    place = find_or_create_experiment(client, CHAMPIONS)
    run = client.create_run(place, tags={"kind": LOG}, run_name="champions")
    client.set_terminated(run.info.run_id)
    try:
        client.create_experiment(PROMOTIONS, artifact_location(), {LOG: run.info.run_id})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    kept = _history_run(client)
    if kept != run.info.run_id:
        client.delete_run(run.info.run_id)
    return kept
