"""Locks for the GPUs and cores of this machine, and for the stages a checkout builds.

The end of a process releases its locks.
"""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

SLOT = "UNVEIL_SLOT"
"""The environment variable with the GPU or cores of a worker, for its child processes."""

MAKES = "UNVEIL_MAKES"
"""The environment variable with the architecture or stage that a command builds."""


def gpus() -> list[str]:
    """Return the visible GPUs in the notation of CUDA_VISIBLE_DEVICES; none without a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split()


def claim(unit: str) -> IO[bytes] | None:
    """Lock a GPU or core (`gpu-0`, `core-3`) until the returned file is closed; None if taken."""
    file = _lock(f"{unit}.worker")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def hold(units: Sequence[str]) -> Iterator[None]:
    """Wait until no training uses these GPUs or cores, and lock them for the block."""
    with ExitStack() as held:
        # Always in the same order, to avoid deadlocks.
        for unit in sorted(units):
            fcntl.flock(held.enter_context(_lock(f"{unit}.training")), fcntl.LOCK_EX)
        yield


@contextmanager
def stage_lock(name: str) -> Iterator[None]:
    """Wait until no other process builds `name` in this checkout, and lock it for the block.

    Without the lock DVC and a training would refuse to run a second time.
    """
    if not name:
        yield
        return
    path = Path(".dvc/tmp") / f"making-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock(name: str) -> IO[bytes]:
    # Opened for reading, which is enough for a lock: another user may own the file.
    path = Path(tempfile.gettempdir()) / f"unveil-{name.replace('/', '_')}"
    if not path.exists():
        path.touch(mode=0o644)
    return path.open("rb")
