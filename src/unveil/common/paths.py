"""Where the artefacts lie, in the order they are made; all below the project's folder."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")

DATA = Path("data")
JOURNAL = Path("data/journal.jsonl")
PROMOTIONS = Path("data/promotions.jsonl")

ARCHIVE = Path("data/01_raw/faces.zip")
CORRECTIONS = Path("data/01_raw/corrections.csv")
AUDITED = Path("data/01_raw/audit.json")

MANIFEST = Path("data/02_manifest/manifest.parquet")
SUMMARY = Path("data/02_manifest/summary.json")
VERDICT = Path("data/02_manifest/validation.json")
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
CARD = Path("data/05_reports/data_card.md")
CARD_PLOTS = Path("data/05_reports/data_card")

AUDIT = Path("data/06_audit")
SUSPECTS = Path("data/06_audit/suspects.csv")
SHEET = Path("data/06_audit/suspects.html")

BUNDLE = Path("data/07_bundle")
STARTER = Path("models/starter")

AUDIT_LOG = Path("data/08_serving/audit.jsonl")
LAST_GOOD = Path("data/08_serving/last_good")

TRACKING = Path("mlflow/state")

SEEDS = Path("data/09_seeds")
SPREADS = Path("data/05_reports/seeds")

CHECKPOINTS = Path(".checkpoints")


@dataclass(frozen=True)
class Place:
    """Where a training has its network, its report and, until that is made, its checkpoints."""

    model: Path
    report: Path
    checkpoints: Path


def pipeline(key: str) -> Place:
    """Name the place of an architecture's own training, which DVC looks after."""
    return Place(MODELS / key, REPORTS / key, CHECKPOINTS / key)


def of_seed(key: str, seed: int) -> Place:
    """Name the place of another training of an architecture; no stage knows it."""
    folder = SEEDS / key / str(seed)
    return Place(folder / "model", folder / "report", CHECKPOINTS / f"{key}@{seed}")
