"""What the server did, line by line, without a trace of a person.

Appends JSON lines: start with purpose and exception, change of the bundle, counts of each minute,
stop. No address, picture, face, time of one request or answer about one person stands there.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from unveil.common import audit_log
from unveil.common.errors import UserError

Told = str | int | None | dict[str, int]


def record(log: Path, event: str, **told: Told) -> None:
    """Append a line; ``UserError`` when that is not possible."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **told}
    audit_log.append(log, entry, mode=0o600)


def note(log: Path, event: str, **told: Told) -> None:
    """Append a line while serving: a full disk is said on stderr, and answers go on."""
    try:
        record(log, event, **told)
    except UserError as error:
        print(f"unveil: {error}", file=sys.stderr, flush=True)
