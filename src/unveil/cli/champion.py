"""The verbs about who is champion: promote, rollback, champion."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from unveil import backend
from unveil.errors import UserError
from unveil.paths import BUNDLE

if TYPE_CHECKING:
    from unveil.promote import Decision
    from unveil.registry import Version

app = typer.Typer()

REFUSED, NOT_EXPORTED = 1, 3
"""Exit codes: the champion is who it was; or servers answer with another than the champion."""


@app.command()
def promote(
    dry_run: Annotated[bool, typer.Option(help="Judge, and change nothing.")] = False,
    force: Annotated[bool, typer.Option(help="Promote although it was judged not to.")] = False,
    reason: Annotated[str, typer.Option(help="Why it is forced; kept with the decision.")] = "",
) -> None:
    """Make the best candidate champion, if the gate lets it; and export it.

    Exit code 1 when refused, 3 when it is champion but could not be exported.
    """
    if force != bool(reason.strip()):
        raise UserError("--force needs --reason TEXT, and --reason stands with --force alone")
    backend.load()

    from unveil import params
    from unveil import promote as promotes

    decision = promotes.promote(params.load(), force=reason or None, dry_run=dry_run)
    for check in decision.checks:
        print(f"{'yes' if check.passed else 'NO':4}{check.said}")
    print(_sentence(decision))
    _say_served(decision)
    if decision.promoted:
        _describe()
    if not dry_run:
        _announce()
    if decision.act == "refused":
        _mend(dry_run)
        raise typer.Exit(REFUSED)
    if decision.fault:
        raise typer.Exit(NOT_EXPORTED)


def _say_served(decision: "Decision") -> None:
    from unveil import bundle, export

    if decision.fault:
        print(f"not exported: {decision.fault}; then `unveil export`", file=sys.stderr)
    elif decision.promoted:
        print(export.told(bundle.load(BUNDLE)))


def _mend(dry_run: bool) -> None:
    """Give servers the champion where a promotion was killed before it did."""
    from unveil import release

    if dry_run:
        return
    try:
        if made := release.mended():
            print(f"{BUNDLE} had another: it has {made} again")
    except (UserError, OSError) as error:
        print(f"{BUNDLE} does not have the champion: {error}", file=sys.stderr)


def _describe() -> None:
    """Give the champion its model card; it stays champion where that fails."""
    from unveil import model_card, params

    try:
        model_card.make(params.load())
    except UserError as error:
        print(f"no model card: {error}", file=sys.stderr)


def _announce() -> None:
    """Tell the Prefect server of the decision; a flow that runs us does that itself."""
    from unveil.registry import PARENT

    if os.environ.get("PREFECT_API_URL") and PARENT not in os.environ:
        command = [sys.executable, "-m", "flows.announce"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            print("Prefect was not told of the decision", file=sys.stderr)


def _sentence(decision: "Decision") -> str:
    if decision.promoted:
        return f"{decision.candidate} is champion, version {decision.version}: {decision.reason}"
    verb = "was not promoted" if decision.act == "refused" else decision.act
    return f"{decision.candidate} {verb}: {decision.reason}"


@app.command()
def rollback(
    to: Annotated[str | None, typer.Option(help="A version that was champion before.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")] = "",
) -> None:
    """Make the champion of before champion again, with its own bundle; exit code as of promote."""
    backend.load()

    from unveil import promote as promotes

    decision = promotes.rollback(to, reason=reason)
    print(_sentence(decision))
    _say_served(decision)
    _announce()
    if decision.fault:
        raise typer.Exit(NOT_EXPORTED)


@app.command()
def champion() -> None:
    """Say who is champion, since when and why; look at its files, and mend the alias.

    Exit code 1 without a champion, 3 when data/07_bundle, which servers take, is not its bundle.
    """
    from unveil import registry, release

    now = registry.reign()
    version = registry.champion()
    if version is None:
        said = release.forgotten(now)
        print(said or "there is no champion yet; `make train-all` trains and promotes one")
        raise typer.Exit(1)
    print(f"{version.architecture}, version {version.number} of {registry.NAME}")
    if now.made:
        print(f"{now.made.act} {now.made.time}: {now.made.reason}")
    if now.before:
        print(f"before it: version {', '.join(reversed(now.before))}")
    if also := [one for one in now.former if one not in now.before]:
        print(f"champion once, too: version {', '.join(also)}")
    if registry.settle():
        print("the alias did not name it and was set back: only unveil moves it")
    with registry.verified(version):
        print("its files are those that were registered")
    if fault := release.difference(version):
        print(f"{fault}; `unveil export` puts the champion's there", file=sys.stderr)
        raise typer.Exit(NOT_EXPORTED)
    print(f"{BUNDLE} has its bundle")
    _look_at_stored(version)


def _look_at_stored(version: "Version") -> None:
    from unveil import registry

    if not version.bundle:
        print("MLflow has no copy of it for a rollback; `unveil export` makes one")
        return
    with registry.stored_bundle(version):
        print("MLflow has a copy of it")
