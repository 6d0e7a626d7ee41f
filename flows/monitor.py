"""Checks the drift of a server's faces and starts train-all if it exceeds a threshold.

Reads ``/metrics`` of `unveil serve` and ``monitoring`` of params.yaml; creates an artifact and an
event, and may start `train-all`, at most once per cooldown. Command: ``prefect deployment run
monitor/monitor``. The token comes from UNVEIL_TOKEN, else from the secret block ``unveil-token``.
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
from flows.server import report_user_errors
from flows.signals import exit_on_signals
from unveil.common.errors import UserError
from unveil.config import params
from unveil.serving.monitoring import judge, read

TAG = "drift"
"""The tag of train-all runs that this flow starts."""


@flow(name="monitor")
def monitor(url: str | None = None) -> State:
    """Check the drift of a server's recent faces; Failed if it could not be checked."""
    try:
        settings = params.load().monitoring
        verdict = judge(read(url or settings.url, _token()), settings)
        action = _start(settings.cooldown_hours) if verdict.outcome == "drifted" else ""
    except UserError as error:
        _announce("unknown", str(error), {})
        return Failed(message=str(error))
    message = "; ".join(filter(None, (verdict.message, action)))
    table = f"{verdict.table()}\n\n{message}\n"
    create_markdown_artifact(table, key="drift", description="Drift of the served faces")
    _announce(verdict.outcome, message, verdict.drift)
    return Completed(message=message)


def _announce(outcome: str, message: str, drift: dict[str, float]) -> None:
    """Emit ``unveil.monitor.steady``, ``.drifted``, ``.too-few`` or ``.unknown``."""
    resource = {"prefect.resource.id": "unveil.served", "prefect.resource.name": "served faces"}
    payload: dict[str, Any] = {"said": message, "drift": drift}
    emit_event(event=f"unveil.monitor.{outcome}", resource=resource, payload=payload)


def _token() -> str | None:
    if given := os.environ.get("UNVEIL_TOKEN"):
        return given
    try:
        return str(Secret.load("unveil-token").get())  # type: ignore[union-attr]
    except ValueError:  # no such block: the server may need no token
        return None


def _start(cooldown_hours: float) -> str:
    """Start train-all unless one waits, runs, or was started within the cooldown.

    Returns a message that says which.
    """
    now = datetime.now(UTC)
    # Runs that are scheduled for later do not count.
    if busy := _last({"state": {"type": {"not_any_": ENDED}}}, before=now):
        return f"train-all not started: {busy.name} waits or runs"
    last = _last({"tags": {"all_": [TAG]}}, before=now)
    if last and last.expected_start_time:
        earliest = last.expected_start_time + timedelta(hours=cooldown_hours)
        if earliest > now:
            return f"train-all not started: cooldown after {last.name} until {earliest:%F %R} UTC"
    # Two monitors at the same time use the same idempotency key and get the same run.
    key = f"drift-after-{last.id if last else 'none'}"
    try:
        run = run_deployment(
            TRAIN_ALL, timeout=0, as_subflow=False, tags=[TAG], idempotency_key=key
        )
    except ObjectNotFound:
        raise UserError(f"the server has no deployment {TRAIN_ALL}; run `make deploy`") from None
    assert isinstance(run, FlowRun)
    return f"train-all started: {run.name}"


def _last(which: dict[str, Any], *, before: datetime) -> FlowRun | None:
    run_filter = {**which, "expected_start_time": {"before_": before}}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": ["train-all"]}}),
            flow_run_filter=FlowRunFilter.model_validate(run_filter),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=1,
        )
    return runs[0] if runs else None


@report_user_errors
def main() -> None:
    """Check the drift once, locally."""
    with exit_on_signals("monitor"):
        ensure_server()
        state = monitor(return_state=True)
        print(state.message)
        sys.exit(not state.is_completed())


if __name__ == "__main__":
    typer.run(main)
