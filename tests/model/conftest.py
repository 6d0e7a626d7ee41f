"""What the tests of the registry share: MLflow's tables, which take seconds, are made once."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from unveil.common.files import write_json
from unveil.common.paths import TRACKING, VERDICT
from unveil.config import params


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> Path:
    """A database of MLflow with nothing in it."""
    made = tmp_path_factory.mktemp("tables") / "mlflow.db"
    MlflowClient(f"sqlite:///{made}").search_experiments()
    return made


@pytest.fixture
def place(place, tables) -> Path:
    """The place of all tests, with MLflow's tables."""
    TRACKING.mkdir(parents=True)
    shutil.copy(tables, TRACKING / "mlflow.db")
    return place


@pytest.fixture
def loaded(packed) -> params.Params:
    """The parameters of a place whose packed data passed its rules."""
    write_json(VERDICT, {"passed": True})
    return params.load()
