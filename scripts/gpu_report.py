"""Train every entry with a recipe on packed faces, time it, and write a table: for a GPU at hand.

Takes a folder with ``params.yaml`` and ``data/03_packed``, the package, Keras and one backend;
neither DVC, MLflow nor Prefect. Makes below ``--to`` a folder for each entry (``model.keras``,
``history.csv``, ``result.json``) and ``table.md``. Run again it goes on: what is done is not done
again, and a killed training goes on after its last epoch. Exit code 1 where an entry failed.

    KERAS_BACKEND=jax python scripts/gpu_report.py --project FOLDER --entries cnn5_gray vgg16
"""

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unveil.common import backend

backend.load()

from unveil.common.errors import UserError  # noqa: E402
from unveil.common.files import atomic_write, read_json, sha256, write_json  # noqa: E402
from unveil.config import params, provenance  # noqa: E402
from unveil.dataset import arrays  # noqa: E402
from unveil.evaluation import evaluate, report_sections  # noqa: E402
from unveil.evaluation.metrics import format_estimate  # noqa: E402
from unveil.evaluation.predictions import Predictions  # noqa: E402
from unveil.experiments import teachers  # noqa: E402
from unveil.networks import Transfer  # noqa: E402
from unveil.training import checkpoint, devices, train  # noqa: E402

RESULT = "result.json"
COLUMNS = (
    *("entry", "weights", "machine", "precision", "parameters", "epochs"),
    *("seconds per epoch", "images/s", "minutes"),
    *("validation macro-F1", "test macro-F1", "test accuracy"),
)


def main() -> int:
    """Train what is asked for, in its order, and write the table after each entry."""
    asked = _arguments()
    _enter(asked.project)
    loaded = _params(asked)
    failed = {}
    for key in [loaded.require_architecture(key) for key in asked.entries or loaded.architectures]:
        folder = asked.to / key
        print(f"{datetime.now(UTC):%H:%M} {key}", file=sys.stderr)
        try:
            _result(key, loaded, folder)
        except UserError as error:
            failed[key] = str(error)
        with atomic_write(asked.to / "table.md") as path:
            path.write_text(_table(loaded, asked.to, failed))
    print((asked.to / "table.md").read_text())
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="the folder of params.yaml")
    parser.add_argument("--to", type=Path, default=Path("gpu_report"), help="in that folder")
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--entries", nargs="+", help="some of the architectures; else all")
    parser.add_argument("--epochs", type=_positive, help="of each stage, at most")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "auto"))
    parser.add_argument(
        "--random-weights", action="store_true", help="backbones learn all layers from scratch"
    )
    return parser.parse_args()


def _positive(said: str) -> int:
    if not said.isdecimal() or int(said) < 1:
        raise argparse.ArgumentTypeError(f"{said!r} is no whole number from 1 on")
    return int(said)


def _enter(project: Path) -> None:
    try:
        os.chdir(project)
    except OSError as error:
        raise UserError(f"no project in {str(project)!r}: {error.strerror}") from None


def _params(asked: argparse.Namespace) -> params.Params:
    """Load the project's parameters in the recipe asked for, its own file untouched."""
    params.require_recipe(asked.recipe)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy("params.yaml", folder))
        params.choose_recipe(asked.recipe, copy)
        loaded = params.load(copy)
    precision = asked.precision or loaded.training.precision
    entries = loaded.architectures
    backbones = {key: entry for key, entry in entries.items() if isinstance(entry, Transfer)}
    scratch = backbones if asked.random_weights else {}
    return dataclasses.replace(
        loaded,
        architectures={
            **entries,
            **{
                key: dataclasses.replace(entry, weights="none", sha256=None)
                for key, entry in scratch.items()
            },
        },
        training=dataclasses.replace(loaded.training, precision=precision),
        schedules={
            key: _schedule(schedule, asked.epochs, scratch=key in scratch)
            for key, schedule in loaded.schedules.items()
        },
    )


def _schedule(schedule: Any, most: int | None, *, scratch: bool) -> Any:
    """Cut the stages; a backbone ``scratch`` learns in all layers, at the first stage's rate."""
    rate = schedule.stages[0].learning_rate
    changes = {"trainable_from": "all", "learning_rate": rate} if scratch else {}
    stages = [
        dataclasses.replace(stage, epochs=min(stage.epochs, most or stage.epochs), **changes)
        for stage in schedule.stages
    ]
    return dataclasses.replace(schedule, stages=tuple(stages))


def _result(key: str, loaded: params.Params, folder: Path) -> None:
    """Train and measure an entry, unless this very training is done."""
    if _done(key, loaded, folder):
        return
    with checkpoint.opened(key, loaded) as kept:
        taught = teachers.teaching(key, loaded)
        trained = train.train(key, loaded, kept, lambda row: None, taught)
        train.save(trained, folder)
        result = _measured(key, loaded, trained, folder)
        identity = checkpoint.identity(key, loaded)
        write_json(folder / RESULT, {"identity": identity, **result})
        kept.remove()


def _measured(
    key: str, loaded: params.Params, trained: train.TrainingResult, folder: Path
) -> dict[str, Any]:
    path = folder / "model.keras"
    test = arrays.load("test")
    answers = evaluate.probabilities(trained.network, test.images)
    entry = loaded.architectures[key]
    count, seed = loaded.schedules[key].train_images, loaded.training.seed
    on_gpu = any("gpu" in name for name in devices.visible_devices())
    return {
        "architecture": key,
        "weights": getattr(entry, "weights", "none"),
        "precision": devices.precision(key, loaded),
        "machine": provenance.device_name(provenance.hardware(), on_gpu=on_gpu),
        "images": len(arrays.subset(arrays.load("train"), count, seed=seed)),
        "validation_macro_f1": float(trained.history["val_macro_f1"].max()),
        "test": report_sections.scores(Predictions(test.labels, answers), loaded.classes),
        "model_digest": sha256(path),
        **evaluate.cost(trained.network, trained.history, size=path.stat().st_size),
    }


def _done(key: str, loaded: params.Params, folder: Path) -> dict[str, Any] | None:
    """Read what is known of this very training; another recipe's or cut is none of it."""
    path = folder / RESULT
    if not path.exists():
        return None
    result = dict(read_json(path, made_by="this script"))
    return result if result["identity"] == checkpoint.identity(key, loaded) else None


def _table(loaded: params.Params, folder: Path, failed: dict[str, str]) -> str:
    told = devices.described(loaded.training.precision)
    asked = [key for key in loaded.architectures if key not in failed]
    results = [found for key in asked if (found := _done(key, loaded, folder / key))]
    results.sort(key=lambda result: -result["test"]["macro_f1"]["value"])
    return "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}, recipe `{loaded.recipe}`, commit "
            f"`{provenance.git_commit()[:12]}`, {told['backend']}. One seed; seconds per epoch are "
            "the median of fine-tuning, compilation and validation included; in brackets 95 % "
            "intervals.",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|" + "---|" * len(COLUMNS),
            *map(_row, results),
            *(f"\n`{key}` failed: {reason}" for key, reason in failed.items()),
            "",
        ]
    )


def _row(result: dict[str, Any]) -> str:
    cells = [
        f"`{result['architecture']}`",
        result["weights"],
        result["machine"],
        result["precision"],
        f"{result['parameters']:,}",
        str(result["epochs"]),
        f"{result['seconds_per_epoch']:.2f}",
        f"{result['images'] / result['seconds_per_epoch']:.0f}",
        f"{result['seconds'] / 60:.1f}",
        f"{result['validation_macro_f1']:.3f}",
        *(format_estimate(result["test"][name]) for name in ("macro_f1", "accuracy")),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"gpu_report: {error}", file=sys.stderr)
        sys.exit(2)
