"""arrays -> how much more faces would help: one architecture, learned from parts of train.

Takes the packed splits; makes ``data/05_reports/learning_curves/ARCH/curve.json`` and
``curve.png``. The validation split judges, as the test split is kept for the last word. Command:
``unveil learning-curve ARCH``, on demand: it trains. Killed and run again, it goes on.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from unveil.common import metrics
from unveil.common.files import read_json, replacing, write_json
from unveil.common.paths import LEARNING_CURVES, MODELS
from unveil.config.params import Params
from unveil.data import dataset
from unveil.data.dataset import Faces
from unveil.evaluation import charts
from unveil.evaluation.evaluate import probabilities
from unveil.training import checkpoint
from unveil.training import train as trains

if TYPE_CHECKING:
    import keras

SHARES = (0.25, 0.5, 1.0)
"""Of the faces that the recipe learns from."""


def learning_curve(
    key: str, params: Params, shares: Sequence[float] = SHARES
) -> list[dict[str, Any]]:
    """Learn from each share, with the recipe's schedule, and measure train and validation."""
    schedule, train = params.schedules[params.named(key)], dataset.load("train")
    whole = min(schedule.train_images or len(train), len(train))
    parts = {
        share: params if share == 1 else _with_images(key, params, round(share * whole))
        for share in shares
    }
    points = [{"share": share, **_point(key, part, train)} for share, part in parts.items()]
    for share, part in parts.items():
        if share != 1:
            with checkpoint.opened(key, part) as kept:
                kept.remove()
    with replacing(LEARNING_CURVES / key) as folder:
        folder.mkdir()
        write_json(folder / "curve.json", {"architecture": key, "points": points})
        charts.learning_curve(folder / "curve.png", points, title=key)
    return points


def table(points: Sequence[dict[str, Any]]) -> str:
    """Write the points as Markdown."""
    rows = [
        f"| {100 * point['share']:g} % | {point['images']:,} "
        f"| {metrics.Estimate(**point['train']['macro_f1'])} "
        f"| {metrics.Estimate(**point['validation']['macro_f1'])} |"
        for point in points
    ]
    head = "| share | images learned from | train macro-F1 | validation macro-F1 |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def _with_images(key: str, params: Params, count: int) -> Params:
    # mypy does not know pydantic's dataclasses for what they are.
    schedule = replace(params.schedules[key], train_images=max(1, count))  # type: ignore[type-var]
    return replace(params, schedules={**params.schedules, key: schedule})


def _point(key: str, params: Params, train: Faces) -> dict[str, Any]:
    network = _network(key, params)
    count = params.schedules[key].train_images
    learned = dataset.subset(train, count, seed=params.training.seed)
    return {
        "images": len(learned),
        "train": _scores(network, learned),
        "validation": _scores(network, dataset.load("validation")),
    }


def _scores(network: "keras.Model", faces: Faces) -> dict[str, Any]:
    answers = probabilities(network, faces.images)
    matrix = metrics.confusion(faces.labels, answers.argmax(1), answers.shape[1])
    return {
        name: asdict(metrics.interval(getattr(metrics, name), matrix))
        for name in ("accuracy", "macro_f1")
    }


def _network(key: str, params: Params) -> "keras.Model":
    """Train, or take what `unveil train` made of the same."""
    folder = MODELS / key
    with checkpoint.opened(key, params) as kept:
        if (folder / "run.json").exists() and (folder / "model.keras").exists():
            made = read_json(folder / "run.json", made_by=f"unveil train {key}")
            if made.get("training") == kept.identity:
                return trains.load(folder / "model.keras")
        return trains.train(key, params, kept, lambda row: None).network
