"""Cancels trainings whose train-all or sweep has ended. Their checkpoints are kept."""

import time
from collections.abc import Collection
from typing import Any
from uuid import UUID

from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelling

TRAININGS = ["train-architecture", "sweep-trial"]
"""The flows whose runs are cancelled."""
ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
PATIENCE = 360
"""Seconds for a cancelled run to end: a worker stops it in 60; without one Prefect waits 300."""


def cancel_children(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the child runs of a cancelled or crashed train-all, which frees their workers."""
    with get_client(sync_client=True) as client:
        _stop(client, {"parent_flow_run_id": {"any_": [flow_run.id]}})


def cancel_runs(runs: Collection[UUID]) -> None:
    """Cancel the runs of an interrupted sweep, which frees their workers."""
    if runs:
        with get_client(sync_client=True) as client:
            _stop(client, {"id": {"any_": [str(run) for run in runs]}})


def cancel_leftovers() -> None:
    """Cancel the trainings of an earlier train-all and wait for their end.

    Only one train-all runs at a time, so every training that still runs is a leftover.
    """
    children = {"parent_task_run_id": {"is_null_": False}}
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while _stop(client, children) and time.monotonic() < deadline:
            time.sleep(1)


def _stop(client: SyncPrefectClient, which: dict[str, Any]) -> int:
    # Runs without a deployment were started by a person and are left alone.
    active = {"deployment_id": {"is_null_": False}, "state": {"type": {"not_any_": ENDED}}}
    run_filter = FlowRunFilter.model_validate({**which, **active})
    flow_filter = FlowFilter.model_validate({"name": {"any_": TRAININGS}})
    runs = client.read_flow_runs(flow_filter=flow_filter, flow_run_filter=run_filter)
    for run in runs:
        if run.state is not None and not run.state.is_cancelling():
            client.set_flow_run_state(
                run.id, Cancelling(message="its train-all or sweep has ended")
            )
    return len(runs)
