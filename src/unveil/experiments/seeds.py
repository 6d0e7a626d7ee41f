"""One architecture trained with several seeds: mean, standard deviation and ensemble.

The first seed is the pipeline's own training, ``data/04_models/ARCH``; the others are in
``data/09_seeds/ARCH/SEED``. Writes ``data/05_reports/seeds/ARCH.json``. Command:
``unveil train ARCH --seeds N``. Trainings that match the current parameters, data and code are not
repeated.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from unveil.common.errors import UserError
from unveil.common.files import read_json, sha256, write_json
from unveil.common.paths import PACKED, SEED_REPORTS, TrainingPaths, pipeline_paths, seed_paths
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import SEEDS
from unveil.evaluation import predictions
from unveil.evaluation.metrics import Estimate, confidence_interval, macro_f1, paired_difference
from unveil.evaluation.paired_comparison import format_signed
from unveil.experiments import tracked_training
from unveil.training import checkpoint


@dataclass(frozen=True)
class Spread:
    """Test macro-F1 over seeds: mean, standard deviation and the mean's 95 % interval."""

    mean: float
    sd: float
    low: float
    high: float


def train(key: str, params: Params, count: int) -> dict[str, Any]:
    """Train and evaluate ``count`` seeds, at least two, and write the summary.

    Raises ``UserError`` if the range of seeds from ``training.seed`` on is too small.
    """
    first = params.training.seed
    if first + count > SEEDS:
        raise UserError(f"training.seed {first} leaves fewer than {count} seeds below {SEEDS}")
    rows = [_seed_result(key, params, seed) for seed in range(first, first + count)]
    result = {
        "architecture": key,
        "recipe": params.recipe,
        "test_macro_f1": asdict(spread([row["test_macro_f1"]["value"] for row in rows])),
        "seeds": rows,
        "ensemble": ensemble(rows, [_place(key, params, row["seed"]) for row in rows], params),
    }
    write_json(SEED_REPORTS / f"{key}.json", result)
    return result


def ensemble(
    rows: list[dict[str, Any]], places: list[TrainingPaths], params: Params
) -> dict[str, Any]:
    """Return the test macro-F1 of the ensemble and its lead over the single best network.

    The ensemble averages the networks' probabilities. The best network is chosen on validation.
    """
    by = "unveil train --seeds"
    answers = [predictions.read(place.report, params.classes, made_by=by) for place in places]
    mean, classes = predictions.average(answers), len(params.classes)
    best = max(range(len(rows)), key=lambda at: rows[at]["validation_macro_f1"]["value"])
    lead = paired_difference(mean.truth, mean.predicted, answers[best].predicted, classes=classes)
    return {
        "test_macro_f1": asdict(confidence_interval(macro_f1, mean.confusion)),
        "best_seed": rows[best]["seed"],
        "lead": asdict(lead),
    }


def spread(values: list[float]) -> Spread:
    """Return the mean of at least two trainings with Student's interval, n - 1 degrees of freedom.

    It covers the variation between seeds on these test images; each training's own interval covers
    the choice of test images.
    """
    from scipy import stats

    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return Spread(mean, sd, mean - half, mean + half)


def table(result: dict[str, Any]) -> str:
    """Format the result of `train`: one line for each seed, two for all."""
    over, key = result["test_macro_f1"], result["architecture"]
    lines = [
        f"{key}, seed {row['seed']}: test macro-F1 {Estimate(**row['test_macro_f1'])}"
        for row in result["seeds"]
    ]
    bounds = f"95 % interval of the mean [{over['low']:.3f}, {over['high']:.3f}]"
    mean = f"mean {over['mean']:.3f}, standard deviation {over['sd']:.3f}, {bounds}"
    ensemble = result["ensemble"]
    lead = f"{format_signed(Estimate(**ensemble['lead']))} over seed {ensemble['best_seed']}"
    text = f"ensemble (mean probabilities) {Estimate(**ensemble['test_macro_f1'])}, {lead}"
    count = f"{key}, {len(lines)} seeds:"
    return "\n".join([*lines, f"{count} {mean}", f"{count} {text}, the best on validation"])


def _seed_result(key: str, params: Params, seed: int) -> dict[str, Any]:
    place = _place(key, params, seed)
    # mypy does not know pydantic's dataclasses for dataclasses.
    training = replace(params.training, seed=seed)
    seeded = replace(params, training=training)
    if not _trained(key, seeded, place.model):
        tracked_training.train(key, seeded, place)
    if not _evaluated(place):
        tracked_training.evaluate(key, seeded, place)
    metrics = read_json(place.report / "metrics.json", made_by=f"unveil evaluate {key}")
    named = ("model_digest", "epochs", "seconds")
    return {
        "seed": seed,
        **{f"{split}_macro_f1": metrics[split]["macro_f1"] for split in SPLITS},
        **{name: metrics[name] for name in named},
    }


def _place(key: str, params: Params, seed: int) -> TrainingPaths:
    return pipeline_paths(key) if seed == params.training.seed else seed_paths(key, seed)


def _trained(key: str, params: Params, folder: Path) -> bool:
    made = _read(folder / "run.json")
    return bool(made) and made.get("training") == checkpoint.identity(key, params)


def _evaluated(place: TrainingPaths) -> bool:
    metrics = _read(place.report / "metrics.json")
    return bool(metrics) and (metrics["model_digest"], metrics["test_digest"]) == (
        sha256(place.model / "model.keras"),
        sha256(PACKED / "test.npz"),
    )


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], read_json(path, made_by="unveil train")) if path.exists() else {}
