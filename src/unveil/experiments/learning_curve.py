"""Learning curve: one architecture trained on growing shares of train.

Takes the packed splits; writes ``data/05_reports/learning_curves/ARCH/curve.json`` and
``curve.png``. Scores are on validation; the test split is reserved for the final evaluation.
Command: ``unveil learning-curve ARCH``. It trains; interrupted runs resume.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from unveil.common.files import atomic_write, read_json, write_json
from unveil.common.paths import LEARNING_CURVES, MODELS
from unveil.config.params import Params
from unveil.dataset import arrays
from unveil.dataset.arrays import Faces
from unveil.evaluation import charts, metrics
from unveil.evaluation.evaluate import probabilities
from unveil.experiments import teachers
from unveil.training import checkpoint
from unveil.training import train as trains

if TYPE_CHECKING:
    import keras

SHARES = (0.25, 0.5, 1.0)
"""Shares of the recipe's training faces."""


def learning_curve(
    key: str, params: Params, shares: Sequence[float] = SHARES
) -> list[dict[str, Any]]:
    """Train on each share, with the recipe's schedule, and score train and validation."""
    schedule, train = params.schedules[params.require_architecture(key)], arrays.load("train")
    whole = min(schedule.train_images or len(train), len(train))
    parts = {
        share: params if share == 1 else _with_images(key, params, round(share * whole))
        for share in shares
    }
    points = [{"share": share, **_point(key, part, train)} for share, part in parts.items()]
    for share, part in parts.items():
        if share != 1:
            with checkpoint.opened(key, part) as checkpoints:
                checkpoints.remove()
    with atomic_write(LEARNING_CURVES / key) as folder:
        folder.mkdir()
        write_json(folder / "curve.json", {"architecture": key, "points": points})
        charts.learning_curve(folder / "curve.png", points, title=key)
    return points


def table(points: Sequence[dict[str, Any]]) -> str:
    """Format the points as Markdown."""
    rows = [
        f"| {100 * point['share']:g} % | {point['images']:,} "
        f"| {metrics.Estimate(**point['train']['macro_f1'])} "
        f"| {metrics.Estimate(**point['validation']['macro_f1'])} |"
        for point in points
    ]
    head = "| share | training images | train macro-F1 | validation macro-F1 |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def _with_images(key: str, params: Params, count: int) -> Params:
    # mypy does not recognize pydantic's dataclasses.
    schedule = replace(params.schedules[key], train_images=max(1, count))
    return replace(params, schedules={**params.schedules, key: schedule})


def _point(key: str, params: Params, train: Faces) -> dict[str, Any]:
    network = _network(key, params)
    count = params.schedules[key].train_images
    learned = arrays.subset(train, count, seed=params.training.seed)
    return {
        "images": len(learned),
        "train": _scores(network, learned),
        "validation": _scores(network, arrays.load("validation")),
    }


def _scores(network: "keras.Model", faces: Faces) -> dict[str, Any]:
    answers = probabilities(network, faces.images)
    matrix = metrics.confusion_matrix(faces.labels, answers.argmax(1), answers.shape[1])
    return {
        name: asdict(metrics.confidence_interval(getattr(metrics, name), matrix))
        for name in ("accuracy", "macro_f1")
    }


def _network(key: str, params: Params) -> "keras.Model":
    """Train, or load the model of `unveil train` if it has the same identity."""
    folder = MODELS / key
    with checkpoint.opened(key, params) as checkpoints:
        if (folder / "run.json").exists() and (folder / "model.keras").exists():
            made = read_json(folder / "run.json", made_by=f"unveil train {key}")
            if made.get("training") == checkpoints.identity:
                return trains.load(folder / "model.keras")
        taught = teachers.teaching(key, params)
        return trains.train(key, params, checkpoints, lambda row: None, taught).network
