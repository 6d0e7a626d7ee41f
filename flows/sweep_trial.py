"""The flow that trains one trial of `unveil sweep` on a worker.

The search and its study are on the controller. The worker gets the task, with the data and code of
an order, and sends the outcome back as a Prefect artifact.
"""

import json
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Crashed, Failed

from flows import artifacts
from flows.command import run
from unveil.common.errors import UserError
from unveil.common.files import read_json, temporary_folder, write_json

PROGRAM = "unveil.experiments.sweep"


@flow(name="sweep-trial", flow_run_name="{key}")
def sweep_trial(task: dict[str, Any], order: dict[str, Any], key: str) -> State | None:
    """Train a trial with the data and code of an order; ``key`` names the artifact."""
    try:
        artifacts.apply_order(order)
        with temporary_folder("sweep") as folder:
            return _train(task, key, folder)
    except UserError as error:
        return Failed(message=str(error))


def _train(task: dict[str, Any], key: str, folder: Path) -> State | None:
    asked, answered = folder / "task.json", folder / "outcome.json"
    write_json(asked, task)
    # A killed worker may have left a process that still trains this trial.
    makes = f"{task['architecture']}-sweep-{task['sweep']}-{task['number']}"
    result = run(PROGRAM, str(asked), str(answered), makes=makes)
    if result.status:
        # A negative code, or 128 plus the signal's number, is that of a killed process.
        state = Failed if result.status in range(1, 128) else Crashed
        return state(message=result.reason)
    outcome = read_json(answered, made_by="unveil sweep")
    create_markdown_artifact(
        key=key,
        markdown=f"```json\n{json.dumps(outcome)}\n```",
        description=f"trial {task['number']} of a search over {task['architecture']}",
    )
    return None
