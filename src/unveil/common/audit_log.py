"""What was done, in the order it was done: files that only grow, a line of JSON at a time.

``data/journal.jsonl`` tells of the faces and travels in git beside the pointer of the data: time
(UTC), verb, counts, digests of archives; no name, no member, no picture. `unveil ingest`, `sample`,
`data export`, `data feedback` and `data erase` write it. `unveil promote` and `rollback` write
``data/promotions.jsonl``.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unveil.common import missing_files
from unveil.common.errors import UserError, masked
from unveil.common.locks import wait
from unveil.common.paths import JOURNAL

Told = str | int | dict[str, int]


def record(verb: str, **told: Told) -> None:
    """Add to the faces' journal what a verb did, now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append(JOURNAL, {"time": now, "verb": verb, **told})


def append(path: Path, entry: Mapping[str, Any], *, mode: int = 0o644) -> None:
    """Add a line, whole or not at all, also while others add theirs; it is on the disk then.

    ``mode`` is of a file that is not there yet. One that git has is put back first.
    """
    if not path.exists() and missing_files.restore(path):
        print(f"{path} was gone and is put back as git has it", file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
        try:
            wait(journal, path)
            _append(journal, json.dumps(_clean(entry)).encode() + b"\n")
        finally:
            os.close(journal)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {str(error.strerror).lower()}") from None


def _clean(told: Any) -> Any:
    """Take secrets out of the texts of an entry: the journals travel in git."""
    if isinstance(told, str):
        return masked(told)
    if isinstance(told, Mapping):
        return {name: _clean(value) for name, value in told.items()}
    return [_clean(one) for one in told] if isinstance(told, list | tuple) else told


def _append(journal: int, line: bytes) -> None:
    size = os.fstat(journal).st_size
    # A power cut may have left half a line: the next one begins anew.
    torn = size and os.pread(journal, 1, size - 1) != b"\n"
    line = b"\n" * bool(torn) + line
    if os.write(journal, line) != len(line):
        os.ftruncate(journal, size)
        raise OSError(28, "no space left on device")
    os.fsync(journal)
