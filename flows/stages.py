"""A task runs a stage of dvc.yaml, or a verb of unveil, in a process of its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed

from flows.command import ask_dvc, run
from flows.outcome import plainly
from unveil import compare, params, tracked
from unveil.errors import UserError
from unveil.paths import (
    ARCHIVE,
    AUDITED,
    COMPARISON,
    CORRECTIONS,
    LEADERBOARD,
    PROMOTION,
    PROMOTIONS,
)
from unveil.registry import champion

DATA = ("manifest", "validate", "pack")
"""The stages before training."""

KEPT = (tracked.LOCK, CORRECTIONS, AUDITED, PROMOTIONS)
"""What git keeps: without one of these a run would begin as if nothing had been decided before."""


def unveil(*arguments: str) -> int:
    """Run a verb and give its exit code."""
    return run("unveil", *arguments).status


def readable(recipe: str | None, architectures: Sequence[str] | None) -> None:
    """Refuse, before anything is begun, a word that is none and files that DVC cannot read."""
    params.require_choice(recipe, architectures)
    try:
        ask_dvc("stage", "list", "--all", "--fail", "--name-only")
    except UserError as error:
        raise UserError(f"{error}; mend that file, or take it from git again") from None


def outdated() -> set[str]:
    """Ask DVC, once for all, which stages are stale."""
    return set(json.loads(ask_dvc("status", "--json")))


def nothing_to_do(architectures: Sequence[str]) -> bool:
    """Whether all is made from the data, parameters and code of now, and there is a champion."""
    decided = PROMOTION.exists() and COMPARISON.exists()
    if not decided or PROMOTION.stat().st_mtime < COMPARISON.stat().st_mtime:
        return False
    own = (stage for key in architectures for stage in stages_of(key))
    try:
        return outdated().isdisjoint({*DATA, *own, "compare"}) and champion() is not None
    except UserError:
        return False  # MLflow is away: promote says so


def stages_of(architecture: str) -> tuple[str, ...]:
    """Name an architecture's own stages, in order."""
    return f"train@{architecture}", f"evaluate@{architecture}"


@task(task_run_name="repro {stage}")
@plainly
def repro(stage: str, force: bool = False) -> State | None:
    """Make what one stage makes, unless it is up to date; `force` makes it anyway.

    Crashed where its process died by a signal: another try may have more luck.
    """
    # A sibling in this checkout may hold DVC's lock for as long as it pushes.
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
    makes = stage.rpartition("@")[2]
    ended = run(*command, *(["--force"] if force else []), makes=makes)
    if not ended.status:
        return None
    state = Crashed if ended.killed else Failed
    return state(message=f"stage {stage} failed: {ended.reason}")


def fetched(path: Path) -> bool:
    """Bring a file that DVC has recorded, from cache or remote; false where none is recorded.

    Raises:
        UserError: where it is recorded and cannot be had.
    """
    if (said := tracked.lost(path)) is None:
        return False
    if tracked.recorded(path):
        for verb in ("checkout", "pull"):
            if not path.exists():
                run("dvc", "--wait-for-lock", verb, str(tracked.pointer(path)))
    if not path.exists():
        raise UserError(said)
    return True


@task
@plainly
def prepare(
    source: str | None, recipe: str | None, architectures: Sequence[str] | None
) -> State | None:
    """Turn the dial and take in new faces, where asked; draw the sample where there are none.

    Faces that DVC has recorded are fetched; where that fails, nothing is drawn in their place.
    """
    params.require_choice(recipe, architectures)
    if recipe is not None:
        params.choose_recipe(recipe)
    tracked.refuse_lost(*KEPT)
    if source is None and (ARCHIVE.exists() or fetched(ARCHIVE)):
        return None
    verb = ["sample"] if source is None else ["ingest", source]
    ended = run("unveil", *verb)
    if not ended.status:
        return None
    return Failed(message=f"unveil {' '.join(verb)} failed: {ended.reason}")


def conclude(trained: Mapping[str, State], promoted: State) -> State:
    """Print the leaderboard, the champion and how to look at it all; say what failed."""
    lines = [
        LEADERBOARD.read_text(),
        str(promoted.message),
        "runs and models:  make ui        http://127.0.0.1:5000  (MLflow)",
        "flows:            make ui-flows  http://127.0.0.1:4200  (Prefect)",
    ]
    print("\n".join(lines))
    failed = [key for key, state in trained.items() if not state.is_completed()]
    for key in failed:
        print(f"{key} {str(trained[key].name).lower()}: {trained[key].message}")
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others were compared")
    if lost := [key for key in trained if key not in compare.read()["ranking"]]:
        return Failed(
            message=f"not compared: {', '.join(lost)}; another command changed the network or its "
            "report meanwhile; run `make train-all` again"
        )
    ended = Failed if promoted.is_failed() else Completed
    return ended(message=promoted.message)
