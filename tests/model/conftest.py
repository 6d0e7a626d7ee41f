"""Fixtures of the registry tests; MLflow's tables, which take seconds, are created once."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from unveil.common.files import write_json
from unveil.common.paths import TRACKING, VALIDATION
from unveil.config import params


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> Path:
    """An empty MLflow database."""
    made = tmp_path_factory.mktemp("tables") / "mlflow.db"
    MlflowClient(f"sqlite:///{made}").search_experiments()
    return made


@pytest.fixture
def place(place, tables) -> Path:
    """The test project, with MLflow's tables."""
    TRACKING.mkdir(parents=True)
    shutil.copy(tables, TRACKING / "mlflow.db")
    return place


@pytest.fixture
def loaded(packed) -> params.Params:
    """The parameters of a project with validated, packed data."""
    write_json(VALIDATION, {"passed": True})
    return params.load()
