"""The first use of MLflow's own database, killed at many moments: it is complete or absent."""

import subprocess
import sys

import pytest

# One process imports everything; each attempt is a fork of it that is killed.
KILLED = """
import os, signal, sqlite3, time
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from unveil import registry
STORE = Path("mlflow/state/mlflow.db")

def forked():
    if not (child := os.fork()):
        try:
            registry.connect()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

began = time.monotonic()
assert not ended(forked())
takes = time.monotonic() - began
killed = []
for number in range(12):
    STORE.unlink(missing_ok=True)
    child = forked()
    time.sleep(takes * number / 12)
    os.kill(child, signal.SIGKILL)
    ended(child)
    if STORE.exists():
        query = "select version_num from alembic_version"
        killed.append(bool(sqlite3.connect(STORE).execute(query).fetchall()))
assert not ended(forked())
print(all(killed), sorted(path.name for path in STORE.parent.iterdir()))
"""


@pytest.mark.fault("SIGKILL while MLflow's database is made", 12)
def test_killed_at_any_moment_of_its_first_use_the_next_use_works(place):
    command = [sys.executable, "-c", KILLED]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    last = result.stdout.strip().splitlines()[-1]
    assert last == "True ['.mlflow.db.lock', 'mlflow.db']"
