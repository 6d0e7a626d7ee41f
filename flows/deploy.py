"""`python -m flows.deploy`: create work pools, deployments, and automations for dead workers.

The automations mark a run as Crashed when its worker has died, so that it is rescheduled. The
command is idempotent: it updates existing objects to prefect.yaml and flows/pools, and keeps
schedules active that a user has activated.
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

from flows.server import connect, report_user_errors
from flows.worker import CONTROL, GPU
from unveil.common.errors import UserError, unknown_choice

POOLS = Path("flows/pools")
TRAIN_ALL = "train-all/train-all"
MONITOR = "monitor/monitor"
FLOWS = ["train-all", "train-architecture", "sweep-trial", "monitor"]
"""The flows that the automations apply to; a server may have others."""
SILENCE = timedelta(seconds=90)
"""Three heartbeats; Prefect sends at most one in 30 seconds."""
START = timedelta(minutes=10)
"""From Pending to the first heartbeat; a cluster may pull an image first."""

BEAT = "prefect.flow-run.heartbeat"
CLAIMED = "prefect.flow-run.Pending"
SIGNS_OF_LIFE = {BEAT} | {
    f"prefect.flow-run.{state}"
    for state in ("Running", "Completed", "Failed", "Crashed", "Cancelled")
}


@report_user_errors
def main(
    kind: Annotated[
        str, typer.Option(help="The type of work pool gpu: process, docker or kubernetes.")
    ] = "process",
) -> None:
    """Set up the Prefect server of PREFECT_API_URL for `unveil run train-all`."""
    kinds = sorted(path.stem for path in POOLS.glob("*.json"))
    if kind not in kinds:
        raise unknown_choice("kind of pool", kind, kinds)
    client = connect()
    _pool(client, CONTROL, "process")
    _pool(client, GPU, kind)
    _crash(client, "unveil: a run that falls silent", after=BEAT, within=SILENCE)
    _crash(client, "unveil: a run that never began", after=CLAIMED, within=START)
    names = (TRAIN_ALL, MONITOR)
    active = {(name, one.slug) for name in names for one in _schedules(client, name) if one.active}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    if subprocess.run(command, check=False).returncode:
        raise UserError("prefect deploy failed; see its error message above")
    for name in names:
        deployment = client.read_deployment_by_name(name)
        for schedule in deployment.schedules:
            if (name, schedule.slug) in active:
                client.update_deployment_schedule(deployment.id, schedule.id, active=True)


def _schedules(client: SyncPrefectClient, name: str) -> list[DeploymentSchedule]:
    try:
        return client.read_deployment_by_name(name).schedules
    except ObjectNotFound:
        return []


def _pool(client: SyncPrefectClient, name: str, kind: str) -> None:
    template = json.loads((POOLS / f"{kind}.json").read_text())
    try:
        existing = client.read_work_pool(name)
        if existing.type != kind:
            raise UserError(
                f"work pool {name} is of type {existing.type}, not {kind}; "
                f"first: prefect work-pool delete {name}"
            )
    except ObjectNotFound:
        pass
    pool = WorkPoolCreate(name=name, type=kind, base_job_template=template)
    client.create_work_pool(pool, overwrite=True)


def _crash(client: SyncPrefectClient, name: str, *, after: str, within: timedelta) -> None:
    """Create an automation: runs without a heartbeat `within` a time after an event are Crashed."""
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
    existing = client.read_automations_by_name(name)
    if existing:
        client.update_automation(existing[0].id, rule)
    else:
        client.create_automation(rule)


if __name__ == "__main__":
    typer.run(main)
