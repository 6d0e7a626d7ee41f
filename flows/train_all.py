"""The main job: an archive of faces in, a promoted champion out. `make train-all` runs it."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed

from flows.promote import promote
from flows.stages import conclude, prepare, repro
from flows.train_architecture import train_architecture
from unveil import params, registry


@flow(name="train-all")
def train_all(
    source: str | None = None,
    recipe: str | None = None,
    architectures: list[str] | None = None,
    force: bool = False,
) -> State:
    """Check the faces, train every architecture under one protocol, promote the best."""
    ready = prepare(source, recipe, architectures, return_state=True)
    if ready.is_failed():
        return Failed(message=ready.message)
    for stage in ("manifest", "validate", "pack"):
        made = repro(stage, force, return_state=True)
        if made.is_failed():
            return Failed(message=made.message)

    chosen = architectures or list(params.load().architectures)
    with registry.train_all_run(params.load()):
        trained = {key: train_architecture(key, force, return_state=True) for key in chosen}
        compared = repro("compare", force, return_state=True)
        if compared.is_failed():
            return Failed(message=compared.message)
        promoted = promote(return_state=True)
    return conclude(trained, promoted)
