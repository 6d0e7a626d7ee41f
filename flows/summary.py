"""The last lines of a train-all: the leaderboard, the champion, and where to look further."""

import os
from collections.abc import Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.files import read_json
from unveil.common.paths import COMPARISON, LEADERBOARD, REPORT, REPORTS
from unveil.evaluation.model_comparison import read_comparison, verdict
from unveil.inference import model_choice

WIDTH = 100


def score(estimate: Mapping[str, float]) -> str:
    """Format a score with its 95 % interval: ``0.602 [0.561, 0.645]``."""
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def result_of(key: str) -> str:
    """Return the epochs and the scores of an evaluated architecture; ``""`` without a report."""
    try:
        report = read_json(REPORTS / key / "metrics.json", made_by=f"unveil evaluate {key}")
        validation, test = (report[name]["macro_f1"] for name in ("validation", "test"))
        return (
            f"{report['epochs']} epochs, macro-F1 {validation['value']:.3f} in validation, "
            f"{score(test)} in test"
        )
    except (UserError, KeyError, TypeError):
        return ""


def leaderboard(comparison: Mapping[str, Any]) -> list[str]:
    """Return the ranking as lines of a table, the networks that are tied with the best marked."""
    reports = [comparison["reports"][key] for key in comparison["ranking"]]
    title = f"Leaderboard, {reports[0]['test']['images']} test faces, 95 % intervals in brackets"
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False)
    for name in ("", "architecture", "test macro-F1", ""):
        table.add_column(name)
    for name in ("epochs", "parameters"):
        table.add_column(name, justify="right")
    for place, report in enumerate(reports, start=1):
        tied = report["architecture"] in comparison.get("ties", ())
        table.add_row(
            str(place),
            report["architecture"],
            score(report["test"]["macro_f1"]),
            "tie with 1" if tied else "",
            str(report["epochs"]),
            f"{report['parameters']:,}",
        )
    console = Console(file=StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def final_lines(message: str) -> list[str]:
    """Return the leaderboard, the outcome, and where report, runs and flows are."""
    lines = [""]
    if COMPARISON.exists():
        comparison = read_comparison()
        sentence = verdict(comparison).replace("`", "").replace("**", "")
        lines += [*leaderboard(comparison), "", sentence]
    note = model_choice.synthetic_champion_note()
    return [
        *lines,
        *([message] if message else []),
        *([note] if note else []),
        "",
        f"report:  {REPORT}; the whole leaderboard: {LEADERBOARD}",
        f"runs:    {_runs()}",
        "flows:   make ui-flows, http://127.0.0.1:4200",
    ]


def _runs() -> str:
    # MLflow itself sets the variable to the local database.
    local = not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http")
    try:
        return f"{'make ui, then ' if local else ''}{registry.trainings_url()}"
    except UserError:
        return "make ui" if local else registry.server_name()
