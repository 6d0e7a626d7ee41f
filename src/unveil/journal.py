"""What was done with the faces, in the order it was done: no name, no member, no picture.

Adds lines to ``data/journal.jsonl``, which travels in git beside the pointer of the data it tells
of: time (UTC), verb, counts, digests of archives. `unveil ingest`,
`sample`, `data export` and `data erase` write.
"""

import fcntl
import json
import os
from datetime import UTC, datetime

from unveil.errors import UserError
from unveil.paths import JOURNAL

Told = str | int | dict[str, int]


def record(verb: str, **told: Told) -> None:
    """Add a line, whole or not at all, also while others add theirs; it is on the disk then."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "verb": verb, **told}
    try:
        JOURNAL.parent.mkdir(parents=True, exist_ok=True)
        journal = os.open(JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(journal, fcntl.LOCK_EX)
            _append(journal, json.dumps(entry).encode() + b"\n")
        finally:
            os.close(journal)
    except OSError as error:
        raise UserError(f"{JOURNAL} cannot be written: {str(error.strerror).lower()}") from None


def _append(journal: int, line: bytes) -> None:
    size = os.fstat(journal).st_size
    # A power cut may have left half a line: the next one begins anew.
    torn = size and os.pread(journal, 1, size - 1) != b"\n"
    line = b"\n" * bool(torn) + line
    if os.write(journal, line) != len(line):
        os.ftruncate(journal, size)
        raise OSError(28, "no space left on device")
    os.fsync(journal)
