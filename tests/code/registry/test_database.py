"""MLflow's local database: killed, shared, damaged or of another version, it loses nothing."""

import re
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from tests.conftest import ROOT
from tests.support import servers

from unveil import registry
from unveil.common.errors import UserError
from unveil.registry import connection

STORE = Path("mlflow/state/mlflow.db")

AT_ONCE = """
import os, sys
import mlflow.store.tracking.sqlalchemy_store
from unveil import registry
wait, go = os.pipe()
children = []
for _ in range(4):
    if not (child := os.fork()):
        os.close(go)
        os.read(wait, 1)
        try:
            registry.connect()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(go)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def python(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout.strip().splitlines()[-1]


@pytest.mark.fault("first uses of MLflow's database at once", 4)
def test_concurrent_first_uses_all_succeed(place):
    assert python(AT_ONCE, place) == "[0, 0, 0, 0]"


def incomplete(path: Path, revision: str | None = None) -> None:
    """Create only MLflow's first tables; with a revision all tables of an older version."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{path.absolute()}")
    Base.metadata.create_all(engine)
    if revision:
        config = _get_alembic_config(str(engine.url))
        with engine.begin() as opened:
            config.attributes["connection"] = opened
            command.upgrade(config, revision)
    engine.dispose()


def older() -> str:
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config(""))
    return script.get_revision(script.get_current_head()).down_revision


def with_a_run(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("insert into runs (run_uuid, name, status) values ('a', 'b', 'FINISHED')")


@contextmanager
def held():
    with closing(sqlite3.connect(STORE, isolation_level=None)) as database:
        database.execute("begin exclusive")
        yield


def test_an_incomplete_database_without_runs_is_created_again(place, capfd):
    incomplete(STORE)
    assert registry.connect().get_experiment_by_name(registry.NAME)
    assert "mlflow.db was incomplete and has no runs; creating it again" in capfd.readouterr().err


def test_an_empty_file_is_created_again(place):
    STORE.parent.mkdir(parents=True)
    STORE.touch()
    assert registry.connect().get_experiment_by_name(registry.NAME)


@pytest.mark.parametrize("kind", ["half-made", "older", "newer"])
def test_a_database_with_runs_is_never_changed_and_the_error_names_the_fix(place, kind):
    if kind == "newer":
        registry.connect()
        with closing(sqlite3.connect(STORE)) as database, database:
            database.execute("update alembic_version set version_num = 'f00df00df00d'")
        connection.database._complete_files.clear()
    else:
        incomplete(STORE, older() if kind == "older" else None)
    with_a_run(STORE)
    before = STORE.read_bytes()
    with pytest.raises(UserError, match=r"mlflow\.db is from an? \w+ MLflow .*`mlflow db upgrade"):
        registry.connect()
    assert STORE.read_bytes() == before


def test_an_older_database_works_after_the_named_upgrade(place):
    incomplete(STORE, older())
    with_a_run(STORE)
    with pytest.raises(UserError) as refusal:
        registry.connect()
    command = re.search("`mlflow (db upgrade .*?)`", str(refusal.value)).group(1).split()
    subprocess.run([servers.BIN / "mlflow", *command], check=True, capture_output=True)
    assert registry.connect().get_experiment_by_name(registry.NAME)
    with closing(sqlite3.connect(STORE)) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]


@pytest.mark.parametrize("damage", ["cut", "junk", "folder"])
def test_a_damaged_database_is_named_and_not_changed(place, damage):
    if damage == "folder":
        STORE.mkdir(parents=True)
    else:
        registry.connect()
        connection.database._complete_files.clear()
        whole = STORE.read_bytes()
        STORE.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\xff\xfe\0junk" * 99)
    size = STORE.stat().st_size
    with pytest.raises(UserError, match=r"mlflow\.db (is damaged \(.*move it away|cannot be open)"):
        registry.connect()
    assert STORE.stat().st_size == size


@pytest.mark.fault("MLflow's database locked by another process")
def test_a_locked_database_is_a_one_line_error(place, monkeypatch):
    registry.connect()
    connection.database._complete_files.clear()
    monkeypatch.setattr(connection.database, "LOCK_TIMEOUT", 0.5)
    with held(), pytest.raises(UserError, match=r"mlflow\.db is locked by another process"):
        registry.connect()
    assert registry.connect()


@pytest.mark.fault("MLflow's database locked for a whole training")
def test_a_training_does_not_wait_for_a_locked_database_and_is_published_later(
    packed, monkeypatch, capfd
):
    from tests.support.training import toy

    from unveil.common.paths import MODELS
    from unveil.experiments import tracked_training

    registry.connect()
    connection.database._complete_files.clear()
    monkeypatch.setattr(connection.database, "LOCK_TIMEOUT", 0.5)
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 3)
    with held():
        tracked_training.train("cnn3_gray", toy("cnn3_gray"))
        waited = time.time() - (MODELS / "cnn3_gray/run.json").stat().st_mtime
    lines = [line for line in capfd.readouterr().err.splitlines() if "not logged to MLflow" in line]
    assert len(lines) == 1
    assert "is locked by another process" in lines[0]
    assert "`unveil publish` logs it later" in lines[0]
    assert waited < 30
    assert registry.publish("cnn3_gray").startswith("models:/")


def test_a_taken_port_or_a_wrong_one_is_one_line(place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        for port, message in (
            (taken, f"unveil: port {taken} cannot be used: address already in use; `make ui PORT"),
            ("70000", "unveil: PORT=70000 is not a port; choose from 1 to 65535"),
            ("web", "unveil: PORT=web is not a port"),
        ):
            command = [sys.executable, "-m", "unveil.registry", port]
            said = subprocess.run(command, capture_output=True, text=True)
            assert (said.returncode, said.stdout) == (2, "")
            assert said.stderr.startswith(message)
            assert said.stderr.count("\n") == 1
    assert not STORE.exists()
    assert "python -m unveil.registry $(if $(PORT)" in (ROOT / "Makefile").read_text()
