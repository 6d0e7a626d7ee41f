"""Write the champion's model card in Hugging Face's format: YAML metadata, then Markdown.

Input: the champion's version, its local report and training, and ``provenance`` of ``params.yaml``.
Output: ``data/05_reports/model_card.md``, also added to the version in MLflow. The headings follow
Mitchell et al. 2019, "Model Cards for Model Reporting" (FAT*), section 4. Command: ``unveil
model-card``.
"""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from unveil import registry
from unveil.common.csv_writer import markdown_cell
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, read_json, require_path, sha256
from unveil.common.paths import EXPLANATIONS, MODEL_CARD, MODELS, PROMOTION, REPORTS, VALIDATION
from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.evaluation.calibration_section import calibration_sentence, coverage_sentence
from unveil.evaluation.slices import LOOKS
from unveil.evaluation.training_conditions import conditions
from unveil.quality import datasheet
from unveil.registry import Version
from unveil.reporting.report_data import is_synthetic, read_optional
from unveil.reporting.wording import decimals, number, score, words

CardData = dict[str, Any]


def make(params: Params) -> Version:
    """Write the champion's model card and add it to its version; return the version.

    Raises ``UserError`` if there is no champion, or it was not trained and evaluated here.
    """
    version = registry.champion()
    if version is None:
        raise UserError("there is no champion yet; `make train-all` trains and promotes one")
    page = render(version, params)
    with atomic_write(MODEL_CARD) as path:
        path.write_text(page, encoding="utf-8")
    registry.add_card(version, MODEL_CARD)
    return version


def render(version: Version, params: Params) -> str:
    """Return the model card of a version that was trained and evaluated in this checkout."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "decimals": decimals,
        "number": number,
        "score": score,
        "words": words,
        "cell": markdown_cell,
    }
    data = _card_data(version, params)
    head = yaml.safe_dump(_metadata(data), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{environment.get_template('model_card.md').render(data)}"


def _card_data(version: Version, params: Params) -> CardData:
    key = version.architecture
    report, run = _report_and_run(version)
    slices = report.get("slices", {})
    own = {*LOOKS, TWIN}
    explanation = read_optional(
        EXPLANATIONS / key / "explanation.json", made_by=f"unveil explain {key}"
    )
    decision = read_optional(PROMOTION, made_by="unveil promote")
    here = decision.get("promoted") and decision.get("version") == version.number
    return {
        "version": version,
        "report": report,
        "run": run,
        "conditions_of_training": conditions(run.get("parameters", {}), report["train"]["images"]),
        **_calibration(report),
        "synthetic": is_synthetic(),
        "provenance": datasheet.SAMPLE_PROVENANCE if is_synthetic() else vars(params.provenance),
        "provenance_keys": {
            name: key for keys in datasheet.QUESTIONS.values() for name, key in keys.items()
        },
        "groups": [one for one in slices.get("slices", []) if one["dimension"] not in own],
        "conditions": [one for one in slices.get("slices", []) if one["dimension"] in own],
        "fairness": [one for one in slices.get("fairness", []) if one["dimension"] not in own],
        "rules": read_optional(VALIDATION, made_by="unveil validate").get("rules", []),
        "explanation": explanation
        if explanation.get("model_digest") == report["model_digest"]
        else {},
        "reason": decision["reason"] if here else "",
    }


def _calibration(report: CardData) -> CardData:
    section = report.get("calibration")
    if not section:
        return {}
    return {
        "calibration": calibration_sentence(section),
        "coverage": coverage_sentence(section, report["test"]["images"]),
    }


def _report_and_run(version: Version) -> tuple[CardData, CardData]:
    """Return report and ``run.json`` of a version; ``UserError`` if it was trained elsewhere."""
    folder = MODELS / version.architecture
    if not folder.exists() or registry.training_origin(folder) != version.origin:
        raise UserError(
            f"champion version {version.number}, {version.architecture}, was not trained here; "
            "its card is in MLflow"
        )
    report = read_json(
        REPORTS / version.architecture / "metrics.json",
        made_by=f"unveil evaluate {version.architecture}",
    )
    network = require_path(folder / "model.keras", made_by=f"unveil train {version.architecture}")
    if report["model_digest"] != sha256(network):
        raise UserError(f"the report of {version.architecture} is about another network")
    return report, read_json(folder / "run.json", made_by=f"unveil train {version.architecture}")


def _metadata(data: CardData) -> CardData:
    test, provenance = data["report"]["test"], data["provenance"]
    licence = str(provenance["licence"] or "not stated")
    measured = {
        "macro-F1": ("f1", test["macro_f1"], {"average": "macro"}),
        "accuracy": ("accuracy", test["accuracy"], {}),
    }
    metrics = [
        {"type": kind, "name": name, "value": round(estimate["value"], 4)}
        | ({"args": args} if args else {})
        for name, (kind, estimate, args) in measured.items()
    ]
    title = str(provenance["title"] or "not stated")
    dataset = {"type": "image", "name": title, "split": "test"}
    return {
        "license": "apache-2.0" if data["synthetic"] else "other",
        **({} if data["synthetic"] else {"license_name": licence}),
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["apparent-expression", "faces", *(["synthetic"] if data["synthetic"] else [])],
        "metrics": ["f1", "accuracy"],
        "model-index": [
            {
                "name": f"{registry.NAME} version {data['version'].number}",
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "apparent expression"},
                        "dataset": dataset,
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }
