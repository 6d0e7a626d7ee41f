"""Ask the gate whether the best candidate becomes champion."""

from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.stages import unveil
from unveil.files import read_json
from unveil.paths import COMPARISON, LEADERBOARD, PROMOTION
from unveil.registry import log_files

REFUSED = 1


@task
def promote() -> State:
    """Promote or not, by rule, keep the decision with the parent run, and export a champion."""
    if status := unveil("publish"):
        return Failed(message=f"unveil publish failed, exit code {status}")
    status = unveil("promote")
    if status not in (0, REFUSED):
        return Failed(message=f"unveil promote failed, exit code {status}")
    log_files(COMPARISON, LEADERBOARD, PROMOTION)
    decision = read_json(PROMOTION, made_by="unveil promote")
    if decision["promoted"] and (status := unveil("export")):
        return Failed(message=f"unveil export failed, exit code {status}")
    verb = "is champion" if decision["promoted"] else "was not promoted"
    return Completed(message=f"{decision['candidate']} {verb}: {decision['reason']}")
