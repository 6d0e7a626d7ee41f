"""The log of a local train-all: `data/10_logs/train-all-TIME.log`.

It gets all that this process and its commands print: the output of DVC, unveil and the libraries,
and Prefect's lines. The terminal shows only what a view writes to it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from unveil.common.errors import UserError, reason
from unveil.common.paths import RUN_LOGS

KEPT = 20
"""The number of earlier logs that are kept."""


@dataclass(frozen=True)
class RunLog:
    """The path of the log, and the streams that still reach the terminal."""

    path: Path
    out: TextIO
    err: TextIO


@contextmanager
def run_log() -> Iterator[RunLog]:
    """Redirect standard output and error to a new log; raises `UserError` if it has no place."""
    path = RUN_LOGS / f"train-all-{datetime.now():%Y%m%d-%H%M%S}.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It has file names of faces: as private as the audit log.
        file = os.fdopen(
            os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a", encoding="utf-8"
        )
    except OSError as error:
        raise UserError(f"the log {path} cannot be written: {reason(error).lower()}") from None
    _remove_old()
    with file, _moved(1) as out, _moved(2) as err:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # in a pipe it would write blocks
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield RunLog(path, out, err)


@contextmanager
def _moved(number: int) -> Iterator[TextIO]:
    """Yield the stream behind a file descriptor; restore the descriptor at the end."""
    python = {1: sys.stdout, 2: sys.stderr}[number]
    python.flush()
    # The file object must not close it: it is needed to restore the descriptor.
    kept = os.dup(number)
    try:
        with os.fdopen(kept, "w", buffering=1, errors="replace", closefd=False) as stream:
            yield stream
    finally:
        with suppress(OSError):
            python.flush()
        os.dup2(kept, number)
        os.close(kept)


def _remove_old() -> None:
    for path in sorted(RUN_LOGS.glob("train-all-*.log"))[: -KEPT - 1]:
        path.unlink(missing_ok=True)
