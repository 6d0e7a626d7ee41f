"""Tasks that run stages of dvc.yaml and commands of unveil in processes of their own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed

from flows.command import ask_dvc, run
from flows.run_state import FACES
from flows.states import fail_on_user_error
from flows.summary import final_lines
from flows.view import current, step
from unveil.common import missing_files
from unveil.common.errors import UserError
from unveil.common.paths import (
    ARCHIVE,
    AUDIT_COUNTS,
    COMPARISON,
    CORRECTIONS,
    PROMOTION,
    PROMOTIONS,
)
from unveil.config import params
from unveil.evaluation.model_comparison import read_comparison
from unveil.registry import champion

DATA = ("manifest", "validate", "pack")
"""The stages before training."""

KEPT = (missing_files.LOCK, CORRECTIONS, AUDIT_COUNTS, PROMOTIONS)
"""Records under git; if one is lost, a run would ignore all earlier decisions."""


def require_readable_pipeline() -> None:
    """Raise `UserError` for a pipeline file that DVC cannot read."""
    try:
        ask_dvc("stage", "list", "--all", "--fail", "--name-only")
    except UserError as error:
        raise UserError(f"{error}; repair that file, or restore it from git") from None


def outdated() -> set[str]:
    """Return the stages that DVC reports as changed."""
    return set(json.loads(ask_dvc("status", "--json")))


def nothing_to_do(architectures: Sequence[str]) -> bool:
    """Whether all stages are up to date, the promotion was decided, and a champion exists."""
    decided = PROMOTION.exists() and COMPARISON.exists()
    if not decided or PROMOTION.stat().st_mtime < COMPARISON.stat().st_mtime:
        return False
    own = (stage for key in architectures for stage in stages_of(key))
    try:
        return outdated().isdisjoint({*DATA, *own, "compare"}) and champion() is not None
    except UserError:
        return False  # MLflow does not answer: `promote` reports that


def stages_of(architecture: str) -> tuple[str, ...]:
    """Return the names of an architecture's stages, in order."""
    return f"train@{architecture}", f"evaluate@{architecture}"


@task(task_run_name="repro {stage}")
@step()
@fail_on_user_error
def repro(stage: str, force: bool = False) -> State | None:
    """Run one stage, unless it is up to date; `force` runs it anyway.

    Crashed if a signal ended its process, since a retry may succeed; else Failed.
    """
    # A parallel run in this checkout holds DVC's lock while it pushes.
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
    makes = stage.rpartition("@")[2]
    result = run(*command, *(["--force"] if force else []), makes=makes)
    if not result.status:
        return None
    state = Crashed if result.killed else Failed
    return state(message=f"stage {stage} failed: {result.reason}")


def fetch(path: Path) -> bool:
    """Restore a file that DVC has recorded from cache or remote; False if none is recorded.

    Raises:
        UserError: if it is recorded and cannot be restored.
    """
    if (hint := missing_files.restore_hint(path)) is None:
        return False
    if missing_files.recorded_md5(path):
        for verb in ("checkout", "pull"):
            if not path.exists():
                run("dvc", "--wait-for-lock", verb, str(missing_files.pointer(path)))
    if not path.exists():
        raise UserError(hint)
    return True


@task
@step(FACES)
@fail_on_user_error
def prepare(
    source: str | None, recipe: str | None, architectures: Sequence[str] | None
) -> State | None:
    """Choose the recipe and ingest new faces, if requested; without any faces create the sample.

    Faces that DVC has recorded are restored; if that fails, no sample replaces them.
    """
    params.require_known(recipe, architectures)
    if recipe is not None:
        params.choose_recipe(recipe)
    missing_files.refuse_missing(*KEPT)
    if source is None and (ARCHIVE.exists() or fetch(ARCHIVE)):
        return None
    verb = ["sample"] if source is None else ["ingest", source]
    result = run("unveil", *verb)
    if not result.status:
        return None
    return Failed(message=f"unveil {' '.join(verb)} failed: {result.reason}")


def summarize(trained: Mapping[str, State], promoted: State) -> State:
    """Show the leaderboard, the champion and where to look further; return the final state."""
    # The caller reports the message of the returned state.
    current().finish(final_lines("" if promoted.is_failed() else str(promoted.message)))
    failed = [key for key, state in trained.items() if not state.is_completed()]
    if failed and promoted.is_failed():
        current().warn(str(promoted.message))
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}; the others were compared")
    if missing := [key for key in trained if key not in read_comparison()["ranking"]]:
        return Failed(
            message=f"not compared: {', '.join(missing)}; another command changed the network or "
            "its report during the run; run `make train-all` again"
        )
    final = Failed if promoted.is_failed() else Completed
    return final(message=promoted.message)
