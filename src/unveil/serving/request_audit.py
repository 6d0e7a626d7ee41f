"""The server's audit log, without personal data.

Appends JSON lines: start with purpose and exception, changes of the bundle, counts per minute,
stop. It contains no address, picture, face, time of a single request or answer about one person.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from unveil.common import audit_log
from unveil.common.errors import UserError

Value = str | int | None | dict[str, int]


def record(log: Path, event: str, **values: Value) -> None:
    """Append a line; raises ``UserError`` if the file cannot be written."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **values}
    audit_log.append(log, entry, mode=0o600)


def try_record(log: Path, event: str, **values: Value) -> None:
    """Append a line while serving; an error goes to stderr and does not stop the server."""
    try:
        record(log, event, **values)
    except UserError as error:
        print(f"unveil: {error}", file=sys.stderr, flush=True)
