"""`python -m flows.sweep`: `unveil sweep` with its trials on the workers of the work pool `gpu`.

The study stays here. A trial that crashed, because its process or machine died, is started once
more. A trial whose search was interrupted is found again, or resumes from its checkpoint.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, cast
from uuid import UUID

import typer
from prefect import State
from prefect.artifacts import Artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from flows import artifacts, deployment_runs
from flows.cancellation import cancel_runs
from flows.dispatch import ATTEMPTS, POLL
from flows.server import connect, report_user_errors
from flows.worker import GPU
from unveil.common.errors import UserError
from unveil.config import params
from unveil.experiments.sweep import search
from unveil.experiments.sweep.search import Runner, Search, Wanted, say
from unveil.experiments.sweep.tasks import Outcome, Task

DEPLOYMENT = "sweep-trial/sweep-trial"


@report_user_errors
def main(
    architecture: str,
    trials: Annotated[int, typer.Option()],
    space: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    concurrency: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Run `unveil sweep`; see there for the options."""
    wanted, loaded = Wanted(trials, space, name), params.load()
    search.checked(architecture, loaded, wanted)
    runner = _runner(connect(), concurrency)
    try:
        print(search.run(architecture, loaded, wanted, runner))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _runner(client: SyncPrefectClient, concurrency: int | None) -> Runner:
    """Choose the workers, if the server has the deployment, else this process."""
    try:
        client.read_deployment_by_name(DEPLOYMENT)
    except ObjectNotFound:
        missing = f"the Prefect server has no deployment {DEPLOYMENT}; `make deploy` makes it"
        print(f"{missing}. The trials run here.", file=sys.stderr)
        return search.here
    workers = client.read_workers_for_work_pool(GPU)
    online = sum(worker.status == "ONLINE" for worker in workers)
    if not online:
        message = f"no worker of the work pool {GPU} is online; start one with `make worker`"
        raise UserError(f"{message}, or unset PREFECT_API_URL to train here")
    at_once = concurrency or online
    print(f"{online} workers are online, {at_once} trials run at once", file=sys.stderr)
    return partial(_on_workers, at_once=at_once)


class _Dispatch:
    """The trials of a search that run on workers now."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._order = artifacts.order([])
        if not self._order["locked"][artifacts.PACK] or artifacts.wrong_files(self._order):
            raise UserError("data/03_packed is not what dvc.lock names; run `dvc repro pack`")
        self._tasks: dict[int, Task] = {}
        self._crashes: Counter[int] = Counter()
        self.runs: dict[int, UUID] = {}

    def fill(self, at_once: int) -> None:
        """Start trials until so many run, or no more are wanted."""
        while len(self.runs) < at_once and (task := self._search.next()):
            self._tasks[task.number] = task
            self._start(task.number)

    def collect(self) -> None:
        """Store the outcomes of the trials that have ended; then `UserError` if one failed."""
        failures: list[UserError] = []
        for number, state in deployment_runs.final_states(self.runs).items():
            del self.runs[number]
            if state.is_completed():
                self._search.end(number, _outcome(self._key(number)))
            elif state.is_failed():
                failures.append(UserError(state.message))
                self._search.fail(number, failures[-1])
            else:
                self._retry(number, state)
        if failures:
            raise failures[0]

    def cancel(self) -> None:
        """Cancel what runs; the next search starts it again, from its checkpoints."""
        cancel_runs(self.runs.values())
        for number in self.runs:
            self._search.sweep.attempt(number, another=True)

    def _retry(self, number: int, state: State[Any]) -> None:
        self._crashes[number] += 1
        if self._crashes[number] < ATTEMPTS:
            say(f"trial {number} {str(state.name).lower()}, it is started once more")
            self._search.sweep.attempt(number, another=True)
            self._start(number)
        else:
            self._search.fail(number, UserError(f"{ATTEMPTS} attempts ended: {state.message}"))

    def _start(self, number: int) -> None:
        attempt = self._search.sweep.attempt(number)
        key = self._key(number)
        parameters = {"task": asdict(self._tasks[number]), "order": self._order, "key": key}
        self.runs[number] = deployment_runs.start(DEPLOYMENT, parameters, f"{key}-{attempt}")

    def _key(self, number: int) -> str:
        return f"sweep-{self._search.sweep.origin}-{number}"


def _on_workers(search: Search, *, at_once: int) -> None:
    dispatch = _Dispatch(search)
    try:
        dispatch.fill(at_once)
        while dispatch.runs:
            time.sleep(POLL)
            dispatch.collect()
            dispatch.fill(at_once)
    except BaseException:
        dispatch.cancel()
        raise


def _outcome(key: str) -> Outcome:
    artifact = cast(Artifact | None, deployment_runs.with_retries(lambda: Artifact.get(key)))
    if artifact is None:
        raise UserError(f"the Prefect server has lost the artifact {key}; run the sweep again")
    return Outcome(**json.loads(str(artifact.data).strip("`").removeprefix("json")))


if __name__ == "__main__":
    typer.run(main)
