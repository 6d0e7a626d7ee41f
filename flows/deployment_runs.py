"""Starts runs of deployments and reads their states; the server may be unavailable for a while."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import State, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError

PATIENCE = 600
"""Seconds to retry when the server does not answer."""
PAUSE = 2
T = TypeVar("T")
Name = TypeVar("Name")


def start(deployment: str, parameters: dict[str, Any], key: str) -> UUID:
    """Start a run of a deployment; with the ``key`` of an earlier one, return that one."""
    # The idempotency key makes it safe to repeat a request whose response was lost.
    run = with_retries(
        lambda: run_deployment(deployment, parameters=parameters, timeout=0, idempotency_key=key)
    )
    assert isinstance(run, FlowRun)
    return run.id


def final_states(running: Mapping[Name, UUID]) -> dict[Name, State[Any]]:
    """Return the states of the runs that have ended."""
    with get_client(sync_client=True) as client:
        run_filter = FlowRunFilter.model_validate({"id": {"any_": list(running.values())}})
        runs = with_retries(lambda: client.read_flow_runs(flow_run_filter=run_filter))
    states = {run.id: run.state for run in runs}
    current = ((name, states.get(run)) for name, run in running.items())
    return {name: state for name, state in current if state is not None and state.is_final()}


def with_retries(call: Callable[[], T]) -> T:
    """Repeat a request until the server answers, at most `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            final = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if final or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE)
