"""What a way to learn says of itself, and when it waits: the other end of `turns`."""

import json
import sys
import threading
import time
from pathlib import Path


class Teller:
    """Says each epoch on a line of JSON, then waits for its turn."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs
        self._cpu = time.process_time()

    def tell(self, seconds: float, *, kept: float = 0.0, **more: float) -> None:
        """Say what an epoch took, and wait for the line that asks for the next."""
        cpu = time.process_time() - self._cpu
        say(seconds=seconds, cpu=cpu, kept=kept, megabytes=MEMORY.most, **more)
        self._left -= 1
        if self._left:
            sys.stdin.readline()
        self._cpu = time.process_time()


class Memory(threading.Thread):
    """Looks forty times a second at how much memory this process has that no file backs, in MB.

    What is mapped from a file is not in it: the system takes such pages back when it needs them.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            self.most = max(self.most, _anonymous())
            time.sleep(0.025)


MEMORY = Memory()


def say(**told: float) -> None:
    """Say one line of JSON."""
    print(json.dumps(told), flush=True)


def _anonymous() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0
