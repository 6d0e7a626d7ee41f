"""The datasets of a run: the archive and the packed splits, by DVC's digests."""

from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from sqlalchemy.exc import SQLAlchemyError

from unveil.common.paths import ARCHIVE, PACKED
from unveil.config.provenance import dvc_hash


def data_digests() -> dict[str, dict[str, str]]:
    """Return path and md5 of each dataset that exists, by its context in MLflow."""
    used = {
        "archive": ARCHIVE,
        "training": PACKED / "train.npz",
        "validation": PACKED / "validation.npz",
        "testing": PACKED / "test.npz",
    }
    return {
        context: {"path": str(path), "md5": dvc_hash(path)}
        for context, path in used.items()
        if path.exists()
    }


def log_datasets(client: MlflowClient, run: Run, data: Mapping[str, Mapping[str, str]]) -> None:
    """Log the input datasets of a run; idempotent."""
    try:
        client.log_inputs(run.info.run_id, datasets=dataset_inputs(data))
    except (MlflowException, SQLAlchemyError) as error:
        # Two runs logged the same new dataset at once, and MLflow created it for only one.
        if "unique constraint" not in str(error).lower():
            raise
        client.log_inputs(run.info.run_id, datasets=dataset_inputs(data))


def dataset_inputs(data: Mapping[str, Mapping[str, str]]) -> list[DatasetInput]:
    """Convert paths and md5 digests to the dataset inputs of MLflow."""
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    inputs = []
    for context, one in data.items():
        source = HTTPDatasetSource(f"dvc:{one['path']}")  # type: ignore[no-untyped-call]
        name = Path(one["path"]).name
        dataset = MetaDataset(source, name=name, digest=one["md5"])  # type: ignore[abstract]
        tags = [InputTag(MLFLOW_DATASET_CONTEXT, context)]
        inputs.append(DatasetInput(dataset._to_mlflow_entity(), tags))
    return inputs
