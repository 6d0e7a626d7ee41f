"""After the decision: explain the best, write the report and the champion's card, link them."""

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.outcome import plainly
from flows.stages import unveil
from unveil import compare
from unveil.files import read_json
from unveil.paths import LEADERBOARD, MODEL_CARD, PROMOTION, REPORT
from unveil.registry import log_files, page_of


@task
@plainly
def report() -> State:
    """Write what people read of this train-all, and keep it with its run; decides nothing."""
    best = compare.read()["ranking"][0]
    verbs = [("explain", best), ("report",)]
    if read_json(PROMOTION, made_by="unveil promote")["promoted"]:
        verbs.insert(1, ("model-card",))
    failed = [verb[0] for verb in verbs if unveil(*verb)]
    if "report" not in failed:  # else what lies there is of another train-all
        log_files(REPORT, MODEL_CARD)
    where = page_of(REPORT.name) or str(REPORT.absolute())
    text = f"{LEADERBOARD.read_text()}\nThe whole report: {where}\n"
    create_markdown_artifact(text, key="report", description="What train-all found")
    if failed:
        return Failed(message=f"failed: {', '.join(failed)}")
    return Completed(message=f"see {REPORT}")
