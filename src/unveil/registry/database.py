"""MLflow's SQLite database: created atomically, and checked before MLflow opens it.

MLflow creates its tables in place, which takes seconds. If it is killed meanwhile, or two processes
start at once, it leaves a file that it can neither use nor complete.
"""

import hashlib
import sqlite3
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import mlflow

from unveil.common.errors import UserError
from unveil.common.files import temporary_folder
from unveil.common.locks import file_lock, lock_file

LOCK_TIMEOUT = 10.0
"""Seconds to wait for a process that writes; MLflow's writes take milliseconds."""

CREATE_TIMEOUT = 180.0
"""Seconds to wait for a process that creates the tables, on a busy machine."""

INITIAL_TABLES = ("alembic_version", "workspaces", "experiments")
"""The tables that have rows in a new database."""

_complete_files: set[tuple[int, int]] = set()


def uri(path: Path) -> str:
    """Return the tracking URI of a database."""
    return f"sqlite:///{path}"


def sqlite_path(named: str) -> Path | None:
    """Return the file of a SQLite tracking URI; ``None`` for a server or another database."""
    path = named.removeprefix("sqlite:///")
    return Path(path) if path not in (named, "", ":memory:") and "?" not in path else None


def ensure_ready(path: Path) -> None:
    """Create a database if it is missing, or incomplete and without records.

    Raises ``UserError``, and changes nothing, if it is damaged, locked by another process for too
    long, or was made by another version of MLflow.
    """
    if _is_complete(path):
        return
    with ExitStack() as both:
        both.enter_context(file_lock(path, seconds=CREATE_TIMEOUT))
        # A server that creates this database holds MLflow's own lock.
        digest = hashlib.md5(uri(path).encode(), usedforsecurity=False).hexdigest()
        theirs = Path(tempfile.gettempdir(), f"db_init_lock-{digest}")
        both.enter_context(lock_file(theirs, path, seconds=CREATE_TIMEOUT))
        if _is_complete(path):
            return
        _refuse_other_schema(path)
        if path.exists():
            print(f"{path} was incomplete and has no runs; creating it again", file=sys.stderr)
        _create(path)


def _is_complete(path: Path) -> bool:
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return False
    known = (path.stat().st_dev, path.stat().st_ino)
    if known not in _complete_files:
        if _revision(path) != _current_revision():
            return False
        _complete_files.add(known)
    return True


def _revision(path: Path) -> str | None:
    found = _rows(path, "select version_num from alembic_version")
    return str(found[0][0]) if found else None


def _current_revision() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query; none if the table is missing."""
    # Not read-only: SQLite first rolls back the transaction of a killed process.
    name = f"file:{quote(str(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(name, uri=True, timeout=LOCK_TIMEOUT)) as database:
            return database.execute(query).fetchall()
    except sqlite3.Error as error:
        if str(error).startswith("no such table"):
            return []
        raise UserError(f"{path} {_fault(error)}") from None


def _fault(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is locked by another process ({error}); try again when it has ended"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return (
            f"is damaged ({error}); restore it from a backup, or move it away: `unveil publish` "
            "logs the trained networks to a new one"
        )
    return f"cannot be opened: {error}"


def _refuse_other_schema(path: Path) -> None:
    if not path.exists() or not path.stat().st_size or not _has_records(path):
        return
    found = _revision(path)
    if _is_known(found):
        raise UserError(
            f"{path} is from an older MLflow (schema {found}, this one has {_current_revision()}); "
            f"back it up, then `mlflow db upgrade {uri(path)}`"
        )
    raise UserError(
        f"{path} is from a newer MLflow than {mlflow.__version__} (schema {found}); install that "
        "version: `mlflow db upgrade` cannot downgrade"
    )


def _has_records(path: Path) -> bool:
    tables = _rows(path, "select name from sqlite_master where type = 'table'")
    named = {str(name) for (name,) in tables} - set(INITIAL_TABLES)
    return any(_rows(path, f'select 1 from "{name}" limit 1') for name in named)


def _is_known(revision: str | None) -> bool:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config

    config = _get_alembic_config("")  # type: ignore[no-untyped-call]
    try:
        return revision is None or bool(ScriptDirectory.from_config(config).get_revision(revision))
    except CommandError:
        return False


def _create(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with temporary_folder("mlflow", path.parent) as folder:
        new = folder / path.name
        artifacts = (path.parent / "artifacts").absolute().as_uri()
        store = SqlAlchemyStore(uri(new), artifacts)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        _put(new, path)


def _put(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    # A server may have the incomplete file open, so it is filled in one transaction, not replaced.
    try:
        with (
            closing(sqlite3.connect(new)) as source,
            closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise UserError(f"{path} {_fault(error)}") from None
