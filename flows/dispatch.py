"""Where the architectures are trained: here, one by one, or on the workers of the pool `gpu`.

One flow run for each architecture, the longest first, so that none still runs when all others have
ended. A run that crashed, because its process or its machine died, is dispatched once more and
goes on from its checkpoint. One that failed would fail again. A server that is away is waited for.
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

from flows import exchange
from flows.command import deployed
from flows.recall import clear
from flows.stages import outdated, stages_of
from flows.train_architecture import train_architecture
from unveil import params
from unveil.errors import UserError
from unveil.paths import MODELS
from unveil.registry import open_run

DEPLOYMENT = "train-architecture/train-architecture"
ATTEMPTS = 2
PATIENCE = 600
"""Seconds without an answer of the server before the run gives up."""
POLL = 2
IMAGES = 28_000
"""Of a training split, where nothing was trained yet and all are taken; only the order matters."""

T = TypeVar("T")
Outcomes = dict[str, State[Any]]


def train_each(keys: Sequence[str], force: bool, concurrency: int | None) -> Outcomes:
    """Train architectures, `concurrency` at once; as many as there are workers where it is None."""
    if not deployed():
        return {key: _kept(key, train_architecture(key, force, return_state=True)) for key in keys}
    stale = outdated()
    due = [key for key in keys if force or not stale.isdisjoint(stages_of(key))]
    ended: Outcomes = {key: Completed(message="up to date") for key in keys if key not in due}
    try:
        order = exchange.order(due)
    except UserError as error:
        return ended | {key: _kept(key, Failed(message=str(error))) for key in due}
    trained = _dispatch(_longest_first(due), force, order=order, at_once=concurrency or len(due))
    return ended | {key: collected(key, state) for key, state in trained.items()}


def collected(key: str, state: State[Any]) -> State[Any]:
    """Take what a worker made; where that cannot be, Failed and no model of `key` is here."""
    try:
        if state.is_completed():
            exchange.collect(key)
    except UserError as error:
        state = Failed(message=str(error))
    return _kept(key, state)


def _kept(key: str, state: State[Any]) -> State[Any]:
    # An earlier run's model would be compared, and promoted, in its place. DVC's cache has it.
    if not state.is_completed():
        (MODELS / key / "model.keras").unlink(missing_ok=True)
    return state


def _dispatch(waiting: list[str], force: bool, *, order: dict[str, Any], at_once: int) -> Outcomes:
    clear()
    running: dict[str, UUID] = {}
    ended: Outcomes = {}
    attempts = dict.fromkeys(waiting, 0)
    while waiting or running:
        while waiting and len(running) < at_once:
            key = waiting.pop(0)
            attempts[key] += 1
            asked = {"architecture": key, "force": force, "order": order, "parent": open_run()}
            running[key] = _start(asked, attempt=attempts[key])
        time.sleep(POLL)
        for key, state in _ended(running).items():
            del running[key]
            if state.is_crashed() and attempts[key] < ATTEMPTS:
                waiting.insert(0, key)
            else:
                ended[key] = state
    return ended


def _start(asked: dict[str, Any], *, attempt: int) -> UUID:
    # The key makes a request whose answer was lost the same request when it is repeated.
    name = f"{runtime.flow_run.id}-{asked['architecture']}-{attempt}"
    run = _patiently(
        lambda: run_deployment(DEPLOYMENT, parameters=asked, timeout=0, idempotency_key=name)
    )
    assert isinstance(run, FlowRun)
    return run.id


def _ended(running: dict[str, UUID]) -> Outcomes:
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter.model_validate({"id": {"any_": list(running.values())}})
        runs = _patiently(lambda: client.read_flow_runs(flow_run_filter=wanted))
    states = {run.id: run.state for run in runs}
    found = ((key, states.get(run)) for key, run in running.items())
    return {key: state for key, state in found if state is not None and state.is_final()}


def _patiently(call: Callable[[], T]) -> T:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            known = isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500
            if known or time.monotonic() > deadline:
                raise
        time.sleep(POLL)


def _longest_first(keys: Sequence[str]) -> list[str]:
    return sorted(keys, key=_cost, reverse=True)


def _cost(key: str) -> float:
    """Estimate a training's seconds; a wrong order costs minutes, not results."""
    history = MODELS / key / "history.csv"
    # A damaged one tells as little as none.
    with suppress(OSError, ValueError, KeyError, TypeError, csv.Error), history.open() as rows:
        return sum(float(row["seconds"]) for row in csv.DictReader(rows))
    loaded = params.load()
    network, schedule = loaded.architectures[key], loaded.schedules[key]
    size = getattr(network, "input_size", loaded.data.image_size)
    # A backbone of 48 pixels, or five blocks of our own, took 20 ms an image on two cores.
    seconds = 0.02 * (size / 48) ** 2 * (1 if network.builder == "transfer" else 0.5)
    epochs = sum(stage.epochs for stage in schedule.stages)
    return seconds * epochs * (schedule.train_images or IMAGES)
