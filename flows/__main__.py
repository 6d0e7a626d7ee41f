"""`python -m flows`: run train-all here and now, without a Prefect server of its own."""

import sys
from typing import Annotated

import typer


def main(
    source: Annotated[str | None, typer.Option(help="Faces to take in first.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe of params.yaml.")] = None,
    architectures: Annotated[
        str | None, typer.Option(help="Names, by commas; all without.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Make everything again.")] = False,
) -> None:
    """Check the faces, train every architecture, promote the best."""
    from flows.train_all import train_all

    chosen = architectures.replace(",", " ").split() if architectures else None
    state = train_all(source, recipe, chosen, force, return_state=True)
    if not state.is_completed():
        print(f"train-all: {state.message}", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
