"""Collect the contents of the report from the artifacts, as plain values."""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from unveil.common import missing_files
from unveil.common.files import read_json, read_parquet
from unveil.common.paths import EXPLANATIONS, MANIFEST, MODELS, PROMOTION, REPORTS, VALIDATION
from unveil.config.params import Params
from unveil.data import synthetic
from unveil.evaluation import calibration_section, model_comparison, paired_comparison
from unveil.reporting import drawn_faces

TITLES = {
    "curves": "Learning curves",
    "confusion": "Confusion on test",
    "certainty": "Calibration, and error rate by coverage",
    "slices": "Slices",
    "maps": "Saliency maps, averaged per class",
    "faithfulness": "Faithfulness of the saliency maps",
}

ReportData = dict[str, Any]


def collect(comparison: ReportData, params: Params) -> ReportData:
    """Collect all values of the report."""
    reports = [comparison["reports"][key] for key in comparison["ranking"]]
    runs = {report["architecture"]: _training_run(report["architecture"]) for report in reports}
    return {
        "recipe": comparison["recipe"],
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "synthetic": is_synthetic(),
        "classes": params.classes,
        "verdict": model_comparison.verdict(comparison),
        "missing": comparison["missing"],
        "leaderboard": _leaderboard(reports, params.classes, comparison.get("conditions", {})),
        "colors": paired_comparison.color_sentences(comparison),
        "faces": drawn_faces.examples(reports[0]),
        "decision": read_optional(PROMOTION, made_by="unveil promote"),
        "data": _data(reports[0]),
        "architectures": [_architecture(report, runs) for report in reports],
        "lineage": _lineage(runs, reports[0]["architecture"]),
    }


def read_optional(path: Path, *, made_by: str) -> ReportData:
    """Read a JSON artifact; ``{}`` if it is missing, ``UserError`` if git or DVC tracks it."""
    missing_files.refuse_missing(path)
    return cast(ReportData, read_json(path, made_by=made_by)) if path.exists() else {}


def is_synthetic() -> bool:
    """Return whether all images of the manifest are synthetic faces of `unveil sample`."""
    missing_files.refuse_missing(MANIFEST)
    if not MANIFEST.exists():
        return False
    return synthetic.is_synthetic(
        read_parquet(MANIFEST, made_by="unveil manifest", columns=["member"])["member"]
    )


def _leaderboard(
    reports: list[ReportData], classes: tuple[str, ...], conditions: Mapping[str, list[str]]
) -> list[ReportData]:
    scores: list[dict[str, float]] = [report["test"]["macro_f1"] for report in reports]
    low, high = min(one["low"] for one in scores), max(one["high"] for one in scores)

    def at(value: float) -> float:
        return 100 * (value - low) / max(high - low, 1e-9)

    first, decision = reports[0]["architecture"], read_optional(PROMOTION, made_by="unveil promote")
    return [
        {
            "report": report,
            "conditions": conditions.get(key, []),
            "bar": {name: at(value) for name, value in score.items()},
            "behind": paired_comparison.difference(first, key, classes) if key != first else None,
            # Only a candidate for promotion was exported, so only its latency is known.
            "latency": decision.get("latency") if decision.get("candidate") == key else None,
        }
        for key, report, score in zip(
            (report["architecture"] for report in reports), reports, scores, strict=True
        )
    ]


def _data(report: ReportData) -> ReportData:
    verdict = read_optional(VALIDATION, made_by="unveil validate")
    splits = {
        name: {key: int(one["images"]) for key, one in report[name]["classes"].items()}
        for name in ("train", "validation", "test")
    }
    return {"splits": splits, "passed": verdict.get("passed"), "rules": verdict.get("rules", [])}


def _architecture(report: ReportData, runs: Mapping[str, ReportData]) -> ReportData:
    key = report["architecture"]
    explanation = read_optional(
        EXPLANATIONS / key / "explanation.json", made_by=f"unveil explain {key}"
    )
    if explanation.get("model_digest") != report["model_digest"]:
        explanation = {}
    folders = [REPORTS / key, *([EXPLANATIONS / key] if explanation else [])]
    return {
        "report": report,
        "pictures": [picture for folder in folders for picture in _pictures(folder)],
        "explanation": explanation,
        "calibration": _calibration(report.get("calibration", {}), report["test"]["images"]),
        "slices": report.get("slices", {}),
        "gap": report.get("overfitting", {}).get("gap", {}),
        "parameters": runs[key].get("parameters", {}),
    }


def _calibration(section: ReportData, images: int) -> ReportData:
    """Return what the thresholds do, and the measures before and after calibration."""
    if not section:
        return {}
    return {
        "method": calibration_section.calibration_sentence(section),
        "coverage": calibration_section.coverage_sentence(section, images),
        "classes": section.get("classes", {}),
        "measures": {
            name: (section["uncalibrated"][name], section["test"][name])
            for name in ("log_loss", "brier", "ece")
        },
    }


def _pictures(folder: Path) -> Iterator[ReportData]:
    order = list(TITLES)
    paths = sorted(
        folder.glob("*.png"),
        key=lambda path: (order.index(path.stem) if path.stem in order else 9, path.stem),
    )
    for path in paths:
        title = TITLES.get(path.stem, path.stem.replace("_", " ").capitalize())
        yield {
            "name": path.stem,
            "title": title,
            "png": base64.b64encode(path.read_bytes()).decode(),
        }


def _training_run(key: str) -> ReportData:
    return read_optional(MODELS / key / "run.json", made_by=f"unveil train {key}")


def _lineage(runs: Mapping[str, ReportData], best: str) -> ReportData:
    """Return code, machine and data of each training; values that all share are listed once."""
    lineages = {key: dict(_training_lineage(one)) for key, one in runs.items()}
    common = {
        name: value
        for name, value in lineages[best].items()
        if all(one.get(name) == value for one in lineages.values())
    }
    own = {
        key: {name: value for name, value in one.items() if name not in common}
        for key, one in lineages.items()
    }
    return {"common": common, "own": own}


def _training_lineage(run: ReportData) -> Iterator[tuple[str, str]]:
    tags = {name: value for name, value in run.get("tags", {}).items() if name[:6] != "mlflow"}
    yield from ((name, value) for name, value in tags.items() if name != "architecture")
    yield from ((f"{one['path']} md5", one["md5"]) for one in run.get("data", {}).values())
    if "origin" in run:
        yield "training", run["origin"]
