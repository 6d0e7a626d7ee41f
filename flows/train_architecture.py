"""One architecture: train and evaluate it, unless nothing it depends on has changed."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.stages import repro


@flow(name="train-architecture", flow_run_name="{architecture}")
def train_architecture(architecture: str, force: bool = False) -> State | None:
    """Make the model and the report of one architecture."""
    for stage in ("train", "evaluate"):
        made = repro(f"{stage}@{architecture}", force, return_state=True)
        if made.is_failed():
            return Failed(message=made.message)
    return None
