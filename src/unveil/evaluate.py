"""model + splits -> report: numbers with intervals, predictions, pictures.

Takes ``data/04_models/ARCH`` and the packed splits; makes in
``data/05_reports/architectures/ARCH``
``metrics.json``, ``predictions.csv`` (test), ``confusion.png`` and ``curves.png``. Command:
``unveil evaluate ARCH``.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil import measures, packed, plots, train
from unveil.errors import UserError
from unveil.files import existing, replacing, sha256, write_json
from unveil.params import Params
from unveil.paths import PACKED, Place, pipeline
from unveil.schema import SPLITS

Probabilities = NDArray[np.float32]


def evaluate(key: str, params: Params, place: Place | None = None) -> dict[str, Any]:
    """Measure one trained architecture on all three splits and write its report.

    The pipeline's own training of it, or another.
    """
    place = place or pipeline(params.named(key))
    path = existing(place.model / "model.keras", made_by=f"unveil train {key}")
    network = train.load(path)
    splits = {name: packed.load(name) for name in SPLITS}
    answers = {name: probabilities(network, faces.images) for name, faces in splits.items()}
    history = pd.read_csv(place.model / "history.csv")
    metrics = {
        "architecture": key,
        "recipe": params.recipe,
        "model_digest": sha256(path),
        "test_digest": sha256(PACKED / "test.npz"),
        **{
            name: scores(faces.labels, answers[name], params.classes)
            for name, faces in splits.items()
        },
        **cost(network, history, size=path.stat().st_size),
    }
    tables = predictions(splits["test"].labels, answers["test"], params.classes)
    _write(place.report, metrics, tables, history)
    return metrics


def probabilities(network: Any, images: NDArray[np.uint8]) -> Probabilities:
    """Give the class probabilities ``(n, classes)``; refuses any that is not finite."""
    answers: Probabilities = network.predict(images, batch_size=128, verbose=0)
    if not np.isfinite(answers).all():
        raise UserError("the network's probabilities are not finite")
    return answers


def scores(
    truth: NDArray[np.int64], answers: Probabilities, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Give a split's accuracy, macro- and weighted F1 with intervals, and the classes' own."""
    matrix = measures.confusion(truth, answers.argmax(1), len(classes))
    return {
        "images": len(truth),
        "accuracy": asdict(measures.interval(measures.accuracy, matrix)),
        "macro_f1": asdict(measures.interval(measures.macro_f1, matrix)),
        "weighted_f1": asdict(measures.interval(measures.weighted_f1, matrix)),
        "classes": measures.by_class(matrix, classes),
        "confusion": matrix.tolist(),
    }


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


def predictions(
    truth: NDArray[np.int64], answers: Probabilities, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Give one row for each test image, in packed order: actual, predicted, probabilities."""
    names = np.array(classes)
    return pd.DataFrame(
        {
            "actual": names[truth],
            "predicted": names[answers.argmax(1)],
            **{f"p_{name}": answers[:, place] for place, name in enumerate(classes)},
        }
    )


def _write(
    target: Path, metrics: dict[str, Any], table: pd.DataFrame, history: pd.DataFrame
) -> None:
    with replacing(target) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", metrics)
        table.to_csv(folder / "predictions.csv", index=False)
        names = list(metrics["test"]["classes"])
        plots.confusion(folder / "confusion.png", metrics["test"]["confusion"], names)
        plots.curves(folder / "curves.png", history, title=metrics["architecture"])


def flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Give the report's numbers under the names they have in every run: ``test_macro_f1``, ..."""
    named = {
        f"{split}_{measure}": float(metrics[split][measure]["value"])
        for split in SPLITS
        for measure in ("accuracy", "macro_f1", "weighted_f1")
    }
    costs = ("parameters", "bytes", "epochs", "seconds_per_epoch", "seconds")
    return named | {name: float(metrics[name]) for name in costs}
