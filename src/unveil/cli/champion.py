"""unveil promote, unveil rollback, unveil champion: manage the champion model."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.commands import App
from unveil.common import backend
from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE

if TYPE_CHECKING:
    from unveil.promotion.promote import Decision
    from unveil.registry import Version

app = App()

REFUSED, NOT_EXPORTED = 1, 3
"""Exit codes: the champion is unchanged; or servers use a model that is not the champion."""


@app.command()
def promote(
    dry_run: Annotated[bool, typer.Option(help="Run the checks only; change nothing.")] = False,
    force: Annotated[
        bool, typer.Option(help="Promote despite failed checks; needs --reason.")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Why the promotion is forced; stored with the decision.")
    ] = "",
) -> None:
    """Promote the best candidate if it passes all checks.

    The candidate is the first of `unveil compare`. The new champion is registered in MLflow and
    exported to data/07_bundle. Exit code 1: refused. Exit code 3: promoted, but data/07_bundle
    could not be replaced.
    """
    if force != bool(reason.strip()):
        raise UserError("--force needs --reason TEXT, and --reason needs --force")
    backend.load()

    from unveil.config import params
    from unveil.promotion import promote as promotes

    decision = promotes.promote(params.load(), force=reason or None, dry_run=dry_run)
    for check in decision.checks:
        print(f"{'yes' if check.passed else 'NO':4}{check.said}")
    print(_sentence(decision))
    _print_export(decision)
    if decision.promoted:
        _write_model_card()
    if not dry_run:
        _notify_prefect()
    if decision.act == "refused":
        _repair_export(dry_run)
        raise typer.Exit(REFUSED)
    if decision.fault:
        raise typer.Exit(NOT_EXPORTED)


def _print_export(decision: "Decision") -> None:
    from unveil.export import export
    from unveil.inference import bundle

    if decision.fault:
        print(f"not exported: {decision.fault}; then `unveil export`", file=sys.stderr)
    elif decision.promoted:
        print(export.summary(bundle.load(BUNDLE)))


def _repair_export(dry_run: bool) -> None:
    """Export the champion if an interrupted promotion did not."""
    from unveil.promotion import release

    if dry_run:
        return
    try:
        if restored := release.install_if_outdated():
            print(f"{BUNDLE} was out of date; restored {restored}")
    except (UserError, OSError) as error:
        print(f"{BUNDLE} is not the champion's bundle: {error}", file=sys.stderr)


def _write_model_card() -> None:
    """Write the champion's model card; a failure does not undo the promotion."""
    from unveil.config import params
    from unveil.reporting import model_card

    try:
        model_card.make(params.load())
    except UserError as error:
        print(f"no model card: {error}", file=sys.stderr)


def _notify_prefect() -> None:
    """Send the decision to the Prefect server, unless a flow runs this command and sends it."""
    from unveil.registry import PARENT

    if os.environ.get("PREFECT_API_URL") and PARENT not in os.environ:
        command = [sys.executable, "-m", "flows.events"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            print("the decision was not sent to Prefect", file=sys.stderr)


def _sentence(decision: "Decision") -> str:
    if decision.promoted:
        return f"{decision.candidate} is champion, version {decision.version}: {decision.reason}"
    verb = "was not promoted" if decision.act == "refused" else decision.act
    return f"{decision.candidate} {verb}: {decision.reason}"


@app.command()
def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="Version of a former champion; by default the previous champion."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why the champion is rolled back; stored with the decision.")
    ] = "",
) -> None:
    """Restore the previous champion and its bundle.

    Exit code 3: rolled back, but data/07_bundle could not be replaced.
    """
    backend.load()

    from unveil.promotion import promote as promotes

    decision = promotes.rollback(to, reason=reason)
    print(_sentence(decision))
    _print_export(decision)
    _notify_prefect()
    if decision.fault:
        raise typer.Exit(NOT_EXPORTED)


@app.command()
def champion() -> None:
    """Show the champion and verify its files.

    Prints version, date and reason, compares all files with their digests, and repairs the MLflow
    alias. Exit code 1: no champion. Exit code 3: data/07_bundle is not the champion's bundle.
    """
    from unveil import registry
    from unveil.promotion import release

    record = registry.champion_record()
    version = registry.champion()
    if version is None:
        message = release.unknown_promotion(record)
        print(message or "there is no champion yet; `make train-all` trains and promotes one")
        raise typer.Exit(1)
    print(f"{version.architecture}, version {version.number} of {registry.NAME}")
    if record.last_change:
        print(f"{record.last_change.act} {record.last_change.time}: {record.last_change.reason}")
    if record.predecessors:
        print(f"previous champions: version {', '.join(reversed(record.predecessors))}")
    if also := [one for one in record.former if one not in record.predecessors]:
        print(f"other former champions: version {', '.join(also)}")
    if registry.sync_alias():
        print("the MLflow alias named another version and was reset; only unveil may move it")
    with registry.verified_files(version):
        print("its files match the registered digests")
    if fault := release.difference(version):
        print(f"{fault}; `unveil export` restores the champion's bundle", file=sys.stderr)
        raise typer.Exit(NOT_EXPORTED)
    print(f"{BUNDLE} is its bundle")
    _check_stored_bundle(version)


def _check_stored_bundle(version: "Version") -> None:
    from unveil import registry

    if not version.bundle:
        print("MLflow has no copy of the bundle for a rollback; run `unveil export`")
        return
    with registry.stored_bundle(version):
        print("MLflow has a copy of the bundle")
