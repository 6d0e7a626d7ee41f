"""Ctrl-C, SIGTERM and a closed terminal end a command within seconds, whatever it does.

The first signal raises KeyboardInterrupt, so that the command can clean up; further signals are
ignored. After LIMIT seconds all child processes are killed and the process exits.
"""

import atexit
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

import psutil

from unveil.common import streams

LIMIT = 3.0
"""Seconds from the first signal to the kill; the documentation promises an end within five."""

_last = threading.Lock()
"""Held while children are killed, so that the process does not exit before they are gone."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def exit_on_signals(command: str) -> Iterator[None]:
    """Let a signal end the block; the exit code is 128 plus the signal's number."""
    streams.open_closed()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Works with any handler: Prefect replaces that of SIGTERM while a flow runs.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    leaving: list[int] = []
    atexit.register(_leave, leaving)
    # The block may redirect standard error to a log.
    error = os.fdopen(os.dup(2), "w", closefd=False)
    report = functools.partial(_report, error, command)
    threading.Thread(target=_end, args=(reader, report, leaving), daemon=True).start()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _first)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        # `_leave` is the last exit handler: Python would take another second to free its memory.
        leaving.append(128 + number)
        report(number)
        sys.exit(128 + number)


def _first(number: int, _frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, lambda *_: None)
    raise KeyboardInterrupt(number)


def _report(error: TextIO, command: str, number: int) -> None:
    reason = f"{command}: ended by {signal.Signals(number).name}"
    # A view that could not end has left the terminal without a cursor.
    cursor = "\x1b[?25h" if error.isatty() else ""
    line = f"{cursor}{reason}; results are kept, run it again to resume"
    print(line, file=error, flush=True)


def _end(reader: int, report: Callable[[int], None], leaving: list[int]) -> None:
    numbers = {int(number) for number in SIGNALS}
    while (number := os.read(reader, 1)[0]) not in numbers:
        pass
    time.sleep(LIMIT)
    with _last:
        _kill_children()
        if not leaving:
            # In a thread, since writing blocks if the reader of stderr has stopped.
            reporting = threading.Thread(target=report, args=(number,), daemon=True)
            reporting.start()
            reporting.join(timeout=0.5)
        os._exit(128 + number)


def _leave(leaving: list[int]) -> None:
    if leaving:
        with _last:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(leaving[0])


def _kill_children() -> None:
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=1.0)
