"""A trained network -> saliency maps, their faithfulness, and contact sheets of its errors.

Takes ``data/04_models/ARCH``, its report and the packed test split; writes to
``data/05_reports/explanations/ARCH`` ``explanation.json``, ``maps.png`` (Grad-CAM, LayerCAM and
occlusion, averaged per class), ``faithfulness.png`` and ``sheets.html``. Not a stage of dvc.yaml:
nothing depends on it. Command: ``unveil explain ARCH``.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, read_json, require_path, sha256, write_json
from unveil.common.paths import EXPLANATIONS, MODELS, REPORTS
from unveil.config.params import Params
from unveil.data import synthetic
from unveil.dataset import arrays
from unveil.dataset.arrays import Faces
from unveil.evaluation import predictions
from unveil.evaluation.evaluate import probabilities
from unveil.evaluation.explain import faithfulness, pictures, saliency, sheets
from unveil.evaluation.explain.sheets import Pictures, Sheet
from unveil.training import train


def explain(key: str, params: Params) -> dict[str, Any]:
    """Explain one evaluated architecture; ``UserError`` if its report is of another network."""
    path = require_path(
        MODELS / params.require_architecture(key) / "model.keras", made_by=f"unveil train {key}"
    )
    digest = sha256(path)
    answers = _answers(key, digest)
    network, test = train.load(path), arrays.load("test")
    with atomic_write(EXPLANATIONS / key) as folder:
        folder.mkdir(parents=True)
        faithful = _maps(folder, network, test, params)
        result = {"architecture": key, "model_digest": digest, **faithful}
        write_json(folder / "explanation.json", result)
        chosen = sheets.sheets(answers, shown=params.report.shown)
        drawn = synthetic.are_all_drawn(answers["member"])
        allowed = params.report.thumbnails or drawn
        shown = _pictures(network, test, chosen) if allowed else {}
        context = {"architecture": key, "thumbnails": allowed, "drawn": drawn}
        sheets.write(folder / "sheets.html", chosen, answers, shown, **context)
    return result


def _answers(key: str, digest: str) -> pd.DataFrame:
    """Read the predictions for the test split, in packed order, with each face's member name."""
    report = read_json(REPORTS / key / "metrics.json", made_by=f"unveil evaluate {key}")
    if report["model_digest"] != digest:
        message = f"the report of {key} belongs to another network"
        raise UserError(f"{message}; `unveil evaluate {key}` writes a new one")
    answers = predictions.rows(REPORTS / key, made_by=f"unveil evaluate {key}")
    return answers.assign(member=arrays.load_metadata("test")["member"])


def _maps(folder: Path, network: Any, test: Faces, params: Params) -> dict[str, Any]:
    some = arrays.subset(test, params.report.explained, seed=params.data.seed)
    predict = partial(probabilities, network)
    predicted = predict(some.images).argmax(1)
    drawn = {
        **saliency.activation_maps(network, some.images, predicted),
        "occlusion": saliency.occlusion(predict, some.images, predicted),
    }
    pictures.averages(folder / "maps.png", drawn, predicted, params.classes)
    drawn["random"] = faithfulness.random_maps(len(some), some.images.shape[1])
    curves = {
        method: faithfulness.perturbation_curves(predict, some.images, predicted, one)
        for method, one in drawn.items()
    }
    pictures.perturbation_curves(folder / "faithfulness.png", curves)
    return {"images": len(some), **faithfulness.summarize(curves)}


def _pictures(network: Any, test: Faces, chosen: list[Sheet]) -> Pictures:
    rows = sorted({place for sheet in chosen for place in sheet.rows})
    faces = test.images[rows]
    predicted = probabilities(network, faces).argmax(1)
    heat = pictures.rescale(saliency.activation_maps(network, faces, predicted)["layercam"])
    return {
        place: [face[..., 0], pictures.overlay(face[..., 0], own)]
        for place, face, own in zip(rows, faces, heat, strict=True)
    }
