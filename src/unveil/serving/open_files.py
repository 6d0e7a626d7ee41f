"""The limit of open files: how many connections it allows, and its error in the event loop."""

import asyncio
import resource
import sys
import time
from pathlib import Path
from typing import Any

_FILES = 32
"""Open files besides connections: for the page, the bundle, feedback."""
_MINUTE = 60.0


def connection_limit(most: int) -> int:
    """Return how many connections, up to ``most``, the limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _FILES + len([*Path("/proc/self/fd").iterdir()])
    # Rejected connections need as many files again.
    wanted = others + 2 * most
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = min(most, max(1, (soft - others) // 2))
    if allowed < most:
        line = f"{soft} open files are allowed: {allowed} connections instead of {most}"
        print(f"unveil: {line}; raise it with `ulimit -n {wanted}`", file=sys.stderr, flush=True)
    return allowed


class EventLoopErrors:
    """Exception handler of the event loop: "too many open files" is one line per minute."""

    def __init__(self) -> None:
        """Create a handler that has reported nothing yet."""
        self._reported = -_MINUTE

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report an error; asyncio retries accept thousands of times and would log each one."""
        if "out of system resource" not in context["message"]:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._reported >= _MINUTE:
            self._reported = time.monotonic()
            line = "no client can connect, too many files are open; `ulimit -n` allows more"
            print(f"unveil: {line}", file=sys.stderr, flush=True)
