"""Ask the gate whether the best candidate becomes champion."""

from prefect import task

from flows.stages import unveil
from unveil.paths import COMPARISON, DATA_DOCS, LEADERBOARD, PROMOTION, SUMMARY, VERDICT
from unveil.registry import log_files

REFUSED = 1


@task
def promote() -> None:
    """Promote or not, by rule, and keep the decision with the parent run."""
    status = unveil("promote")
    if status not in (0, REFUSED):
        raise RuntimeError(f"unveil promote ended with exit code {status}")
    log_files(SUMMARY, VERDICT, DATA_DOCS, COMPARISON, LEADERBOARD, PROMOTION)
