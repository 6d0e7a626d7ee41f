"""`python -m flows.child_process COMMAND`: run a command that ends with its parent.

Standard input is the asker's end of a pipe. It closes when the asker dies, whatever killed it, and
then the command and all it started are interrupted, and killed when that is not enough. The command
waits until its slot is free, and what it makes in this checkout: an orphan may still be at it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from flows.gpu_slots import MAKES, SLOT, hold, making

GRACE = "UNVEIL_GRACE"
"""The environment variable with the seconds between the interrupt and the kill."""

SECONDS = 20.0
"""Of grace, where it does not say."""


def start(
    command: Sequence[str], *, env: Mapping[str, str], grace: float | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Run a command under a guard, out of reach of the terminal's signals."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.child_process", *command],
        env={**env, GRACE: str(grace or SECONDS)},
        stdin=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def _end_with_asker(started: list[subprocess.Popen[bytes]], starting: threading.Lock) -> None:
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
    """Run the command of the arguments; gives its exit code."""
    # A Ctrl-C reaches the whole terminal: the asker decides, and the command hears of it from us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    started: list[subprocess.Popen[bytes]] = []
    starting = threading.Lock()
    threading.Thread(target=_end_with_asker, args=(started, starting), daemon=True).start()
    with hold(os.environ.get(SLOT, "").split()), making(os.environ.get(MAKES, "")):
        with starting:
            started.append(
                subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
            )
        return started[0].wait()


if __name__ == "__main__":
    sys.exit(main())
