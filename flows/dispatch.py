"""Dispatches the trainings: locally, one by one, or to the workers of the work pool `gpu`.

One flow run per architecture, the longest first, to shorten the total time. A run that crashed,
because its process or machine died, is started once more and resumes from its checkpoint. A run
that failed is not repeated. The Prefect server may be unavailable for a while.
"""

import csv
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import State, get_client, runtime
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Completed, Failed

from flows import artifacts
from flows.cancellation import cancel_leftovers
from flows.command import deployed
from flows.stages import outdated, stages_of
from flows.train_architecture import train_architecture
from unveil.common.errors import UserError
from unveil.common.paths import MODELS
from unveil.config import params
from unveil.registry import open_run

DEPLOYMENT = "train-architecture/train-architecture"
ATTEMPTS = 2
PATIENCE = 600
"""Seconds to retry when the server does not answer."""
POLL = 2
IMAGES = 28_000
"""The assumed size of the training split for an estimate; only the order of runs depends on it."""

T = TypeVar("T")
Outcomes = dict[str, State[Any]]


def train_each(keys: Sequence[str], force: bool, concurrency: int | None) -> Outcomes:
    """Train architectures, at most `concurrency` at once; if None, as many as there are workers.

    Returns the final state of each architecture.
    """
    if not deployed():
        return {
            key: _without_stale_model(key, train_architecture(key, force, return_state=True))
            for key in keys
        }
    stale = outdated()
    due = [key for key in keys if force or not stale.isdisjoint(stages_of(key))]
    ended: Outcomes = {key: Completed(message="up to date") for key in keys if key not in due}
    try:
        order = artifacts.order(due)
    except UserError as error:
        return ended | {key: _without_stale_model(key, Failed(message=str(error))) for key in due}
    trained = _dispatch(_longest_first(due), force, order=order, at_once=concurrency or len(due))
    return ended | {key: collected(key, state) for key, state in trained.items()}


def collected(key: str, state: State[Any]) -> State[Any]:
    """Pull a worker's results; if that fails, the state is Failed and the local model removed."""
    try:
        if state.is_completed():
            artifacts.pull_results(key)
    except UserError as error:
        state = Failed(message=str(error))
    return _without_stale_model(key, state)


def _without_stale_model(key: str, state: State[Any]) -> State[Any]:
    # Otherwise the model of an earlier run would be compared and promoted. DVC's cache keeps it.
    if not state.is_completed():
        (MODELS / key / "model.keras").unlink(missing_ok=True)
    return state


def _dispatch(waiting: list[str], force: bool, *, order: dict[str, Any], at_once: int) -> Outcomes:
    cancel_leftovers()
    running: dict[str, UUID] = {}
    ended: Outcomes = {}
    attempts = dict.fromkeys(waiting, 0)
    while waiting or running:
        while waiting and len(running) < at_once:
            key = waiting.pop(0)
            attempts[key] += 1
            parameters = {"architecture": key, "force": force, "order": order}
            running[key] = _start({**parameters, "parent": open_run()}, attempt=attempts[key])
        time.sleep(POLL)
        for key, state in _final_states(running).items():
            del running[key]
            if state.is_crashed() and attempts[key] < ATTEMPTS:
                waiting.insert(0, key)
            else:
                ended[key] = state
    return ended


def _start(parameters: dict[str, Any], *, attempt: int) -> UUID:
    # The idempotency key makes it safe to repeat a request whose response was lost.
    name = f"{runtime.flow_run.id}-{parameters['architecture']}-{attempt}"
    run = _with_retries(
        lambda: run_deployment(DEPLOYMENT, parameters=parameters, timeout=0, idempotency_key=name)
    )
    assert isinstance(run, FlowRun)
    return run.id


def _final_states(running: dict[str, UUID]) -> Outcomes:
    with get_client(sync_client=True) as client:
        run_filter = FlowRunFilter.model_validate({"id": {"any_": list(running.values())}})
        runs = _with_retries(lambda: client.read_flow_runs(flow_run_filter=run_filter))
    states = {run.id: run.state for run in runs}
    current = ((key, states.get(run)) for key, run in running.items())
    return {key: state for key, state in current if state is not None and state.is_final()}


def _with_retries(call: Callable[[], T]) -> T:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            final = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if final or time.monotonic() > deadline:
                raise
        time.sleep(POLL)


def _longest_first(keys: Sequence[str]) -> list[str]:
    return sorted(keys, key=_cost, reverse=True)


def _cost(key: str) -> float:
    """Estimate the seconds of a training; a wrong order only costs time."""
    history = MODELS / key / "history.csv"
    # A damaged history is ignored, as a missing one.
    with suppress(OSError, ValueError, KeyError, TypeError, csv.Error), history.open() as rows:
        return sum(float(row["seconds"]) for row in csv.DictReader(rows))
    loaded = params.load()
    network, schedule = loaded.architectures[key], loaded.schedules[key]
    size = getattr(network, "input_size", loaded.data.image_size)
    # A backbone at 48 pixels, or our own network of five blocks, took 20 ms per image on two cores.
    seconds = 0.02 * (size / 48) ** 2 * (1 if network.builder == "transfer" else 0.5)
    epochs = sum(stage.epochs for stage in schedule.stages)
    return seconds * epochs * (schedule.train_images or IMAGES)
