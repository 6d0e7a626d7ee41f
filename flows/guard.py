"""`python -m flows.guard COMMAND`: run a command that does not outlive whoever asked for it.

Standard input is the asker's end of a pipe. It closes when the asker dies, whatever killed it, and
then the command and all it started are interrupted, and killed when that is not enough. In a
worker's run the command also waits until the slot is free: an orphan may still train there.
"""

import os
import signal
import subprocess
import sys
import threading

from flows.slots import SLOT, hold

GRACE = 20
"""Seconds between the interrupt and the kill."""


def _end_with_asker(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> int:
    """Run the command of the arguments; gives its exit code."""
    # A Ctrl-C reaches the whole terminal: the asker decides, and the command hears of it from us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with hold(os.environ.get(SLOT, "").split()):
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
        threading.Thread(target=_end_with_asker, args=(process,), daemon=True).start()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main())
