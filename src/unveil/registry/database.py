"""MLflow's SQLite file: it appears whole or not at all, and is looked at before MLflow opens it.

MLflow makes its tables in place, for seconds. A kill in between, or two first uses at once, leave a
file that it can neither use nor complete.
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
from unveil.common.files import temporary
from unveil.common.locks import held, locked

WAIT = 10.0
"""Seconds for a process that writes; MLflow's own take milliseconds."""

MAKING = 180.0
"""Seconds for a process that makes the tables, on a busy machine."""

EMPTY = ("alembic_version", "workspaces", "experiments")
"""The tables that have rows before anything is recorded."""

_known: set[tuple[int, int]] = set()


def uri(path: Path) -> str:
    """Name a database as MLflow does."""
    return f"sqlite:///{path}"


def local(named: str) -> Path | None:
    """Give the file of a tracking URI; ``None`` where it names a server, or no file of SQLite."""
    path = named.removeprefix("sqlite:///")
    return Path(path) if path not in (named, "", ":memory:") and "?" not in path else None


def ready(path: Path) -> None:
    """See to it that a database is whole; one that is absent, or half-made and empty, is made.

    Raises ``UserError`` for one that is damaged, held by another process for too long or of another
    MLflow; none of these is changed.
    """
    if _is_whole(path):
        return
    with ExitStack() as both:
        both.enter_context(held(path, seconds=MAKING))
        # A server that makes this database holds the lock of MLflow's own.
        digest = hashlib.md5(uri(path).encode(), usedforsecurity=False).hexdigest()
        theirs = Path(tempfile.gettempdir(), f"db_init_lock-{digest}")
        both.enter_context(locked(theirs, path, seconds=MAKING))
        if _is_whole(path):
            return
        _refuse_records(path)
        if path.exists():
            print(f"{path} was half-made and has no run: it is made anew", file=sys.stderr)
        _make(path)


def _is_whole(path: Path) -> bool:
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return False
    known = (path.stat().st_dev, path.stat().st_ino)
    if known not in _known:
        if _revision(path) != _head():
            return False
        _known.add(known)
    return True


def _revision(path: Path) -> str | None:
    found = _rows(path, "select version_num from alembic_version")
    return str(found[0][0]) if found else None


def _head() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())  # type: ignore[no-untyped-call]


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask; nothing where the table is absent."""
    # Not read-only: what a killed process began is rolled back first.
    name = f"file:{quote(str(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(name, uri=True, timeout=WAIT)) as database:
            return database.execute(query).fetchall()
    except sqlite3.Error as error:
        if str(error).startswith("no such table"):
            return []
        raise UserError(f"{path} {_fault(error)}") from None


def _fault(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is held by another process ({error}); try again when that has ended"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return (
            f"is damaged ({error}); restore it from a copy, or move it away: `unveil publish` "
            "records the trained networks in a new one"
        )
    return f"cannot be opened: {error}"


def _refuse_records(path: Path) -> None:
    if not path.exists() or not path.stat().st_size or not _has_records(path):
        return
    found = _revision(path)
    if _is_known(found):
        raise UserError(
            f"{path} is of an older MLflow (schema {found}, this one has {_head()}); copy it, then "
            f"`mlflow db upgrade {uri(path)}`"
        )
    raise UserError(
        f"{path} is of a newer MLflow than {mlflow.__version__} (schema {found}); install that one:"
        " `mlflow db upgrade` does not go back"
    )


def _has_records(path: Path) -> bool:
    tables = _rows(path, "select name from sqlite_master where type = 'table'")
    named = {str(name) for (name,) in tables} - set(EMPTY)
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


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with temporary("mlflow", path.parent) as folder:
        made = folder / path.name
        artifacts = (path.parent / "artifacts").absolute().as_uri()
        store = SqlAlchemyStore(uri(made), artifacts)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        _put(made, path)


def _put(made: Path, path: Path) -> None:
    if not path.exists():
        made.replace(path)
        return
    # A server may have the half-made file open: it is filled, in one transaction, and stays.
    try:
        with (
            closing(sqlite3.connect(made)) as source,
            closing(sqlite3.connect(path, timeout=WAIT)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise UserError(f"{path} {_fault(error)}") from None
