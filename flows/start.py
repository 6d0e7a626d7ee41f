"""`unveil run train-all`: ask the server that PREFECT_API_URL names for a run on its workers."""

from typing import Annotated

import typer
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows.deploy import TRAIN_ALL
from flows.server import reachable, saying
from unveil import params
from unveil.errors import UserError, unknown


@saying
def main(
    flow: Annotated[str, typer.Argument(help="The flow: train-all.")],
    recipe: Annotated[str | None, typer.Option(help="A recipe of params.yaml.")] = None,
    architectures: Annotated[
        str | None, typer.Option(help="Names, by commas; all without.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Make everything again.")] = False,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Trainings at once; as many as workers without.")
    ] = None,
) -> None:
    """Start train-all on the workers of a Prefect server, and say where to look."""
    if flow != "train-all":
        raise unknown("flow", flow, ["train-all"])
    chosen = architectures.replace(",", " ").split() if architectures else None
    params.require_choice(recipe, chosen)
    reachable()
    wanted = {
        "recipe": recipe,
        "architectures": chosen,
        "force": force,
        "concurrency": concurrency,
    }
    try:
        run = run_deployment(TRAIN_ALL, parameters=wanted, timeout=0)
    except ObjectNotFound:
        raise UserError(f"the server has no {TRAIN_ALL}; `make deploy` makes it") from None
    assert isinstance(run, FlowRun)
    print(f"{run.name} waits for a worker; see: prefect flow-run inspect {run.id}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    app(prog_name="unveil run")
