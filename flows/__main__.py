"""`python -m flows`: run train-all locally, without a permanent Prefect server."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from flows.signals import exit_on_signals

if TYPE_CHECKING:
    from flows.run_log import RunLog
    from flows.view import View


def main(
    source: Annotated[str | None, typer.Option(help="Face images to ingest first.")] = None,
    recipe: Annotated[str | None, typer.Option(help="The recipe of params.yaml to use.")] = None,
    architectures: Annotated[
        str | None, typer.Option(help="Comma-separated names; default: all.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run all stages, even if up to date.")] = False,
) -> None:
    """Validate the faces, train every architecture and promote the best model."""
    chosen = architectures.replace(",", " ").split() if architectures else None
    with exit_on_signals("train-all"), _prepared(source, recipe, chosen), _shown() as log:
        from flows.train_all import train_all

        state = train_all(source, recipe, chosen, force, return_state=True)
    if not state.is_completed():
        print(f"train-all: {state.message}; log: {log}", file=sys.stderr)
        raise typer.Exit(1)


@contextmanager
def _prepared(
    source: str | None, recipe: str | None, architectures: list[str] | None
) -> Iterator[None]:
    """Check the arguments, lock the checkout, ensure a server; on an error exit with code 2."""
    from flows.inputs import require_valid
    from flows.run_lock import checkout_lock
    from unveil.common.errors import UserError

    try:
        require_valid(source, recipe, architectures)
        with checkout_lock():
            with _spinner("train-all starts"):
                # Imports that take seconds.
                from flows.local_server import ensure_server
                from flows.stages import require_readable_pipeline

                require_readable_pipeline()
                ensure_server()
            yield
    except UserError as error:
        print(f"train-all: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


def _spinner(text: str) -> AbstractContextManager[object]:
    """Show on a terminal that something happens; it leaves no line."""
    if not sys.stdout.isatty():
        return nullcontext()
    from rich.status import Status

    return Status(text)


@contextmanager
def _shown() -> Iterator[str]:
    """Show the run in a view, and redirect all other output to a log; yields its path."""
    from flows.run_log import run_log
    from flows.view import showing

    with run_log() as log, ExitStack() as stack:
        view = stack.enter_context(showing(_view(log, stack)))
        view.log = str(log.path)
        view.say(f"train-all; all output: {log.path}")
        yield str(log.path)


def _view(log: "RunLog", stack: ExitStack) -> "View":
    from rich.console import Console

    from flows.live_view import LiveView
    from flows.plain_view import PlainView

    console = Console(file=log.out, highlight=False)
    if log.out.isatty() and not console.is_dumb_terminal:
        return stack.enter_context(LiveView(console, log.err))
    return PlainView(log.out, log.err)


if __name__ == "__main__":
    typer.run(main)
