"""model + splits -> report: numbers with intervals, predictions, pictures.

Takes ``data/04_models/ARCH`` and the packed splits; makes in
``data/05_reports/architectures/ARCH``
``metrics.json``, ``predictions.csv`` (test) and pictures: ``confusion.png``, ``curves.png``,
``certainty.png`` and ``slices.png``. Command: ``unveil evaluate ARCH``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import existing, reading, replacing, sha256, write_json
from unveil.common.paths import PACKED, Place, pipeline
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.data import dataset
from unveil.evaluation import charts, predictions, sections
from unveil.evaluation.predictions import Predictions, Probabilities
from unveil.rendering import plots
from unveil.training import train
from unveil.training.batches import Lots


def evaluate(key: str, params: Params, place: Place | None = None) -> dict[str, Any]:
    """Measure one trained architecture on all three splits and write its report.

    The pipeline's own training of it, or another.
    """
    place = place or pipeline(params.named(key))
    path = existing(place.model / "model.keras", made_by=f"unveil train {key}")
    network = train.load(path)
    splits = {name: dataset.load(name) for name in SPLITS}
    answers = {
        name: Predictions(faces.labels, probabilities(network, faces.images))
        for name, faces in splits.items()
    }
    mirrored = probabilities(network, splits["test"].images[:, :, ::-1])
    test = answers["test"]
    with reading(place.model / "history.csv", made_by=f"unveil train {key}"):
        history = pd.read_csv(place.model / "history.csv")
    metrics = {
        "architecture": key,
        "recipe": params.recipe,
        "model_digest": sha256(path),
        "test_digest": sha256(PACKED / "test.npz"),
        **assessed(key, answers, params),
        "flip_averaged": sections.flip_averaged(test, Predictions(test.truth, mirrored)),
        **cost(network, history, size=path.stat().st_size),
    }
    _write(place.report, metrics, predictions.table(test, params.classes), history)
    return metrics


def assessed(key: str, answers: dict[str, Predictions], params: Params) -> dict[str, Any]:
    """Give all that a report says of a network's answers to the packed splits."""
    train, test = (dataset.rows(name) for name in ("train", "test"))
    count, seed = params.schedules[key].train_images, params.training.seed
    learned = answers["train"].part(dataset.places(answers["train"].truth, count, seed=seed))
    return {
        **{name: sections.scores(answers[name], params.classes) for name in SPLITS},
        "calibration": sections.certain(
            answers["validation"],
            answers["test"],
            params.decision.target_risk,
            params.decision.never_below,
        ),
        "slices": sections.sliced(answers["test"], test, train, params),
        "overfitting": {
            "gap": sections.gaps(learned, answers["validation"]),
            "twins": sections.twins(answers["test"], test, min_images=params.slices.min_images),
        },
    }


def probabilities(network: Any, images: NDArray[np.uint8]) -> Probabilities:
    """Give the class probabilities ``(n, classes)``; refuses any that is not finite."""
    answers: Probabilities = network.predict(Lots(images, size=128), verbose=0)
    if not np.isfinite(answers).all():
        raise UserError("the network's probabilities are not finite")
    return answers


def cost(network: Any, history: pd.DataFrame, *, size: int) -> dict[str, Any]:
    """Give parameters, bytes on disk, epochs, and seconds in all and per epoch of fine-tuning.

    The first epoch of each stage compiles the network; the median leaves that out.
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
    with replacing(target) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        (folder / predictions.FILE).write_text(csv_writer.text(table), encoding="utf-8")
        names = list(metrics["test"]["classes"])
        plots.confusion(folder / "confusion.png", metrics["test"]["confusion"], names)
        plots.curves(folder / "curves.png", history, title=metrics["architecture"])
        charts.certainty(folder / "certainty.png", metrics["calibration"])
        charts.slices(folder / "slices.png", metrics["slices"], metrics["test"]["macro_f1"])


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
"""The name of a number in every run, and where in a report it stands."""


def flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Give the report's numbers under the names they have in every run: ``test_macro_f1``, ...

    What a report does not say is left out: one of an older version, or without a slice that has
    enough images.
    """
    found = {name: _at(metrics, path) for name, path in FLAT.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content
