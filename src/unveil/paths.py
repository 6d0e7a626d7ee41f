"""Where the artefacts lie, in the order they are made; all below the project's folder."""

from pathlib import Path

PARAMS = Path("params.yaml")

DATA = Path("data")
JOURNAL = Path("data/journal.jsonl")

ARCHIVE = Path("data/01_raw/faces.zip")
CORRECTIONS = Path("data/01_raw/corrections.csv")

MANIFEST = Path("data/02_manifest/manifest.parquet")
SUMMARY = Path("data/02_manifest/summary.json")
VERDICT = Path("data/02_manifest/validation.json")
DATA_DOCS = Path("data/02_manifest/data_docs")

PACKED = Path("data/03_packed")

MODELS = Path("data/04_models")

REPORTS = Path("data/05_reports/architectures")
COMPARISON = Path("data/05_reports/comparison.json")
LEADERBOARD = Path("data/05_reports/comparison.md")
PROMOTION = Path("data/05_reports/promotion.json")
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

CHECKPOINTS = Path(".checkpoints")
