"""The task after promotion: explain the best model, write the report and the model card."""

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.command import run
from flows.run_state import REPORT as REPORT_STEP
from flows.states import fail_on_user_error
from flows.view import step
from unveil.common.files import read_json
from unveil.common.paths import LEADERBOARD, MODEL_CARD, PROMOTION, REPORT
from unveil.evaluation.model_comparison import read_comparison
from unveil.registry import artifact_url, log_files


@task
@step(REPORT_STEP)
@fail_on_user_error
def report() -> State:
    """Write report and model card of this train-all and log them to its run; decides nothing."""
    best = read_comparison()["ranking"][0]
    verbs = [("explain", best), ("report",)]
    if read_json(PROMOTION, made_by="unveil promote")["promoted"]:
        verbs.insert(1, ("model-card",))
    results = {verb[0]: run("unveil", *verb) for verb in verbs}
    failed = {verb: result.reason for verb, result in results.items() if result.status}
    if "report" not in failed:  # otherwise the file is from another train-all
        log_files(REPORT, MODEL_CARD)
    where = artifact_url(REPORT.name) or str(REPORT.absolute())
    text = f"{LEADERBOARD.read_text()}\nThe full report: {where}\n"
    create_markdown_artifact(text, key="report", description="Results of train-all")
    if failed:
        return Failed(message="; ".join(f"unveil {verb}: {why}" for verb, why in failed.items()))
    return Completed(message=f"see {REPORT}")
