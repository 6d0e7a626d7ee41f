"""unveil learning-curve: what more faces would bring."""

import typer

from unveil import backend
from unveil.cli.stages import Architecture

app = typer.Typer()


@app.command("learning-curve")
def learning_curve(architecture: Architecture) -> None:
    """Train one architecture on 25, 50 and 100 % of the faces, and compare."""
    from unveil import params

    loaded = params.load()
    loaded.named(architecture)
    backend.load()

    from unveil import learning_curve as curves
    from unveil.paths import LEARNING_CURVES

    print(curves.table(curves.learning_curve(architecture, loaded)))
    print(f"see {LEARNING_CURVES}/{architecture}/curve.png")
