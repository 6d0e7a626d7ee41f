"""unveil sweep: search hyperparameters of one architecture."""

from typing import Annotated

import typer

from unveil.cli.commands import App
from unveil.cli.stages import Architecture
from unveil.common import backend
from unveil.common.optional import import_optional

app = App()


@app.command()
def sweep(
    architecture: Architecture,
    trials: Annotated[
        int, typer.Option(help="The number of trials, at least 1, with those of earlier calls.")
    ] = 20,
    space: Annotated[
        str, typer.Option(help="A YAML file with the parameters to search, or `default`.")
    ] = "default",
    name: Annotated[
        str, typer.Option(help="The name of the search; another name begins another one.")
    ] = "default",
) -> None:
    """Search hyperparameters of one architecture with Optuna.

    Each trial is a training with other parameters of the recipe. The score is the best validation
    macro-F1; the test images are not used. The first trial has the recipe's own values. Trials that
    are worse than the median are pruned.

    Writes trials.csv, plot.png and recipe.diff, a change of params.yaml, to
    data/11_sweeps/ARCH/NAME.
    The same command continues an interrupted search.
    """
    from unveil.config import params

    loaded = params.load()
    loaded.require_architecture(architecture)
    import_optional("optuna")
    backend.load()

    from unveil.experiments.sweep import search

    print(search.search(architecture, loaded, trials, space=space, name=name))
