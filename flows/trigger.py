"""`unveil run train-all`: start a run on the workers of the server of PREFECT_API_URL."""

from typing import Annotated

import typer
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows.deploy import TRAIN_ALL
from flows.server import connect, report_user_errors
from unveil.common.errors import UserError, unknown_choice
from unveil.config import params


@report_user_errors
def main(
    flow: Annotated[str, typer.Argument(help="The flow to run: train-all.")],
    recipe: Annotated[str | None, typer.Option(help="The recipe of params.yaml to use.")] = None,
    architectures: Annotated[
        str | None, typer.Option(help="Comma-separated names; default: all.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run all stages, even if up to date.")] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of parallel training runs; default: one per worker."
        ),
    ] = None,
) -> None:
    """Start train-all on the workers of a Prefect server and print the run's name."""
    if flow != "train-all":
        raise unknown_choice("flow", flow, ["train-all"])
    chosen = architectures.replace(",", " ").split() if architectures else None
    params.require_known(recipe, chosen)
    connect()
    parameters = {
        "recipe": recipe,
        "architectures": chosen,
        "force": force,
        "concurrency": concurrency,
    }
    try:
        run = run_deployment(TRAIN_ALL, parameters=parameters, timeout=0)
    except ObjectNotFound:
        raise UserError(f"the server has no deployment {TRAIN_ALL}; run `make deploy`") from None
    assert isinstance(run, FlowRun)
    print(f"{run.name} is scheduled; see: prefect flow-run inspect {run.id}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(main)
    app(prog_name="unveil run")
