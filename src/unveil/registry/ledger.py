"""Who became champion, in an order that nobody can change; MLflow's alias only repeats it.

An alias is last-writer-wins. A parameter of a run is not: its first value stays, by the primary
key of MLflow's table, on SQLite as on PostgreSQL, and another is refused. So the n-th change of
champion is the parameter ``n`` of one run, and who logs it first has made it: a compare-and-swap
over MLflow's API alone. Which run that is says a tag that the experiment
``facial-emotion-promotions``, whose name is unique, has from its first moment.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from unveil.common.errors import UserError, reason
from unveil.registry.connection import NAME, artifacts

PROMOTIONS = f"{NAME}-promotions"
"""The experiment that holds a run for each decision."""

LOG = "log"
"""Its tag that names the run in which the ledger stands."""

LONGEST_REASON = 1000


class Overtaken(Exception):
    """Another made the change first; the message names the champion of now."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Entry:
    """One change of champion: ``number`` counts from 1, ``seal`` digests the version's digests.

    ``act`` is ``promoted``, ``forced`` or ``rolled back``; ``previous`` is ``""`` without one.
    ``bundle`` has the digests of the files that servers take, as JSON; older entries have none.
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


def entries(client: MlflowClient) -> list[Entry]:
    """Read all changes of champion, the first one first."""
    run_id = _known(client)
    found = client.get_run(run_id).data.params if run_id else {}
    numbered = {int(key): value for key, value in found.items() if key.isdecimal()}
    return [Entry(number=number, **json.loads(numbered[number])) for number in sorted(numbered)]


def append(client: MlflowClient, entry: Entry) -> None:
    """Make a change of champion; ``Overtaken`` where another has its number."""
    run_id = _known(client) or _made(client)
    content = asdict(entry) | {"reason": entry.reason[:LONGEST_REASON]}
    value = json.dumps({name: one for name, one in content.items() if name != "number"})
    fault = "it did not keep the entry"
    try:
        client.log_param(run_id, f"{entry.number:06}", value)
    except MlflowException as error:
        fault = reason(error)
    # An answer that was lost says nothing of what is written: only reading does.
    written = client.get_run(run_id).data.params.get(f"{entry.number:06}")
    if written is None:
        raise UserError(f"MLflow did not record who is champion: {fault}")
    if written != value:
        other = json.loads(written)
        raise Overtaken(f"version {other['version']} was {other['act']} meanwhile")


def line(log: Sequence[Entry]) -> list[str]:
    """Give the versions that a rollback goes back through, the champion of now last."""
    versions = [log[0].previous] if log and log[0].previous else []
    for entry in log:
        if entry.act == "rolled back" and entry.version in versions:
            last = len(versions) - versions[::-1].index(entry.version)
            versions = versions[:last]
        else:
            versions.append(entry.version)
    return versions


def former(log: Sequence[Entry]) -> list[str]:
    """Give every version that was champion and is not now, the last that became it first."""
    versions = [entry.version for entry in reversed(log)] + [log[0].previous] if log else []
    return [one for one in dict.fromkeys(versions) if one and one != log[-1].version]


def experiment(client: MlflowClient) -> str:
    """Give the id of the experiment of decisions, and make it, and the ledger, when absent."""
    found = client.get_experiment_by_name(PROMOTIONS)
    if found is None:
        _made(client)
        found = client.get_experiment_by_name(PROMOTIONS)
    assert found is not None
    return str(found.experiment_id)


def _known(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(PROMOTIONS)
    return str(found.tags[LOG]) if found else ""


def _made(client: MlflowClient) -> str:
    """Make the run, then the experiment that names it; who comes second takes the first's."""
    place = client.get_experiment_by_name(NAME)
    assert place is not None
    run = client.create_run(place.experiment_id, tags={"kind": LOG}, run_name="champions")
    client.set_terminated(run.info.run_id)
    try:
        client.create_experiment(PROMOTIONS, artifacts(), {LOG: run.info.run_id})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    kept = _known(client)
    if kept != run.info.run_id:
        client.delete_run(run.info.run_id)
    return kept
