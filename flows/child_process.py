"""`python -m flows.child_process COMMAND`: run a command that ends with its parent.

Standard input is a pipe from the parent. It closes when the parent dies, for whatever reason; then
the command's process group is interrupted, and killed if it does not end. The command first waits
until its slot and the stage it builds in this checkout are free: an orphaned process may still use
them.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from flows.gpu_slots import MAKES, SLOT, hold, stage_lock

GRACE = "UNVEIL_GRACE"
"""The environment variable with the seconds between interrupt and kill."""

SECONDS = 20.0
"""The default of these seconds."""


def start(
    command: Sequence[str], *, env: Mapping[str, str], grace: float | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a command under this module, in a session without the terminal's signals."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.child_process", *command],
        env={**env, GRACE: str(grace or SECONDS)},
        stdin=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def _end_with_parent(started: list[subprocess.Popen[bytes]], starting: threading.Lock) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    with starting:
        if not started:
            os._exit(1)
    (process,) = started
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=float(os.environ.get(GRACE, SECONDS)))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> int:
    """Run the command in ``sys.argv``; returns its exit code."""
    # Ctrl-C reaches all processes of the terminal: only the parent decides about the end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    started: list[subprocess.Popen[bytes]] = []
    starting = threading.Lock()
    threading.Thread(target=_end_with_parent, args=(started, starting), daemon=True).start()
    with hold(os.environ.get(SLOT, "").split()), stage_lock(os.environ.get(MAKES, "")):
        with starting:
            started.append(
                subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
            )
        return started[0].wait()


if __name__ == "__main__":
    sys.exit(main())
