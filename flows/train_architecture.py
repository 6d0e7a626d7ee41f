"""The flow that trains and evaluates one architecture, unless it is up to date."""

import os
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Crashed, Failed

from flows import artifacts
from flows.stages import repro, stages_of
from unveil.common.errors import UserError
from unveil.registry import PARENT


@flow(name="train-architecture", flow_run_name="{architecture}")
def train_architecture(
    architecture: str,
    force: bool = False,
    order: dict[str, Any] | None = None,
    parent: str | None = None,
) -> State | None:
    """Train and evaluate one architecture.

    On a worker it uses the data that `order` names, and the MLflow run `parent`.
    """
    if parent:
        os.environ[PARENT] = parent
    try:
        if order is not None:
            artifacts.apply_order(order)
            if not force:
                artifacts.fetch_model(order, architecture)
        for stage in stages_of(architecture):
            state = repro(stage, force, return_state=True)
            if not state.is_completed():
                final = Crashed if state.is_crashed() else Failed
                return final(message=state.message)
        if order is not None:
            artifacts.push_results(architecture)
    except UserError as error:
        return Failed(message=str(error))
    return None
