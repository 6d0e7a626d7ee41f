"""`python -m flows.deploy`: work pools, deployments, and the rule that silence is a crash.

Can be repeated: what is there is brought to what prefect.yaml and flows/pools say, and a schedule
that was switched on stays on.
"""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from prefect.automations import (
    AutomationCore,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
)
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.exceptions import ObjectNotFound

from flows.server import reachable, saying
from flows.worker import CONTROL, GPU
from unveil.common.errors import UserError, unknown

POOLS = Path("flows/pools")
TRAIN_ALL = "train-all/train-all"
MONITOR = "monitor/monitor"
FLOWS = ["train-all", "train-architecture", "monitor"]
"""Whose silence counts: a server may have other flows."""
SILENCE = timedelta(seconds=90)
"""Three heartbeats, of which Prefect sends at most one in 30 seconds."""
START = timedelta(minutes=10)
"""From a worker's claim to the first sign of life; a cluster may pull an image first."""

BEAT = "prefect.flow-run.heartbeat"
CLAIMED = "prefect.flow-run.Pending"
SIGNS_OF_LIFE = {BEAT} | {
    f"prefect.flow-run.{state}"
    for state in ("Running", "Completed", "Failed", "Crashed", "Cancelled")
}


@saying
def main(
    kind: Annotated[
        str, typer.Option(help="What the pool gpu is made of: process, docker or kubernetes.")
    ] = "process",
) -> None:
    """Make the server that PREFECT_API_URL names ready for `unveil run train-all`."""
    kinds = sorted(path.stem for path in POOLS.glob("*.json"))
    if kind not in kinds:
        raise unknown("kind of pool", kind, kinds)
    client = reachable()
    _pool(client, CONTROL, "process")
    _pool(client, GPU, kind)
    _crash(client, "unveil: a run that falls silent", after=BEAT, within=SILENCE)
    _crash(client, "unveil: a run that never began", after=CLAIMED, within=START)
    names = (TRAIN_ALL, MONITOR)
    on = {(name, one.slug) for name in names for one in _schedules(client, name) if one.active}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    if subprocess.run(command, check=False).returncode:
        raise UserError("prefect deploy failed; its reason stands above")
    for name in names:
        deployment = client.read_deployment_by_name(name)
        for schedule in deployment.schedules:
            if (name, schedule.slug) in on:
                client.update_deployment_schedule(deployment.id, schedule.id, active=True)


def _schedules(client: SyncPrefectClient, name: str) -> list[DeploymentSchedule]:
    try:
        return client.read_deployment_by_name(name).schedules
    except ObjectNotFound:
        return []


def _pool(client: SyncPrefectClient, name: str, kind: str) -> None:
    template = json.loads((POOLS / f"{kind}.json").read_text())
    try:
        there = client.read_work_pool(name)
        if there.type != kind:
            raise UserError(
                f"work pool {name} is of type {there.type}, not {kind}; "
                f"first: prefect work-pool delete {name}"
            )
    except ObjectNotFound:
        pass
    pool = WorkPoolCreate(name=name, type=kind, base_job_template=template)
    client.create_work_pool(pool, overwrite=True)


def _crash(client: SyncPrefectClient, name: str, *, after: str, within: timedelta) -> None:
    """Turn runs into Crashed that give no sign of life `within` a time after an event."""
    rule = AutomationCore(
        name=name,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={after},
            expect=SIGNS_OF_LIFE,
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": ["flow"], "prefect.resource.name": FLOWS}
            ),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(name=None, state=StateType.CRASHED, message=name, force=False)],
    )
    there = client.read_automations_by_name(name)
    if there:
        client.update_automation(there[0].id, rule)
    else:
        client.create_automation(rule)


if __name__ == "__main__":
    typer.run(main)
