"""unveil learning-curve: measure the benefit of more training images."""

from unveil.cli.commands import App
from unveil.cli.stages import Architecture
from unveil.common import backend

app = App()


@app.command("learning-curve")
def learning_curve(architecture: Architecture) -> None:
    """Measure the benefit of more training images.

    Trains one architecture on 25, 50 and 100 % of the training images and reports the training and
    validation scores.
    """
    from unveil.config import params

    loaded = params.load()
    loaded.require_architecture(architecture)
    backend.load()

    from unveil.common.paths import LEARNING_CURVES
    from unveil.experiments import learning_curve as curves

    print(curves.table(curves.learning_curve(architecture, loaded)))
    print(f"see {LEARNING_CURVES}/{architecture}/curve.png")
