"""The command line: one command for each step. User errors are one line and exit code 2.

May import: benchmarks, common, config, data, evaluation, experiments, export, inference, privacy,
promotion, quality, registry, reporting, serving, storage.
"""

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
)
from unveil.common import stale_files

app = typer.Typer(
    help="Train, evaluate, promote and serve a classifier of apparent facial expression.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(stages.app)
app.add_typer(compare.app)
app.add_typer(report.app)
app.add_typer(champion.app)
app.add_typer(export.app)
app.add_typer(predict.app)
app.add_typer(learning_curve.app)
app.add_typer(flows.app)
app.add_typer(bench.app, name="bench")
app.add_typer(remote.app, name="remote")
app.add_typer(data.app, name="data")
app.add_typer(serve.app)


def main() -> None:
    """Run a command; an exception becomes one line on stderr and an exit code."""
    exit_codes.run(_run)


def _run() -> object:
    stale_files.remove()
    return app(standalone_mode=False)  # the exit code, if the command set one
