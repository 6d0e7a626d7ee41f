"""Telemetry is disabled by the project's own settings, not only by those of the tests."""

import os
import subprocess
import sys

import pytest
from tests.conftest import ROOT

SWITCHES = ("DO_NOT_TRACK", "DVC_NO_ANALYTICS", "GX_ANALYTICS_ENABLED", "MLFLOW_DISABLE_TELEMETRY")
SWITCHES += ("PREFECT_SERVER_ANALYTICS_ENABLED", "ORT_DISABLE_TELEMETRY")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import unveil.registry, os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])", "true"),
        ("import unveil.quality.validate, os; print(os.environ['GX_ANALYTICS_ENABLED'])", "false"),
        (
            "from prefect.settings import get_current_settings as now;"
            "print(now().server.analytics_enabled)",
            "False",
        ),
        ("from dvc.repo import Repo; print(Repo().config['core']['analytics'])", "False"),
        ("import unveil, os; print(os.environ['ORT_DISABLE_TELEMETRY'])", "1"),
    ],
    ids=["mlflow", "great_expectations", "prefect", "dvc", "onnxruntime"],
)
def test_telemetry_is_off_without_any_variable(code, expected):
    clean = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == expected
