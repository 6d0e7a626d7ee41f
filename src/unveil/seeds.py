"""One architecture trained from several seeds: how far they lie apart, and what they say together.

The first seed's training is the pipeline's own, ``data/04_models/ARCH``; the others lie in
``data/09_seeds/ARCH/SEED``. Makes ``data/05_reports/seeds/ARCH.json``. Command:
``unveil train ARCH --seeds N``. What is there and still as parameters, data and code have it is
not made again.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from unveil import checkpoint, predictions, recorded
from unveil.errors import UserError
from unveil.files import read_json, sha256, write_json
from unveil.measures import Estimate, interval, macro_f1, paired_difference
from unveil.pairs import signed
from unveil.params import Params
from unveil.paths import PACKED, SPREADS, Place, of_seed, pipeline
from unveil.schema import SEEDS, SPLITS


@dataclass(frozen=True)
class Spread:
    """Test macro-F1 over seeds: their mean, standard deviation and the mean's 95 % interval."""

    mean: float
    sd: float
    low: float
    high: float


def train(key: str, params: Params, count: int) -> dict[str, Any]:
    """Train and evaluate ``count`` seeds, two or more, and write what they say together.

    A ``UserError`` says so where there are not as many from ``training.seed`` on.
    """
    first = params.training.seed
    if first + count > SEEDS:
        raise UserError(f"training.seed {first} leaves no {count} seeds under {SEEDS}")
    rows = [_row(key, params, seed) for seed in range(first, first + count)]
    told = {
        "architecture": key,
        "recipe": params.recipe,
        "test_macro_f1": asdict(spread([row["test_macro_f1"]["value"] for row in rows])),
        "seeds": rows,
        "ensemble": ensemble(rows, [_place(key, params, row["seed"]) for row in rows], params),
    }
    write_json(SPREADS / f"{key}.json", told)
    return told


def ensemble(rows: list[dict[str, Any]], places: list[Place], params: Params) -> dict[str, Any]:
    """Give the test macro-F1 of the networks' mean answer, and by how much it leads one of them.

    That one is the best on validation: who takes one network alone takes this.
    """
    by = "unveil train --seeds"
    answers = [predictions.read(place.report, params.classes, made_by=by) for place in places]
    mean, classes = predictions.together(answers), len(params.classes)
    best = max(range(len(rows)), key=lambda at: rows[at]["validation_macro_f1"]["value"])
    lead = paired_difference(mean.truth, mean.predicted, answers[best].predicted, classes=classes)
    return {
        "test_macro_f1": asdict(interval(macro_f1, mean.confusion)),
        "best_seed": rows[best]["seed"],
        "lead": asdict(lead),
    }


def spread(values: list[float]) -> Spread:
    """Give the mean of two or more trainings with Student's interval, n - 1 degrees of freedom.

    It is about the seed alone, on these test images; each training's own interval is about them.
    """
    from scipy import stats

    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return Spread(mean, sd, mean - half, mean + half)


def table(told: dict[str, Any]) -> str:
    """Write what `train` gives as lines for people: one for each seed, two for all."""
    over, key = told["test_macro_f1"], told["architecture"]
    lines = [
        f"{key}, seed {row['seed']}: test macro-F1 {Estimate(**row['test_macro_f1'])}"
        for row in told["seeds"]
    ]
    bounds = f"95 % interval of the mean [{over['low']:.4f}, {over['high']:.4f}]"
    mean = f"mean {over['mean']:.4f}, standard deviation {over['sd']:.4f}, {bounds}"
    together = told["ensemble"]
    lead = f"{signed(Estimate(**together['lead']))} to seed {together['best_seed']}"
    mean_answer = f"their mean answer {Estimate(**together['test_macro_f1'])}, {lead}"
    count = f"{key}, {len(lines)} seeds:"
    return "\n".join([*lines, f"{count} {mean}", f"{count} {mean_answer}, the best on validation"])


def _row(key: str, params: Params, seed: int) -> dict[str, Any]:
    place = _place(key, params, seed)
    # mypy does not know pydantic's dataclasses for dataclasses.
    training = replace(params.training, seed=seed)  # type: ignore[type-var]
    seeded = replace(params, training=training)
    if not _trained(key, seeded, place.model):
        recorded.train(key, seeded, place)
    if not _evaluated(place):
        recorded.evaluate(key, seeded, place)
    metrics = read_json(place.report / "metrics.json", made_by=f"unveil evaluate {key}")
    named = ("model_digest", "epochs", "seconds")
    return {
        "seed": seed,
        **{f"{split}_macro_f1": metrics[split]["macro_f1"] for split in SPLITS},
        **{name: metrics[name] for name in named},
    }


def _place(key: str, params: Params, seed: int) -> Place:
    return pipeline(key) if seed == params.training.seed else of_seed(key, seed)


def _trained(key: str, params: Params, folder: Path) -> bool:
    made = _read(folder / "run.json")
    return bool(made) and made.get("training") == checkpoint.identity(key, params)


def _evaluated(place: Place) -> bool:
    metrics = _read(place.report / "metrics.json")
    return bool(metrics) and (metrics["model_digest"], metrics["test_digest"]) == (
        sha256(place.model / "model.keras"),
        sha256(PACKED / "test.npz"),
    )


def _read(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], read_json(path, made_by="unveil train")) if path.exists() else {}
