"""The task that decides whether the best candidate becomes champion."""

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.command import run
from flows.events import announce
from flows.run_state import PROMOTE
from flows.states import fail_on_user_error
from flows.view import step
from unveil.cli.champion import NOT_EXPORTED, REFUSED
from unveil.common.files import read_json
from unveil.common.paths import COMPARISON, LEADERBOARD, PROMOTION
from unveil.registry import log_files


@task
@step(PROMOTE)
@fail_on_user_error
def promote() -> State:
    """Publish, promote by the rules and export; log the decision to the parent run and Prefect."""
    if (result := run("unveil", "publish")).status:
        return Failed(message=f"unveil publish failed, exit code {result.status}: {result.reason}")
    status = (result := run("unveil", "promote")).status
    if status not in (0, REFUSED, NOT_EXPORTED):
        return Failed(message=f"unveil promote failed, exit code {status}: {result.reason}")
    announce()
    log_files(COMPARISON, LEADERBOARD, PROMOTION)
    decision = read_json(PROMOTION, made_by="unveil promote")
    if status == NOT_EXPORTED:
        return Failed(message=f"{decision['candidate']} is champion, but was not exported")
    verb = "is champion" if decision["promoted"] else "was not promoted"
    return Completed(message=f"{decision['candidate']} {verb}: {decision['reason']}")
