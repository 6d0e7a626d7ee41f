"""Log promotion decisions, one run each, to the experiment ``facial-emotion-promotions``."""

import json
import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from unveil.registry import champion_history
from unveil.registry.connection import answer_timeout, connect, try_or_warn, with_timeout

DECISION = "decision.json"


def record_decision(decision: Mapping[str, Any], numbers: Mapping[str, float]) -> bool:
    """Log a decision as an artifact and its numbers as metrics; return whether it succeeded."""
    return (
        try_or_warn(
            lambda: with_timeout(answer_timeout(), lambda: _log_decision(decision, numbers))
        )
        is not None
    )


def _log_decision(decision: Mapping[str, Any], numbers: Mapping[str, float]) -> str:
    client, now = connect(), int(1000 * time.time())
    named = ("act", "candidate", "version", "previous", "time")
    facts = {name: str(decision[name]) for name in named if decision.get(name)}
    note = {"kind": "decision", MLFLOW_RUN_NOTE: str(decision["reason"])}
    title = f"{decision['candidate']} {decision['act']}"
    run_id = client.create_run(
        champion_history.decisions_experiment(client), run_name=title
    ).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in numbers.items()],
        tags=[RunTag(name, value) for name, value in (facts | note).items()],
    )
    client.log_text(run_id, json.dumps(decision, indent=2, sort_keys=True), DECISION)
    client.set_terminated(run_id)
    return str(run_id)
