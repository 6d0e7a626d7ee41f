"""`python -m flows`: run train-all here and now, without a Prefect server of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flows.interrupt import ends_soon


def main(
    source: Annotated[str | None, typer.Option(help="Faces to take in first.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe of params.yaml.")] = None,
    architectures: Annotated[
        str | None, typer.Option(help="Names, by commas; all without.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Make everything again.")] = False,
) -> None:
    """Check the faces, train every architecture, promote the best."""
    chosen = architectures.replace(",", " ").split() if architectures else None
    with ends_soon("train-all"), _begun(recipe, chosen):
        from flows.train_all import train_all

        state = train_all(source, recipe, chosen, force, return_state=True)
    if not state.is_completed():
        print(f"train-all: {state.message}", file=sys.stderr)
        raise typer.Exit(1)


@contextmanager
def _begun(recipe: str | None, architectures: list[str] | None) -> Iterator[None]:
    """Refuse, with exit code 2, what could not go on, before anything is made."""
    from flows.ephemeral import ensure_server
    from flows.exclusive import turn
    from flows.stages import readable
    from unveil.errors import UserError

    try:
        with turn():
            readable(recipe, architectures)
            ensure_server()
            yield
    except UserError as error:
        print(f"train-all: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
