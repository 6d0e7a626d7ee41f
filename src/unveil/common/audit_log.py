"""Append-only audit logs in JSON Lines format.

``data/journal.jsonl`` records what was done to the data and is committed to git with the ``.dvc``
file: time (UTC), verb, counts and archive digests, but no names, members or pictures.
`unveil ingest`, `sample`, `data export`, `data feedback` and `data erase` write it.
`unveil promote` and `rollback` write ``data/promotions.jsonl``.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unveil.common import missing_files
from unveil.common.errors import UserError, mask_secrets
from unveil.common.locks import acquire
from unveil.common.paths import JOURNAL

Field = str | int | dict[str, int]


def record(verb: str, **fields: Field) -> None:
    """Append an entry for ``verb``, with the current time (UTC), to the data journal."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append(JOURNAL, {"time": now, "verb": verb, **fields})


def append(path: Path, entry: Mapping[str, Any], *, mode: int = 0o644) -> None:
    """Append one JSON line atomically, safe for concurrent writers, and flush it to disk.

    ``mode`` is the file mode for a new file. A missing file that git tracks is restored first.
    Raises ``UserError`` if the file cannot be written.
    """
    if not path.exists() and missing_files.restore(path):
        print(f"{path} was missing and has been restored from git", file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
        try:
            acquire(journal, path)
            _append(journal, json.dumps(_clean(entry)).encode() + b"\n")
        finally:
            os.close(journal)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {str(error.strerror).lower()}") from None


def _clean(content: Any) -> Any:
    """Mask secrets in the texts of an entry, because the logs are committed to git."""
    if isinstance(content, str):
        return mask_secrets(content)
    if isinstance(content, Mapping):
        return {name: _clean(value) for name, value in content.items()}
    return [_clean(one) for one in content] if isinstance(content, list | tuple) else content


def _append(journal: int, line: bytes) -> None:
    size = os.fstat(journal).st_size
    # After a power cut the last line may be incomplete: start a new line.
    torn = size and os.pread(journal, 1, size - 1) != b"\n"
    line = b"\n" * bool(torn) + line
    if os.write(journal, line) != len(line):
        os.ftruncate(journal, size)
        raise OSError(28, "no space left on device")
    os.fsync(journal)
