"""The protocol of a variant's process with `alternating_runs`.

The process reports an epoch, then waits for its next turn.
"""

import json
import sys
import threading
import time
from pathlib import Path


class EpochReporter:
    """Reports each epoch as a line of JSON, then waits for the next turn."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs
        self._cpu = time.process_time()

    def report(self, seconds: float, *, kept: float = 0.0, **more: float) -> None:
        """Report an epoch, and wait for the line that requests the next one."""
        cpu = time.process_time() - self._cpu
        write_line(seconds=seconds, cpu=cpu, kept=kept, megabytes=MEMORY.peak, **more)
        self._left -= 1
        if self._left:
            sys.stdin.readline()
        self._cpu = time.process_time()


class MemoryMonitor(threading.Thread):
    """Samples the anonymous memory of this process, in MB, forty times per second.

    File-backed pages are not included: the system can reclaim them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self) -> None:
        """Sample until the process ends."""
        while True:
            self.peak = max(self.peak, _anonymous())
            time.sleep(0.025)


MEMORY = MemoryMonitor()


def write_line(**values: float) -> None:
    """Write one line of JSON to stdout."""
    print(json.dumps(values), flush=True)


def _anonymous() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0
