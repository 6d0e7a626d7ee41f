"""Paths of all artifacts, relative to the project folder, in the order they are made."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")

DATA = Path("data")
JOURNAL = Path("data/journal.jsonl")
PROMOTIONS = Path("data/promotions.jsonl")

ARCHIVE = Path("data/01_raw/faces.zip")
CORRECTIONS = Path("data/01_raw/corrections.csv")
AUDIT_COUNTS = Path("data/01_raw/audit.json")

MANIFEST = Path("data/02_manifest/manifest.parquet")
SUMMARY = Path("data/02_manifest/summary.json")
VALIDATION = Path("data/02_manifest/validation.json")
DATA_DOCS = Path("data/02_manifest/data_docs")

PACKED = Path("data/03_packed")

MODELS = Path("data/04_models")

REPORTS = Path("data/05_reports/architectures")
COMPARISON = Path("data/05_reports/comparison.json")
LEADERBOARD = Path("data/05_reports/comparison.md")
HARDWARE = Path("data/05_reports/hardware.md")
PROMOTION = Path("data/05_reports/promotion.json")
EXPLANATIONS = Path("data/05_reports/explanations")
REPORT = Path("data/05_reports/report.html")
MODEL_CARD = Path("data/05_reports/model_card.md")
LEARNING_CURVES = Path("data/05_reports/learning_curves")
DATA_CARD = Path("data/05_reports/data_card.md")
DATA_CARD_PLOTS = Path("data/05_reports/data_card")

AUDIT = Path("data/06_audit")
SUSPECTS = Path("data/06_audit/suspects.csv")
CONTACT_SHEET = Path("data/06_audit/suspects.html")

BUNDLE = Path("data/07_bundle")
STARTER = Path("models/starter")

AUDIT_LOG = Path("data/08_serving/audit.jsonl")
LAST_GOOD = Path("data/08_serving/last_good")

TRACKING = Path("mlflow/state")

SEEDS = Path("data/09_seeds")
SEED_REPORTS = Path("data/05_reports/seeds")

RUN_LOGS = Path("data/10_logs")

SWEEPS = Path("data/11_sweeps")

CHECKPOINTS = Path(".checkpoints")


@dataclass(frozen=True)
class TrainingPaths:
    """Folders of one training run: the model, the report and, while it runs, the checkpoints."""

    model: Path
    report: Path
    checkpoints: Path


def pipeline_paths(key: str) -> TrainingPaths:
    """Return the folders of an architecture's training in the DVC pipeline."""
    return TrainingPaths(MODELS / key, REPORTS / key, CHECKPOINTS / key)


def seed_paths(key: str, seed: int) -> TrainingPaths:
    """Return the folders of a training with another seed, outside the DVC pipeline."""
    folder = SEEDS / key / str(seed)
    return TrainingPaths(folder / "model", folder / "report", CHECKPOINTS / f"{key}@{seed}")
