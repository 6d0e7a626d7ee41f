"""a trained network -> what its answers rest on, whether to believe that, and what it gets wrong.

Takes ``data/04_models/ARCH``, its report and the packed test split; makes in
``data/05_reports/explanations/ARCH`` ``explanation.json``, ``maps.png`` (Grad-CAM, LayerCAM and
occlusion, averaged for each class), ``faithfulness.png`` and ``sheets.html``. No stage of dvc.yaml:
nothing is decided by it. Command: ``unveil explain ARCH``.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from unveil.common.errors import UserError
from unveil.common.files import existing, read_json, replacing, sha256, write_json
from unveil.common.paths import EXPLANATIONS, MODELS, REPORTS
from unveil.config.params import Params
from unveil.data import dataset
from unveil.data.dataset import Faces
from unveil.evaluation import predictions
from unveil.evaluation.evaluate import probabilities
from unveil.evaluation.explain import faithfulness, pictures, saliency, sheets
from unveil.evaluation.explain.sheets import Pictures, Sheet
from unveil.training import train


def explain(key: str, params: Params) -> dict[str, Any]:
    """Explain one evaluated architecture; ``UserError`` where its report is of another network."""
    path = existing(MODELS / params.named(key) / "model.keras", made_by=f"unveil train {key}")
    digest = sha256(path)
    answers = _answers(key, digest)
    network, test = train.load(path), dataset.load("test")
    with replacing(EXPLANATIONS / key) as folder:
        folder.mkdir(parents=True)
        judged = _maps(folder, network, test, params)
        found = {"architecture": key, "model_digest": digest, **judged}
        write_json(folder / "explanation.json", found)
        chosen = sheets.sheets(answers, shown=params.report.shown)
        shown = _pictures(network, test, chosen) if params.report.thumbnails else {}
        said = {"architecture": key, "thumbnails": params.report.thumbnails}
        sheets.write(folder / "sheets.html", chosen, answers, shown, **said)
    return found


def _answers(key: str, digest: str) -> pd.DataFrame:
    """Give the predictions of the test split, in packed order, with each face's name."""
    report = read_json(REPORTS / key / "metrics.json", made_by=f"unveil evaluate {key}")
    if report["model_digest"] != digest:
        raise UserError(f"the report of {key} is of another network; `unveil evaluate {key}`")
    answers = predictions.rows(REPORTS / key, made_by=f"unveil evaluate {key}")
    return answers.assign(member=dataset.rows("test")["member"])


def _maps(folder: Path, network: Any, test: Faces, params: Params) -> dict[str, Any]:
    some = dataset.subset(test, params.report.explained, seed=params.data.seed)
    predict = partial(probabilities, network)
    asked = predict(some.images).argmax(1)
    drawn = {
        **saliency.activations(network, some.images, asked),
        "occlusion": saliency.occlusion(predict, some.images, asked),
    }
    pictures.averages(folder / "maps.png", drawn, asked, params.classes)
    drawn["random"] = faithfulness.random_maps(len(some), some.images.shape[1])
    courses = {
        method: faithfulness.courses(predict, some.images, asked, one)
        for method, one in drawn.items()
    }
    pictures.courses(folder / "faithfulness.png", courses)
    return {"images": len(some), **faithfulness.judged(courses)}


def _pictures(network: Any, test: Faces, chosen: list[Sheet]) -> Pictures:
    rows = sorted({place for sheet in chosen for place in sheet.rows})
    faces = test.images[rows]
    asked = probabilities(network, faces).argmax(1)
    heat = pictures.scaled(saliency.activations(network, faces, asked)["layercam"])
    return {
        place: [face[..., 0], pictures.overlaid(face[..., 0], own)]
        for place, face, own in zip(rows, faces, heat, strict=True)
    }
