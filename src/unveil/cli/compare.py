"""unveil compare: rank trained architectures, or the hardware they were trained on."""

import sys
from typing import Annotated

import typer

from unveil.cli.commands import App
from unveil.common.errors import UserError, unknown_choice

app = App()


@app.command()
def compare(
    by: Annotated[str, typer.Option(help="What to compare: architecture or hardware.")] = (
        "architecture"
    ),
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=EUR_PER_HOUR",
            help="Price of the machines whose name contains NAME; can be repeated.",
        ),
    ] = None,
) -> None:
    """Rank the evaluated architectures by test macro-F1.

    With --by hardware: compare the machines of all training runs in MLflow.
    """
    if by not in ("architecture", "hardware"):
        raise unknown_choice("comparison", by, ["architecture", "hardware"])
    if by == "hardware":
        from unveil.experiments import hardware

        print(hardware.compare(hardware.parse_prices(price or [])), end="")
        return
    if price:
        raise UserError("--price needs --by hardware: `unveil compare --by hardware --price ...`")

    from unveil.common import missing_files
    from unveil.common.paths import MODELS
    from unveil.config import params
    from unveil.evaluation import model_comparison

    ranked = model_comparison.compare(params.load())
    print(model_comparison.table(ranked))
    for key in ranked["missing"]:
        if message := missing_files.restore_hint(MODELS / key / "model.keras"):
            print(f"{key} is not compared: {message}", file=sys.stderr)
