"""The main flow: from an archive of faces to a promoted champion. `make train-all` runs it."""

from prefect import State, flow
from prefect.states import Completed

from flows.cancellation import cancel_children
from flows.dispatch import train_each
from flows.promote import promote
from flows.report import report
from flows.run_lock import exclusive
from flows.stages import DATA, nothing_to_do, prepare, repro, summarize
from flows.states import fail_on_user_error, require_completed
from unveil import registry
from unveil.config import params


@flow(name="train-all", on_cancellation=[cancel_children], on_crashed=[cancel_children])
@fail_on_user_error
@exclusive
def train_all(
    source: str | None = None,
    recipe: str | None = None,
    architectures: list[str] | None = None,
    force: bool = False,
    concurrency: int | None = None,
) -> State:
    """Validate the faces, train every architecture by one protocol and promote the best model."""
    require_completed(prepare(source, recipe, architectures, return_state=True))
    chosen = architectures or list(params.load().architectures)
    if not force and nothing_to_do(chosen):
        return summarize({}, Completed(message="nothing to do: same data, parameters and code"))
    for stage in DATA:
        require_completed(repro(stage, force, return_state=True))
    repro("card", force, return_state=True)  # a failure does not stop the flow
    with registry.train_all_run(params.load()):
        trained = train_each(chosen, force, concurrency)
        require_completed(repro("compare", force, return_state=True))
        promoted = promote(return_state=True)
        report(return_state=True)  # nor does one here
    return summarize(trained, promoted)
