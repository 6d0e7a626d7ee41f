"""unveil data erase: take a person out of everything."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unveil.erase import Plan
    from unveil.findings import Found

app = typer.Typer()

NOT_PROVED = 3
"""The exit code where something was not looked into, or is not unveil's to delete."""


@app.command()
def erase(
    member: Annotated[
        str | None, typer.Option(help="A picture: its name in the archive, or the end of it.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="A person: all pictures with this value in attributes.csv.")
    ] = None,
    column: Annotated[str, typer.Option(help="The column that names the person.")] = "subject",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="End it though not all of it is proved.")
    ] = False,
) -> None:
    """Erase a person from the archive, all its versions, and all that was made of them."""
    from unveil import erase as erases
    from unveil import history, params
    from unveil.errors import UserError
    from unveil.request import Request

    params.load()
    history.commits([])  # where git refuses, before anything is done
    if not dry_run:
        erases.refuse_busy()
    todo = erases.pending()
    if todo is not None:
        print(f"the erasure begun on {todo.date} is not complete; it goes on before any other")
    elif (member is None) == (subject is None):
        raise UserError("who is to be erased? give --member NAME or --subject ID")
    else:
        todo, found = erases.plan(Request(member, subject, column))
        _foretell(todo, found)
    if not dry_run and (unproved := _erased(todo, accept)):
        _tell(unproved, "NOT PROVED: a search could not look into, or may not delete,")
        if not accept:
            print("remove or repair these, then run: unveil data erase; --accept ends it as it is")
            raise typer.Exit(NOT_PROVED)


def _foretell(todo: "Plan", found: "Found") -> None:
    print(f"{todo.images} members of the archive's versions, exact twins included:")
    for name in todo.members:
        print(f"  {name}")
    for path in found.files:
        print(f"in {path}")
    for store, identities in found.objects.items():
        print(f"in {store}: {len(identities)} objects {' '.join(identities)}".rstrip())
    for one in (one for ones in found.strays.values() for one in ones):
        print(f"in {one}")
    _tell(found.unproved, "it would not be proved: a search cannot look into, or may not delete,")


def _tell(unproved: list[str], what: str) -> None:
    if unproved:
        print(f"{what} {len(unproved)}:")
    for one in unproved:
        print(f"  {one}")


def _erased(todo: "Plan", accept: bool) -> list[str]:
    from unveil import erase as erases
    from unveil import history
    from unveil.errors import UserError

    try:
        versions, unproved = erases.carry_out(todo, accept=accept)
    except UserError as error:
        done = "erased, but no model is marked" if not todo.members else "not erased everywhere"
        raise UserError(f"the faces are {done}; run `unveil data erase` again: {error}") from None
    finally:
        for model in erases.models(todo.gone)[0]:
            print(f"trained with it: {model}")
    counts = ", ".join(f"{count} from {store}" for store, count in todo.counts.items())
    proved = "" if unproved else "; a search finds none left"
    print(f"erased: {todo.images} images; objects deleted: {counts}{proved}")
    print(f"marked in MLflow: {', '.join(versions) or 'no version'}")
    if commits := len(history.commits(todo.gone)):
        print(f"{commits} commits name versions that can no longer be checked out")
    print("next: dvc repro && dvc push, and: git add data dvc.lock && git commit")
    return unproved
