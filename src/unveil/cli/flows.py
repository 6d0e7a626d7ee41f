"""unveil run: start a flow on Prefect workers."""

import subprocess
import sys
from typing import Annotated

import typer

from unveil.cli.commands import App

app = App()


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def run(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Start train-all on Prefect workers.

    See `unveil run --help` for the options.
    """
    from unveil.config import params

    params.load()
    command = [sys.executable, "-m", "flows.trigger", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
