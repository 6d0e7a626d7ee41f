"""`python -m flows`: run train-all locally, without a permanent Prefect server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flows.signals import exit_on_signals


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
    with exit_on_signals("train-all"), _prepared(recipe, chosen):
        from flows.train_all import train_all

        state = train_all(source, recipe, chosen, force, return_state=True)
    if not state.is_completed():
        print(f"train-all: {state.message}", file=sys.stderr)
        raise typer.Exit(1)


@contextmanager
def _prepared(recipe: str | None, architectures: list[str] | None) -> Iterator[None]:
    """Lock the checkout, check the inputs, ensure a server; on an error exit with code 2."""
    from flows.local_server import ensure_server
    from flows.run_lock import checkout_lock
    from flows.stages import validate_inputs
    from unveil.common.errors import UserError

    try:
        with checkout_lock():
            validate_inputs(recipe, architectures)
            ensure_server()
            yield
    except UserError as error:
        print(f"train-all: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
