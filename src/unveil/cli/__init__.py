"""The command line: one command for each step. User errors are one line and exit code 2.

May import: benchmarks, common, config, data, evaluation, experiments, export, inference, privacy,
promotion, quality, registry, reporting, serving, storage.
"""

from importlib import metadata
from typing import Annotated

import typer

from unveil.cli import (
    bench,
    champion,
    compare,
    data,
    exit_codes,
    export,
    flows,
    learning_curve,
    predict,
    remote,
    report,
    serve,
    stages,
    sweep,
    video,
)
from unveil.cli.commands import App, arrange
from unveil.common import stale_files

app = App(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
arrange(
    app,
    [
        *(predict.app, video.app, serve.app, stages.app, flows.app, compare.app),
        *(learning_curve.app, sweep.app, report.app, champion.app, export.app),
    ],
)
app.add_typer(data.app, name="data", rich_help_panel="Data")
app.add_typer(bench.app, name="bench", rich_help_panel="Machine and storage")
app.add_typer(remote.app, name="remote", rich_help_panel="Machine and storage")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"unveil {metadata.version('unveil')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Train, evaluate, promote and serve a classifier of apparent facial expression."""


def main() -> None:
    """Run a command; an exception becomes one line on stderr and an exit code."""
    exit_codes.run(_run)


def _run() -> object:
    stale_files.remove()
    return app(standalone_mode=False)  # the exit code, if the command set one
