"""Ctrl-C, SIGTERM and a closed terminal end a command within seconds, whatever it is at.

The first signal raises KeyboardInterrupt, so that all is left in order, and others change nothing.
After LIMIT seconds all processes below this one are killed, and it ends.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

LIMIT = 3.0
"""Seconds from the first signal to the kill; a person has been promised five."""

_last = threading.Lock()
"""Of who ends the process: not before all that is being killed is gone."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_soon(command: str) -> Iterator[None]:
    """Let a signal end the block; the exit code is 128 and the signal's number."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Written to whoever has the handler: Prefect replaces that of SIGTERM while a flow runs.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    leaving: list[int] = []
    atexit.register(_leave, leaving)
    threading.Thread(target=_end, args=(reader, command, leaving), daemon=True).start()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _first)
    try:
        yield
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        # The last of all that is done at exit: Python would take a second to clear its memory.
        leaving.append(128 + number)
        _tell(command, number)
        sys.exit(128 + number)


def _first(number: int, _frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, lambda *_: None)
    raise KeyboardInterrupt(number)


def _tell(command: str, number: int) -> None:
    said = f"{command}: ended by {signal.Signals(number).name}"
    print(f"{said}; what was made is kept, run it again to go on", file=sys.stderr, flush=True)


def _end(reader: int, command: str, leaving: list[int]) -> None:
    numbers = {int(number) for number in SIGNALS}
    while (number := os.read(reader, 1)[0]) not in numbers:
        pass
    time.sleep(LIMIT)
    with _last:
        _kill_children()
        if not leaving:
            # A thread: who reads stderr may have stopped to.
            telling = threading.Thread(target=_tell, args=(command, number), daemon=True)
            telling.start()
            telling.join(timeout=0.5)
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
