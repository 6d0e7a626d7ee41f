"""What one process alone may do in a checkout, by a file that it locks.

The system lets go of a lock when its process dies, however it dies. The file stays: were it
removed, two processes could each lock a file of that name.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unveil.errors import UserError

LOCK = "lock"
"""The name of such a file, in the folder of what it guards."""


@contextmanager
def alone(folder: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock of a folder; ``UserError`` says ``otherwise`` at once where another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(otherwise) from None
        yield
