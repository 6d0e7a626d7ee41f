"""unveil data: what one looks at, and does, about the faces themselves."""

from typing import Annotated

import typer

app = typer.Typer(help="Look after the faces.", no_args_is_help=True)


@app.command()
def diff(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A commit, tag or branch.")],
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for a program.")] = False,
) -> None:
    """Say what became of the faces since REV: counts, distributions, changed images."""
    import json

    from unveil import drift

    found = drift.diff(revision)
    print(json.dumps(found, indent=2) if as_json else drift.table(found))


@app.command()
def card() -> None:
    """Write the data sheet: where the faces are from, what they are, what to beware of."""
    from unveil import card as cards
    from unveil import params
    from unveil.paths import CARD

    cards.make(params.load())
    print(f"{CARD} and its plots are written")
