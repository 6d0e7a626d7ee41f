"""Who owns which GPU or cores of this machine, and what a checkout is making.

Locks that die with their owner.
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
"""The environment variable that names a worker's GPU or cores to what it runs."""

MAKES = "UNVEIL_MAKES"
"""The one that names the architecture, or stage, a command makes in its checkout."""


def gpus() -> list[str]:
    """Name the GPUs we may use, as CUDA_VISIBLE_DEVICES does; none without a driver."""
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
    """Own a GPU or core (`gpu-0`, `core-3`) until the file given is closed; None when taken."""
    file = _lock(f"{unit}.worker")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def hold(units: Sequence[str]) -> Iterator[None]:
    """Wait until nothing else trains on these units, and keep them for the block."""
    with ExitStack() as held:
        # All take them in one order, so that two never wait for each other.
        for unit in sorted(units):
            fcntl.flock(held.enter_context(_lock(f"{unit}.training")), fcntl.LOCK_EX)
        yield


@contextmanager
def making(name: str) -> Iterator[None]:
    """Wait until nothing else makes `name` in this checkout, and keep it so for the block.

    DVC, and a training, would refuse a second one at once.
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
    # For reading, which is enough to lock: another user of the machine may have made the file.
    path = Path(tempfile.gettempdir()) / f"unveil-{name.replace('/', '_')}"
    if not path.exists():
        path.touch(mode=0o644)
    return path.open("rb")
