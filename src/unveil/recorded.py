"""One architecture as `unveil train` and `unveil evaluate` do it: kept, reported, published.

Training makes ``model.keras``, ``history.csv`` and ``run.json`` in ``data/04_models/ARCH``. What
lies below ``.checkpoints`` stays until they are evaluated: DVC has them only some time after they
are written, and when that fails it removes them before the next try.
"""

from typing import Any

from unveil import checkpoint, registry
from unveil import evaluate as evaluates
from unveil import train as trains
from unveil.files import sweep, write_json
from unveil.params import Params
from unveil.paths import MODELS
from unveil.train import Trained


def train(key: str, params: Params) -> Trained:
    """Train an architecture, or end what a killed training began; MLflow may be away."""
    folder = MODELS / params.named(key)
    with checkpoint.opened(key, params) as kept:
        with registry.reporting(key, params, kept.origin) as reporter:
            sweep(folder)
            trained = trains.train(key, params, kept, reporter.record)
            trains.save(trained, folder)
            write_json(folder / "run.json", {**reporter.made, "training": kept.identity})
        if reporter.delivered:
            registry.attempt(lambda: registry.publish(key))
        kept.supersede(lambda origin: reporter.delivered and registry.abandon(origin))
    return trained


def evaluate(key: str, params: Params) -> dict[str, Any]:
    """Evaluate a trained architecture; a training of it that is forced now begins anew."""
    metrics = evaluates.evaluate(key, params)
    registry.attempt(lambda: registry.publish(key))
    checkpoint.discard(key, registry.origin(MODELS / key))
    return metrics
