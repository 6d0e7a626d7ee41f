"""Ask a server how far its faces have drifted; past a threshold start train-all, once in a while.

Takes ``/metrics`` of `unveil serve` and ``monitoring`` of params.yaml; makes an artifact and an
event, and may start `train-all`. Command: ``prefect deployment run monitor/monitor``. A token is
taken from UNVEIL_TOKEN, else from the secret block ``unveil-token``.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from prefect import flow, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from flows.cancellation import ENDED
from flows.deploy import TRAIN_ALL
from flows.local_server import ensure_server
from flows.server import saying
from flows.signals import ends_soon
from unveil.common.errors import UserError
from unveil.config import params
from unveil.serving.monitoring import judge, read

TAG = "drift"
"""Of the train-alls that are started here."""


@flow(name="monitor")
def monitor(url: str | None = None) -> State:
    """Judge the faces that a server has seen of late; what is Failed could not be judged."""
    try:
        settings = params.load().monitoring
        verdict = judge(read(url or settings.url, _token()), settings)
        done = _started(settings.cooldown_hours) if verdict.outcome == "drifted" else ""
    except UserError as error:
        _announce("unknown", str(error), {})
        return Failed(message=str(error))
    said = "; ".join(filter(None, (verdict.said, done)))
    table = f"{verdict.table()}\n\n{said}\n"
    create_markdown_artifact(table, key="drift", description="How far served faces have drifted")
    _announce(verdict.outcome, said, verdict.drift)
    return Completed(message=said)


def _announce(outcome: str, said: str, drift: dict[str, float]) -> None:
    """Emit ``unveil.monitor.steady``, ``.drifted``, ``.too-few`` or ``.unknown``."""
    resource = {"prefect.resource.id": "unveil.served", "prefect.resource.name": "served faces"}
    payload: dict[str, Any] = {"said": said, "drift": drift}
    emit_event(event=f"unveil.monitor.{outcome}", resource=resource, payload=payload)


def _token() -> str | None:
    if given := os.environ.get("UNVEIL_TOKEN"):
        return given
    try:
        return str(Secret.load("unveil-token").get())  # type: ignore[union-attr]
    except ValueError:  # there is no such block: the server may ask for no token
        return None


def _started(cooldown_hours: float) -> str:
    """Start train-all, or say why not: one waits or runs, or was started a short time ago."""
    now = datetime.now(UTC)
    # Runs that a schedule has planned for later are no reason to wait.
    if busy := _last({"state": {"type": {"not_any_": ENDED}}}, before=now):
        return f"train-all not started: {busy.name} waits or runs"
    last = _last({"tags": {"all_": [TAG]}}, before=now)
    if last and last.expected_start_time:
        again = last.expected_start_time + timedelta(hours=cooldown_hours)
        if again > now:
            return f"train-all not started: {last.name} was, the next not before {again:%F %R} UTC"
    # Two that look at the same time ask with the same key, and get the same run.
    key = f"drift-after-{last.id if last else 'none'}"
    try:
        run = run_deployment(
            TRAIN_ALL, timeout=0, as_subflow=False, tags=[TAG], idempotency_key=key
        )
    except ObjectNotFound:
        raise UserError(f"the server has no {TRAIN_ALL}; `make deploy` makes it") from None
    assert isinstance(run, FlowRun)
    return f"train-all started: {run.name}"


def _last(which: dict[str, Any], *, before: datetime) -> FlowRun | None:
    wanted = {**which, "expected_start_time": {"before_": before}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": ["train-all"]}}),
            flow_run_filter=FlowRunFilter.model_validate(wanted),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=1,
        )
    return runs[0] if runs else None


@saying
def main() -> None:
    """Judge once, here and now."""
    with ends_soon("monitor"):
        ensure_server()
        ended = monitor(return_state=True)
        print(ended.message)
        sys.exit(not ended.is_completed())


if __name__ == "__main__":
    typer.run(main)
