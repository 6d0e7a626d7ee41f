"""Stop the trainings that nobody waits for. What they learned stays in their checkpoints."""

import time
from typing import Any

from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling

ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
PATIENCE = 360
"""Seconds for a recalled run to end: its worker stops it in 60; without one Prefect waits 300."""


def recall(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop the children of a train-all that was cancelled or crashed, so that slots are free."""
    with get_client(sync_client=True) as client:
        _stop(client, {"parent_flow_run_id": {"any_": [flow_run.id]}})


def clear() -> None:
    """Stop what an earlier train-all left behind; only one runs at a time, so all that runs is."""
    left = {"parent_task_run_id": {"is_null_": False}}
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while _stop(client, left) and time.monotonic() < deadline:
            time.sleep(1)


def _stop(client: SyncPrefectClient, which: dict[str, Any]) -> int:
    # What a person runs, without a deployment, is theirs.
    ours = {"deployment_id": {"is_null_": False}, "state": {"type": {"not_any_": ENDED}}}
    wanted = FlowRunFilter.model_validate({**which, **ours})
    named = FlowFilter.model_validate({"name": {"any_": ["train-architecture"]}})
    runs = client.read_flow_runs(flow_filter=named, flow_run_filter=wanted)
    for run in runs:
        if run.state is not None and not run.state.is_cancelling():
            client.set_flow_run_state(run.id, Cancelling(message="nobody waits for it any more"))
    return len(runs)
