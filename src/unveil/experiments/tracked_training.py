"""One architecture as `unveil train` and `unveil evaluate` do it: kept, reported, published.

Training makes ``model.keras``, ``history.csv`` and ``run.json`` in ``data/04_models/ARCH``. What
lies below ``.checkpoints`` stays until they are evaluated: DVC has them only some time after they
are written, and when that fails it removes them before the next try.
"""

from typing import Any

from unveil import registry
from unveil.common.files import sweep, write_json
from unveil.common.paths import Place, pipeline
from unveil.config.params import Params
from unveil.evaluation import evaluate as evaluates
from unveil.training import checkpoint
from unveil.training import train as trains
from unveil.training.train import Trained


def train(key: str, params: Params, place: Place | None = None) -> Trained:
    """Train an architecture, or end what a killed training began; MLflow may be away.

    The pipeline's own place, or another.
    """
    place = place or pipeline(params.named(key))
    with checkpoint.opened(key, params, place.checkpoints) as kept:
        with registry.reporting(key, params, kept.origin) as reporter:
            sweep(place.model)
            trained = trains.train(key, params, kept, reporter.record)
            trains.save(trained, place.model)
            write_json(place.model / "run.json", {**reporter.made, "training": kept.identity})
        if reporter.delivered:
            registry.attempt(lambda: registry.publish(key, place))
        kept.supersede(lambda origin: reporter.delivered and registry.abandon(origin))
    return trained


def evaluate(key: str, params: Params, place: Place | None = None) -> dict[str, Any]:
    """Evaluate a trained architecture; a training of it that is forced now begins anew."""
    place = place or pipeline(params.named(key))
    metrics = evaluates.evaluate(key, params, place)
    registry.attempt(lambda: registry.publish(key, place))
    checkpoint.discard(place.checkpoints, registry.origin(place.model))
    return metrics
