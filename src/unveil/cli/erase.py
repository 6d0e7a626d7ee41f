"""unveil data erase: remove a person's images everywhere."""

from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.commands import App

if TYPE_CHECKING:
    from unveil.privacy.erase import ErasurePlan
    from unveil.privacy.search_results import SearchResults

app = App()

NOT_PROVED = 3
"""Exit code: some files could not be searched, or may not be deleted by unveil."""


@app.command()
def erase(
    member: Annotated[
        str | None,
        typer.Option(help="Erase one image: its name in the archive, or the end of its path."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Erase one person: all images with this value in attributes.csv."),
    ] = None,
    column: Annotated[
        str, typer.Option(help="The column of attributes.csv that --subject refers to.")
    ] = "subject",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be erased; change nothing.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Finish even if the erasure could not be verified."),
    ] = False,
) -> None:
    """Erase a person's images from all versions of the dataset.

    Searches the archive, the workspace, checkpoints, DVC's cache and all DVC remotes, and marks the
    registered models that were trained on the images. An interrupted erasure resumes when the
    command runs again. Exit code 3: erased, but not verified, because some files could not be
    searched or deleted.
    """
    from unveil.common.errors import UserError
    from unveil.config import params
    from unveil.privacy import erase as erases
    from unveil.privacy import git_history
    from unveil.privacy.erasure_request import Request

    params.load()
    git_history.commits_naming([])  # stops before anything is erased if git refuses to answer
    if not dry_run:
        erases.require_no_training()
    todo = erases.pending_plan()
    if todo is not None:
        print(f"the erasure started on {todo.date} is not complete; resuming it first")
    elif (member is None) == (subject is None):
        raise UserError("choose what to erase: give --member NAME or --subject ID")
    else:
        todo, found = erases.plan(Request(member, subject, column))
        _print_plan(todo, found)
    if not dry_run and (unproved := _carry_out(todo, accept)):
        _print_unproved(unproved, "NOT PROVED: could not search, or may not delete,")
        if not accept:
            print("remove or repair these, then run: unveil data erase; or finish with --accept")
            raise typer.Exit(NOT_PROVED)


def _print_plan(todo: "ErasurePlan", found: "SearchResults") -> None:
    print(f"{todo.images} members in all versions of the archive, including exact duplicates:")
    for name in todo.members:
        print(f"  {name}")
    for path in found.files:
        print(f"in {path}")
    for store, identities in found.objects.items():
        print(f"in {store}: {len(identities)} objects {' '.join(identities)}".rstrip())
    for one in (one for ones in found.strays.values() for one in ones):
        print(f"in {one}")
    _print_unproved(found.unproved, "would not be proved: cannot search, or may not delete,")


def _print_unproved(unproved: list[str], what: str) -> None:
    if unproved:
        print(f"{what} {len(unproved)}:")
    for one in unproved:
        print(f"  {one}")


def _carry_out(todo: "ErasurePlan", accept: bool) -> list[str]:
    from unveil.common.errors import UserError
    from unveil.privacy import erase as erases
    from unveil.privacy import git_history

    try:
        versions, unproved = erases.carry_out(todo, accept=accept)
    except UserError as error:
        state = "erased, but no model is marked" if not todo.members else "not erased everywhere"
        raise UserError(f"the images are {state}; run `unveil data erase` again: {error}") from None
    finally:
        for model in erases.trained_models(todo.gone)[0]:
            print(f"trained with these images: {model}")
    counts = ", ".join(f"{count} from {store}" for store, count in todo.counts.items())
    proved = "" if unproved else "; a final search found no copies"
    print(f"erased: {todo.images} images; objects deleted: {counts}{proved}")
    print(f"marked in MLflow: {', '.join(versions) or 'no version'}")
    if commits := len(git_history.commits_naming(todo.gone)):
        print(f"{commits} commits refer to data versions that can no longer be checked out")
    print("next: dvc repro && dvc push, and: git add data dvc.lock && git commit")
    return unproved
