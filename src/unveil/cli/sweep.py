"""unveil sweep: search hyperparameters of one architecture."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.commands import App
from unveil.cli.stages import Architecture
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
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at once on Prefect workers; default: one per worker."),
    ] = None,
) -> None:
    """Search hyperparameters of one architecture with Optuna.

    Each trial is a training with other parameters of the recipe. The score is the best validation
    macro-F1; the test images are not used. The first trial has the recipe's own values. Trials that
    are worse than the median are pruned.

    Writes trials.csv, plot.png and recipe.diff, a change of params.yaml, to
    data/11_sweeps/ARCH/NAME. The same command continues an interrupted search.

    If PREFECT_API_URL is set, the trials are trained by the workers of the work pool `gpu`, else in
    this process.
    """
    from unveil.config import params

    loaded = params.load()
    loaded.require_architecture(architecture)
    import_optional("optuna")
    if os.environ.get("PREFECT_API_URL") and Path("flows").is_dir():
        options = ["--trials", str(trials), "--space", space, "--name", name]
        options += ["--concurrency", str(concurrency)] if concurrency else []
        # Replaces this process, so that a signal reaches the one that can cancel the trials.
        command = [sys.executable, "-m", "flows.sweep", architecture, *options]
        os.execv(sys.executable, command)

    from unveil.experiments.sweep import search

    print(search.run(architecture, loaded, search.Wanted(trials, space, name)))
