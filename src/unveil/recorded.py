"""One training as `unveil train ARCH` does it: kept, reported, its files written, published.

Makes ``model.keras``, ``history.csv`` and ``run.json`` in ``data/04_models/ARCH``; what lies below
``.checkpoints`` is removed once they are there.
"""

from unveil import checkpoint, registry
from unveil import train as trains
from unveil.files import sweep, write_json
from unveil.params import Params
from unveil.paths import MODELS
from unveil.train import Trained


def train(key: str, params: Params) -> Trained:
    """Train an architecture, or end what a killed training began; MLflow may be away."""
    folder = MODELS / params.named(key)
    with (
        checkpoint.opened(key, params) as kept,
        registry.reporting(key, params, kept.origin) as reporter,
    ):
        sweep(folder)
        trained = trains.train(key, params, kept, reporter.record)
        trains.save(trained, folder)
        made = {"origin": kept.origin, "training": kept.identity, "tags": reporter.tags}
        write_json(folder / "run.json", made)
        kept.complete()
    if reporter.delivered:
        registry.attempt(lambda: registry.publish(key, params))
    return trained
