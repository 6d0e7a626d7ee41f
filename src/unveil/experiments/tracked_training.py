"""Training and evaluation of one architecture with checkpoints, published to MLflow.

Training writes ``model.keras``, ``history.csv`` and ``run.json`` to ``data/04_models/ARCH``. The
checkpoints are kept until the evaluation: DVC caches outputs only after the command ends, and
removes uncached outputs before a retry.
"""

from typing import Any

from unveil import registry
from unveil.common.files import remove_stale, write_json
from unveil.common.paths import TrainingPaths, pipeline_paths
from unveil.config.params import Params
from unveil.evaluation import evaluate as evaluates
from unveil.experiments import epoch_lines, teachers
from unveil.training import checkpoint
from unveil.training import train as trains
from unveil.training.train import TrainingResult


def train(key: str, params: Params, place: TrainingPaths | None = None) -> TrainingResult:
    """Train an architecture, or resume an interrupted run; MLflow may be unavailable.

    ``place`` is where model, report and checkpoints are; by default the pipeline's.
    """
    place = place or pipeline_paths(params.require_architecture(key))
    taught = teachers.teaching(key, params)
    with checkpoint.opened(key, params, place.checkpoints) as checkpoints:
        with registry.reporting(key, params, checkpoints.origin) as reporter:
            remove_stale(place.model)
            record = epoch_lines.with_lines(reporter.record, key, params.schedules[key])
            trained = trains.train(key, params, checkpoints, record, taught)
            trains.save(trained, place.model)
            write_json(
                place.model / "run.json", {**reporter.training, "training": checkpoints.identity}
            )
        if reporter.delivered:
            registry.try_or_warn(lambda: registry.publish(key, place))
        checkpoints.supersede(lambda origin: reporter.delivered and registry.mark_killed(origin))
    return trained


def evaluate(key: str, params: Params, place: TrainingPaths | None = None) -> dict[str, Any]:
    """Evaluate a trained architecture, publish the result and remove its checkpoints."""
    place = place or pipeline_paths(params.require_architecture(key))
    metrics = evaluates.evaluate(key, params, place)
    registry.try_or_warn(lambda: registry.publish(key, place))
    checkpoint.discard(place.checkpoints, registry.training_origin(place.model))
    return metrics
