"""artefacts -> what the report says, as plain values."""

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from unveil import compare, pairs, sample, tracked
from unveil.files import read_json, read_parquet
from unveil.params import Params
from unveil.paths import EXPLANATIONS, MANIFEST, MODELS, PROMOTION, REPORTS, VERDICT

TITLES = {
    "curves": "Learning curves",
    "confusion": "Confusion on test",
    "certainty": "Calibration, and errors by how many faces are answered",
    "slices": "Slices",
    "maps": "Where answers rest, averaged for each class",
    "faithfulness": "Whether these maps are to be believed",
}

Facts = dict[str, Any]


def gathered(comparison: Facts, params: Params) -> Facts:
    """Gather everything the page says."""
    reports = [comparison["reports"][key] for key in comparison["ranking"]]
    made = {report["architecture"]: _made(report["architecture"]) for report in reports}
    return {
        "recipe": comparison["recipe"],
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "synthetic": drawn(),
        "classes": params.classes,
        "verdict": compare.verdict(comparison),
        "missing": comparison["missing"],
        "leaderboard": _leaderboard(reports, params.classes),
        "decision": optional(PROMOTION, made_by="unveil promote"),
        "data": _data(reports[0]),
        "architectures": [_architecture(report, made) for report in reports],
        "lineage": _lineage(made, reports[0]["architecture"]),
    }


def optional(path: Path, *, made_by: str) -> Facts:
    """Read a JSON artefact that may be absent, unless git or DVC has it; then it is empty."""
    tracked.refuse_lost(path)
    return cast(Facts, read_json(path, made_by=made_by)) if path.exists() else {}


def drawn() -> bool:
    """Say whether all faces of the manifest are those of the embedded sample."""
    tracked.refuse_lost(MANIFEST)
    if not MANIFEST.exists():
        return False
    return sample.is_drawn(
        read_parquet(MANIFEST, made_by="unveil manifest", columns=["member"])["member"]
    )


def _leaderboard(reports: list[Facts], classes: tuple[str, ...]) -> list[Facts]:
    scores: list[dict[str, float]] = [report["test"]["macro_f1"] for report in reports]
    low, high = min(one["low"] for one in scores), max(one["high"] for one in scores)

    def at(value: float) -> float:
        return 100 * (value - low) / max(high - low, 1e-9)

    first, decision = reports[0]["architecture"], optional(PROMOTION, made_by="unveil promote")
    return [
        {
            "report": report,
            "bar": {name: at(value) for name, value in score.items()},
            "behind": pairs.difference(first, key, classes) if key != first else None,
            # Only a candidate was exported, and its speed measured as it would go out.
            "latency": decision.get("latency") if decision.get("candidate") == key else None,
        }
        for key, report, score in zip(
            (report["architecture"] for report in reports), reports, scores, strict=True
        )
    ]


def _data(report: Facts) -> Facts:
    verdict = optional(VERDICT, made_by="unveil validate")
    splits = {
        name: {key: int(one["images"]) for key, one in report[name]["classes"].items()}
        for name in ("train", "validation", "test")
    }
    return {"splits": splits, "passed": verdict.get("passed"), "rules": verdict.get("rules", [])}


def _architecture(report: Facts, made: Mapping[str, Facts]) -> Facts:
    key = report["architecture"]
    explanation = optional(EXPLANATIONS / key / "explanation.json", made_by=f"unveil explain {key}")
    if explanation.get("model_digest") != report["model_digest"]:
        explanation = {}
    folders = [REPORTS / key, *([EXPLANATIONS / key] if explanation else [])]
    return {
        "report": report,
        "pictures": [picture for folder in folders for picture in _pictures(folder)],
        "explanation": explanation,
        "calibration": _certainty(report.get("calibration", {})),
        "slices": report.get("slices", {}),
        "gap": report.get("overfitting", {}).get("gap", {}),
        "parameters": made[key].get("parameters", {}),
    }


def _certainty(section: Facts) -> Facts:
    """Take from a report what was chosen, and the measures before and after the temperature."""
    if not section:
        return {}
    chosen = ("temperature", "target_risk", "target_kept", "abstain_below", "coverage", "risk")
    return {
        "chosen": [(name, section[name]) for name in chosen],
        "measures": {
            name: (section["uncalibrated"][name], section["test"][name])
            for name in ("log_loss", "brier", "ece")
        },
    }


def _pictures(folder: Path) -> Iterator[Facts]:
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


def _made(key: str) -> Facts:
    return optional(MODELS / key / "run.json", made_by=f"unveil train {key}")


def _lineage(made: Mapping[str, Facts], best: str) -> Facts:
    """Name code, machine and data of each training, and what all have in common once."""
    told = {key: dict(_origins(one)) for key, one in made.items()}
    common = {
        name: value
        for name, value in told[best].items()
        if all(one.get(name) == value for one in told.values())
    }
    own = {
        key: {name: value for name, value in one.items() if name not in common}
        for key, one in told.items()
    }
    return {"common": common, "own": own}


def _origins(made: Facts) -> Iterator[tuple[str, str]]:
    tags = {name: value for name, value in made.get("tags", {}).items() if name[:6] != "mlflow"}
    yield from ((name, value) for name, value in tags.items() if name != "architecture")
    yield from ((f"{one['path']} md5", one["md5"]) for one in made.get("data", {}).values())
    if "origin" in made:
        yield "training", made["origin"]
