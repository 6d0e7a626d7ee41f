"""The main job: an archive of faces in, a promoted champion out. `make train-all` runs it."""

from prefect import State, flow
from prefect.states import Completed

from flows.cancellation import recall
from flows.dispatch import train_each
from flows.promote import promote
from flows.report import report
from flows.run_lock import exclusive
from flows.stages import DATA, conclude, nothing_to_do, prepare, repro
from flows.states import must, plainly
from unveil import registry
from unveil.config import params


@flow(name="train-all", on_cancellation=[recall], on_crashed=[recall])
@plainly
@exclusive
def train_all(
    source: str | None = None,
    recipe: str | None = None,
    architectures: list[str] | None = None,
    force: bool = False,
    concurrency: int | None = None,
) -> State:
    """Check the faces, train every architecture under one protocol, promote the best."""
    must(prepare(source, recipe, architectures, return_state=True))
    chosen = architectures or list(params.load().architectures)
    if not force and nothing_to_do(chosen):
        return conclude({}, Completed(message="nothing to do: same data, parameters and code"))
    for stage in DATA:
        must(repro(stage, force, return_state=True))
    repro("card", force, return_state=True)  # without it, the rest goes on
    with registry.train_all_run(params.load()):
        trained = train_each(chosen, force, concurrency)
        must(repro("compare", force, return_state=True))
        promoted = promote(return_state=True)
        report(return_state=True)  # nor without this
    return conclude(trained, promoted)
