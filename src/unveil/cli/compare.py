"""unveil compare: who is best, and on which hardware."""

import sys
from typing import Annotated

import typer

from unveil.common.errors import UserError, unknown

app = typer.Typer()


@app.command()
def compare(
    by: Annotated[str, typer.Option(help="What to compare: architecture, or hardware.")] = (
        "architecture"
    ),
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=EUR_PER_HOUR", help="Of a machine, by a part of its name."),
    ] = None,
) -> None:
    """Rank the evaluated architectures; or, of all runs in MLflow, the machines they ran on."""
    if by not in ("architecture", "hardware"):
        raise unknown("comparison", by, ["architecture", "hardware"])
    if by == "hardware":
        from unveil.experiments import hardware

        print(hardware.compare(hardware.parsed(price or [])), end="")
        return
    if price:
        raise UserError("a price is of hardware: `unveil compare --by hardware --price ...`")

    from unveil.common import missing_files
    from unveil.common.paths import MODELS
    from unveil.config import params
    from unveil.evaluation import comparison as compares

    ranked = compares.compare(params.load())
    print(compares.table(ranked))
    for key in ranked["missing"]:
        if said := missing_files.lost(MODELS / key / "model.keras"):
            print(f"{key} is not compared: {said}", file=sys.stderr)
