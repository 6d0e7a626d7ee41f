"""Model + splits -> report: metrics with intervals, predictions, charts.

Takes ``data/04_models/ARCH`` and the packed splits; writes to
``data/05_reports/architectures/ARCH``: ``metrics.json``, ``scores.json`` (a few of them, for
`dvc metrics show`), ``predictions.csv`` (test), ``confusion.png``, ``curves.png``,
``certainty.png`` (calibration) and ``slices.png``. Command: ``unveil evaluate ARCH``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, reading_artifact, require_path, sha256, write_json
from unveil.common.paths import PACKED, TrainingPaths, pipeline_paths
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.dataset import arrays
from unveil.evaluation import charts, predictions, report_sections
from unveil.evaluation.calibration_section import calibration_section
from unveil.evaluation.predictions import Predictions, Probabilities
from unveil.rendering import plots
from unveil.training import train
from unveil.training.batches import ValidationBatches

HEADLINE = ("test_macro_f1", "test_accuracy", "validation_macro_f1", "test_ece", "test_coverage")
"""The metrics in ``scores.json``; all are in ``metrics.json``."""


def evaluate(key: str, params: Params, place: TrainingPaths | None = None) -> dict[str, Any]:
    """Evaluate one trained architecture on all three splits and write its report.

    ``place`` is where model and report are; by default the pipeline's.
    """
    place = place or pipeline_paths(params.require_architecture(key))
    path = require_path(place.model / "model.keras", made_by=f"unveil train {key}")
    network = train.load(path)
    splits = {name: arrays.load(name) for name in SPLITS}
    answers = {
        name: Predictions(faces.labels, probabilities(network, faces.images))
        for name, faces in splits.items()
    }
    mirrored = probabilities(network, splits["test"].images[:, :, ::-1])
    test = answers["test"]
    with reading_artifact(place.model / "history.csv", made_by=f"unveil train {key}"):
        history = pd.read_csv(place.model / "history.csv")
    metrics = {
        "architecture": key,
        "recipe": params.recipe,
        "model_digest": sha256(path),
        "test_digest": sha256(PACKED / "test.npz"),
        **prediction_sections(key, answers, params),
        "flip_averaged": report_sections.flip_averaged(test, Predictions(test.truth, mirrored)),
        **cost(network, history, size=path.stat().st_size),
    }
    _write(place.report, metrics, predictions.table(test, params.classes), history)
    return metrics


def prediction_sections(
    key: str, answers: dict[str, Predictions], params: Params
) -> dict[str, Any]:
    """Return the sections of a report that depend on the predictions for the packed splits."""
    train, test = (arrays.load_metadata(name) for name in ("train", "test"))
    count, seed = params.schedules[key].train_images, params.training.seed
    learned = answers["train"].subset(
        arrays.stratified_indices(answers["train"].truth, count, seed=seed)
    )
    return {
        **{name: report_sections.scores(answers[name], params.classes) for name in SPLITS},
        "calibration": calibration_section(
            answers["validation"], answers["test"], params.decision, params.classes
        ),
        "slices": report_sections.slice_section(answers["test"], test, train, params),
        "overfitting": {
            "gap": report_sections.generalization_gap(learned, answers["validation"]),
            "twins": report_sections.near_twin_section(
                answers["test"], test, min_images=params.slices.min_images
            ),
        },
    }


def probabilities(network: Any, images: NDArray[np.uint8]) -> Probabilities:
    """Predict class probabilities ``(n, classes)``; ``UserError`` if any is not finite."""
    answers: Probabilities = network.predict(ValidationBatches(images, size=128), verbose=0)
    if not np.isfinite(answers).all():
        raise UserError("the network's probabilities are not finite")
    return answers


def cost(network: Any, history: pd.DataFrame, *, size: int) -> dict[str, Any]:
    """Return parameters, bytes on disk, epochs, total seconds and seconds per fine-tuning epoch.

    The latter is a median: the first epoch of each stage includes compilation.
    """
    fine = history.loc[history["stage"] == history["stage"].max(), "seconds"]
    return {
        "parameters": int(network.count_params()),
        "bytes": size,
        "epochs": len(history),
        "seconds_per_epoch": float(fine.median()),
        "seconds": float(history["seconds"].sum()),
    }


def _write(
    target: Path, metrics: dict[str, Any], table: pd.DataFrame, history: pd.DataFrame
) -> None:
    with atomic_write(target) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "scores.json", _headline(metrics))
        (folder / predictions.FILE).write_text(csv_writer.to_csv(table), encoding="utf-8")
        names = list(metrics["test"]["classes"])
        plots.confusion_matrix(folder / "confusion.png", metrics["test"]["confusion"], names)
        plots.learning_curves(folder / "curves.png", history, title=metrics["architecture"])
        charts.certainty(folder / "certainty.png", metrics["calibration"])
        charts.slices(folder / "slices.png", metrics["slices"], metrics["test"]["macro_f1"])


def _headline(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the few scores of `dvc metrics show`, with three decimals."""
    found = flat(metrics)
    return {name: round(found[name], 3) for name in HEADLINE if name in found}


FLAT = {
    **{
        f"{split}_{measure}": (split, measure, "value")
        for split in SPLITS
        for measure in ("accuracy", "macro_f1", "weighted_f1")
    },
    "test_kappa": ("test", "kappa", "value"),
    **{
        f"test_{measure}": ("calibration", "test", measure, "value")
        for measure in ("log_loss", "brier", "ece", "accuracy_at_90", "coverage", "risk")
    },
    "temperature": ("calibration", "temperature"),
    "worst_slice_macro_f1": ("slices", "worst", "macro_f1", "value"),
    "gap_macro_f1": ("overfitting", "gap", "macro_f1", "value"),
    "flip_averaged_macro_f1": ("flip_averaged", "macro_f1", "value"),
    **{name: (name,) for name in ("parameters", "bytes", "epochs", "seconds_per_epoch", "seconds")},
}
"""The name of each metric in MLflow runs, and its path in a report."""


def flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Flatten a report into metrics under their names in MLflow runs: ``test_macro_f1``, ...

    Metrics missing from the report are left out: it may be of an older version, or no slice may
    have enough images.
    """
    found = {name: _at(metrics, path) for name, path in FLAT.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content
