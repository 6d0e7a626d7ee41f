"""Dispatches the trainings: locally, one by one, or to the workers of the work pool `gpu`.

One flow run per architecture, the longest first, to shorten the total time. A run that crashed,
because its process or machine died, is started once more and resumes from its checkpoint. A run
that failed is not repeated.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect import State, runtime
from prefect.states import Completed, Failed

from flows import artifacts, deployment_runs
from flows.cancellation import cancel_leftovers
from flows.command import deployed
from flows.duration import training_seconds
from flows.stages import outdated, stages_of
from flows.summary import result_of
from flows.train_architecture import train_architecture
from flows.view import current
from unveil.common.errors import UserError
from unveil.common.paths import MODELS
from unveil.registry import open_run

DEPLOYMENT = "train-architecture/train-architecture"
ATTEMPTS = 2
POLL = 2
Outcomes = dict[str, State[Any]]


def train_each(keys: Sequence[str], force: bool, concurrency: int | None) -> Outcomes:
    """Train architectures, at most `concurrency` at once; if None, as many as there are workers.

    Returns the final state of each architecture.
    """
    current().plan(keys)
    if not deployed():
        return {key: _train_here(key, force) for key in keys}
    stale = outdated()
    due = [key for key in keys if force or not stale.isdisjoint(stages_of(key))]
    ended: Outcomes = {key: Completed(message="up to date") for key in keys if key not in due}
    try:
        order = artifacts.order(due)
    except UserError as error:
        return ended | {key: _without_stale_model(key, Failed(message=str(error))) for key in due}
    trained = _dispatch(_longest_first(due), force, order=order, at_once=concurrency or len(due))
    return ended | {key: collected(key, state) for key, state in trained.items()}


def _train_here(key: str, force: bool) -> State[Any]:
    current().begin_training(key)
    state = _without_stale_model(key, train_architecture(key, force, return_state=True))
    if state.is_completed():
        current().end_training(key, result_of(key))
    else:
        current().fail_training(key, state)
    return state


def collected(key: str, state: State[Any]) -> State[Any]:
    """Pull a worker's results; if that fails, the state is Failed and the local model removed."""
    try:
        if state.is_completed():
            artifacts.pull_results(key)
    except UserError as error:
        state = Failed(message=str(error))
    if not state.is_completed():
        current().fail_training(key, state)
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
            current().say(f"{key} is dispatched, attempt {attempts[key]}")
        time.sleep(POLL)
        for key, state in deployment_runs.final_states(running).items():
            del running[key]
            current().say(f"{key} has ended: {state.name}; {len(running) + len(waiting)} left")
            if state.is_crashed() and attempts[key] < ATTEMPTS:
                waiting.insert(0, key)
            else:
                ended[key] = state
    return ended


def _start(parameters: dict[str, Any], *, attempt: int) -> UUID:
    name = f"{runtime.flow_run.id}-{parameters['architecture']}-{attempt}"
    return deployment_runs.start(DEPLOYMENT, parameters, name)


def _longest_first(keys: Sequence[str]) -> list[str]:
    return sorted(keys, key=training_seconds, reverse=True)
