"""The model card of a registered version: its MLflow description, and an artifact of its run."""

from pathlib import Path

from unveil.registry.connection import NAME, connect, mlflow_errors
from unveil.registry.versions import Version


@mlflow_errors()
def add_card(version: Version, path: Path) -> None:
    """Add a model card to a version; its description is the Markdown without the YAML header."""
    client = connect()
    text = path.read_text(encoding="utf-8")
    client.update_model_version(NAME, version.number, text.split("---\n", 2)[-1].strip())
    run_id = client.get_model_version(NAME, version.number).run_id
    client.log_artifact(run_id, str(path), "model_card")
