"""One architecture: train and evaluate it, unless nothing it depends on has changed."""

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
    """Make the model and the report of one architecture.

    On a worker: on the data that `order` names, under the MLflow run `parent`.
    """
    if parent:
        os.environ[PARENT] = parent
    try:
        if order is not None:
            artifacts.accept(order)
            if not force:
                artifacts.begin_with(order, architecture)
        for stage in stages_of(architecture):
            made = repro(stage, force, return_state=True)
            if not made.is_completed():
                ended = Crashed if made.is_crashed() else Failed
                return ended(message=made.message)
        if order is not None:
            artifacts.hand_over(architecture)
    except UserError as error:
        return Failed(message=str(error))
    return None
