"""reports -> ranking: who is best, by how much, and whether that is more than luck.

Takes ``data/05_reports/architectures/*``, makes ``data/05_reports/comparison.{json,md}``. A report
counts when it is about the network and the test images that are there now. Command:
``unveil compare``.
"""

from pathlib import Path
from typing import Any

from unveil import pairs
from unveil.errors import UserError
from unveil.files import existing, read_json, replacing, sha256, write_json
from unveil.params import Params
from unveil.paths import COMPARISON, LEADERBOARD, MODELS, PACKED, REPORTS


def compare(params: Params) -> dict[str, Any]:
    """Rank what was evaluated by test macro-F1 and write the ranking as JSON and as a table."""
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
        "transfer": pairs.transfer(keys, params),
        "colors": pairs.colors(keys, params),
        "weights": pairs.weights(keys, params),
        "reports": {report["architecture"]: report for report in ranking},
    }
    write_json(COMPARISON, result)
    with replacing(LEADERBOARD) as path:
        path.write_text(table(result))
    return result


def table(result: dict[str, Any]) -> str:
    """Write the ranking as Markdown, with the columns of the study and 95 % intervals."""
    reports = [result["reports"][key] for key in result["ranking"]]
    lines = [
        f"# Comparison, recipe `{result['recipe']}`",
        "",
        f"Test n = {reports[0]['test']['images']}, validation n = "
        f"{reports[0]['validation']['images']}, train n = {reports[0]['train']['images']}; "
        "in brackets 95 % intervals (stratified bootstrap).",
        "",
        "| architecture | train accuracy | validation accuracy | test macro-F1 | test accuracy "
        "| seconds per epoch | epochs | parameters | MB |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(report) for report in reports),
        "",
        verdict(result),
    ]
    lines += _averaged(reports)
    if result["missing"]:
        lines.append(f"Not evaluated, or out of date: {', '.join(result['missing'])}.")
    lines += pairs.lines(result)
    return "\n".join(lines) + "\n"


def read() -> dict[str, Any]:
    """Read the comparison; ``UserError`` unless it ranks a candidate, each with its report."""
    content: dict[str, Any] = read_json(COMPARISON, made_by="unveil compare")
    ranking, reports = content["ranking"], content["reports"]
    listed = isinstance(ranking, list) and isinstance(reports, dict) and bool(ranking)
    if not listed or not all(isinstance(reports.get(str(key)), dict) for key in ranking):
        raise UserError(f"{COMPARISON} ranks no candidate; `unveil compare` makes it anew")
    return content


def verdict(result: dict[str, Any]) -> str:
    """Say in a sentence who is first and whether second is a tie."""
    first, lead = result["ranking"][0], result["lead"]
    if lead is None:
        return f"Only `{first}` was evaluated."
    value, _, interval = pairs.said(lead).partition(" ")
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
        raise UserError("nothing to compare; `unveil evaluate ARCH` makes a report")
    test = sha256(existing(PACKED / "test.npz", made_by="unveil pack"))
    return [
        report
        for key, report in found.items()
        if report["test_digest"] == test and _is_of(report, MODELS / key / "model.keras")
    ]


def _is_of(report: dict[str, Any], model: Path) -> bool:
    """A training that failed leaves the report of the one before it."""
    return model.exists() and report["model_digest"] == sha256(model)


def _keys(reports: list[dict[str, Any]]) -> set[str]:
    return {report["architecture"] for report in reports}


def _lead(ranking: list[dict[str, Any]], classes: tuple[str, ...]) -> dict[str, Any] | None:
    if len(ranking) < 2:
        return None
    first, second = (report["architecture"] for report in ranking[:2])
    return pairs.pair(first, second, classes)


def _averaged(reports: list[dict[str, Any]]) -> list[str]:
    told = [
        f"`{report['architecture']}` {pairs.percent(report['flip_averaged']['macro_f1'])}"
        for report in reports
        if "flip_averaged" in report
    ]
    about = "Answers averaged over a face and its mirror image, which takes twice the time and is"
    return [f"{about} not what is ranked or served: {', '.join(told)}."] if told else []


def _row(report: dict[str, Any]) -> str:
    cells = [
        f"`{report['architecture']}`",
        pairs.percent(report["train"]["accuracy"]),
        pairs.percent(report["validation"]["accuracy"]),
        pairs.percent(report["test"]["macro_f1"]),
        pairs.percent(report["test"]["accuracy"]),
        f"{report['seconds_per_epoch']:.1f}",
        str(report["epochs"]),
        f"{report['parameters']:,}",
        f"{report['bytes'] / 1e6:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
