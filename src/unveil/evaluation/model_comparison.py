"""Reports -> ranking: the best architecture, its lead, and whether the lead is significant.

Takes ``data/05_reports/architectures/*``, writes ``data/05_reports/comparison.{json,md}``. Reports
of an older network or other test images are ignored. Command: ``unveil compare``.
"""

from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, read_json, require_path, sha256, write_json
from unveil.common.paths import COMPARISON, LEADERBOARD, MODELS, PACKED, REPORTS
from unveil.config.params import Params
from unveil.evaluation import paired_comparison, training_conditions
from unveil.evaluation.metrics import format_estimate


def compare(params: Params) -> dict[str, Any]:
    """Rank the evaluated architectures by test macro-F1; write the ranking as JSON and table."""
    reports = _reports(params)
    if not reports:
        raise UserError("every report is out of date; run `dvc repro`")
    ranking = sorted(reports, key=lambda report: -report["test"]["macro_f1"]["value"])
    keys = [report["architecture"] for report in ranking]
    result = {
        "recipe": params.recipe,
        "ranking": keys,
        "missing": [key for key in params.architectures if key not in _keys(ranking)],
        "lead": _lead(ranking, params.classes),
        "ties": _ties(keys, params.classes),
        "transfer": paired_comparison.transfer(keys, params),
        "colors": paired_comparison.colors(keys, params),
        "weights": paired_comparison.weights(keys, params),
        "conditions": {report["architecture"]: _conditions(report) for report in ranking},
        "reports": {report["architecture"]: report for report in ranking},
    }
    write_json(COMPARISON, result)
    with atomic_write(LEADERBOARD) as path:
        path.write_text(table(result))
    return result


def table(result: dict[str, Any]) -> str:
    """Format the ranking as Markdown, with 95 % intervals."""
    reports = [result["reports"][key] for key in result["ranking"]]
    lines = [
        f"# Comparison, recipe `{result['recipe']}`",
        "",
        f"Test n = {reports[0]['test']['images']}, validation n = "
        f"{reports[0]['validation']['images']}, train n = {reports[0]['train']['images']}; "
        "scores from 0 to 1, in brackets 95 % intervals (stratified bootstrap).",
        "",
        "| architecture | test macro-F1 | test accuracy | validation accuracy | train accuracy "
        "| seconds per epoch | epochs | parameters | MB | remarks |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(report, result["conditions"][report["architecture"]]) for report in reports),
        "",
        verdict(result),
    ]
    lines += _averaged(reports)
    if result["missing"]:
        lines.append(f"Not evaluated, or out of date: {', '.join(result['missing'])}.")
    lines += paired_comparison.lines(result)
    return "\n".join(lines) + "\n"


def read_comparison() -> dict[str, Any]:
    """Read the comparison; ``UserError`` unless it ranks a candidate and has a report of each."""
    content: dict[str, Any] = read_json(COMPARISON, made_by="unveil compare")
    ranking, reports = content["ranking"], content["reports"]
    valid = isinstance(ranking, list) and isinstance(reports, dict) and bool(ranking)
    if not valid or not all(isinstance(reports.get(str(key)), dict) for key in ranking):
        raise UserError(f"{COMPARISON} ranks no candidate; run `unveil compare` again")
    return content


def verdict(result: dict[str, Any]) -> str:
    """Name in a sentence the best architecture and whether the second is tied with it."""
    first, lead = result["ranking"][0], result["lead"]
    if lead is None:
        return f"Only `{first}` was evaluated."
    value, _, interval = paired_comparison.format_difference(lead).partition(" ")
    by = f"{value} macro-F1 on the same images, 95 % interval {interval}"
    if lead["tie"]:
        return f"`{first}` and `{lead['second']}` are a **tie**: {by}."
    return f"`{first}` is better than `{lead['second']}`: {by}."


def _reports(params: Params) -> list[dict[str, Any]]:
    paths = {key: REPORTS / key / "metrics.json" for key in params.architectures}
    found = {
        key: read_json(path, made_by=f"unveil evaluate {key}")
        for key, path in paths.items()
        if path.exists()
    }
    if not found:
        raise UserError("nothing to compare; run `unveil evaluate ARCH`")
    test = sha256(require_path(PACKED / "test.npz", made_by="unveil pack"))
    return [
        report
        for key, report in found.items()
        if report["test_digest"] == test and _is_of(report, MODELS / key / "model.keras")
    ]


def _is_of(report: dict[str, Any], model: Path) -> bool:
    """A failed training leaves the report of an earlier one behind."""
    return model.exists() and report["model_digest"] == sha256(model)


def _keys(reports: list[dict[str, Any]]) -> set[str]:
    return {report["architecture"] for report in reports}


def _lead(ranking: list[dict[str, Any]], classes: tuple[str, ...]) -> dict[str, Any] | None:
    if len(ranking) < 2:
        return None
    first, second = (report["architecture"] for report in ranking[:2])
    return paired_comparison.pair(first, second, classes)


def _ties(keys: list[str], classes: tuple[str, ...]) -> list[str]:
    """Return the architectures whose difference to the first may be 0, on the same images."""
    return [key for key in keys[1:] if paired_comparison.pair(keys[0], key, classes)["tie"]]


def _conditions(report: dict[str, Any]) -> list[str]:
    parameters = training_conditions.training_parameters(report["architecture"])
    return training_conditions.conditions(parameters, report["train"]["images"])


def _averaged(reports: list[dict[str, Any]]) -> list[str]:
    values = [
        f"`{report['architecture']}` {format_estimate(report['flip_averaged']['macro_f1'])}"
        for report in reports
        if "flip_averaged" in report
    ]
    about = "With predictions averaged over a face and its mirror image (twice the time;"
    return [f"{about} not used for ranking or serving): {', '.join(values)}."] if values else []


def _row(report: dict[str, Any], conditions: list[str]) -> str:
    cells = [
        f"`{report['architecture']}`",
        format_estimate(report["test"]["macro_f1"]),
        format_estimate(report["test"]["accuracy"]),
        format_estimate(report["validation"]["accuracy"]),
        format_estimate(report["train"]["accuracy"]),
        f"{report['seconds_per_epoch']:.1f}",
        str(report["epochs"]),
        f"{report['parameters']:,}",
        f"{report['bytes'] / 1e6:.1f}",
        "; ".join(conditions),
    ]
    return f"| {' | '.join(cells)} |"
