"""unveil learning-curve: what more faces would bring."""

import typer

from unveil.cli.stages import Architecture
from unveil.common import backend

app = typer.Typer()


@app.command("learning-curve")
def learning_curve(architecture: Architecture) -> None:
    """Train one architecture on 25, 50 and 100 % of the faces, and compare."""
    from unveil.config import params

    loaded = params.load()
    loaded.named(architecture)
    backend.load()

    from unveil.common.paths import LEARNING_CURVES
    from unveil.experiments import learning_curve as curves

    print(curves.table(curves.learning_curve(architecture, loaded)))
    print(f"see {LEARNING_CURVES}/{architecture}/curve.png")
