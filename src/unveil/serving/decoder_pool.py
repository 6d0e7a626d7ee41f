"""Processes that look at pictures; one that takes too long is killed, and another takes its place.

A decoder that is busy cannot be stopped within a thread, and a signal's handler in Python does not
run while it is (pebble and concurrent.futures end their processes by SIGTERM, or not at all). What
costs much has a process fewer than there are, so that the rest never wait for it.
"""

import asyncio
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from unveil.data.decoding import UnreadableImage
from unveil.serving.decoder_worker import Box, Found, How, Task

STARTING = 60.0
"""Seconds that a process may take to import what it needs."""


class GivenUp(Exception):
    """A picture took longer than it may, or ended the process that looked at it."""

    retry_after = 5


class Pool:
    """Looks at pictures in processes of its own."""

    def __init__(self, task: Task, *, cores: int, seconds: float) -> None:
        """Start a process for each core and one more; a picture may take ``seconds``."""
        self._light = ThreadPoolExecutor(cores + 1, thread_name_prefix="picture")
        self._heavy = ThreadPoolExecutor(cores, thread_name_prefix="heavy")
        self._workers = [_Worker(task, seconds) for _ in range(cores + 1)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    async def find(self, picture: bytes, how: How, *, heavy: bool) -> Found:
        """Find a picture's faces; raises ``UnreadableImage`` or ``GivenUp``."""
        threads = self._heavy if heavy else self._light
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, self._ask, picture, how)

    def close(self) -> None:
        """Give up what is looked at, and end all processes."""
        for worker in self._workers:
            worker.close()
        for threads in (self._light, self._heavy):
            threads.shutdown(cancel_futures=True)

    def _ask(self, picture: bytes, how: How) -> Found:
        worker = self._idle.get()
        try:
            answer, faces = worker.ask(picture, how)
        finally:
            self._idle.put(worker)
        if "failed" in answer:
            raise GivenUp(f"the picture cannot be looked at: {answer['failed']}")
        if "reason" in answer:
            raise UnreadableImage(answer["reason"])
        size = answer["size"]
        cuts = np.frombuffer(faces, np.uint8).reshape(-1, size, size)
        return [(_box(box), cut) for box, cut in zip(answer["boxes"], cuts, strict=True)]


class _Worker:
    """One process, which one thread at a time asks."""

    def __init__(self, task: Task, seconds: float) -> None:
        self._task, self._seconds = task, seconds
        self._closed, self._ready, self._lock = False, False, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # Without room for it now, there may be when it is asked.
        with suppress(OSError):
            self._start()

    def ask(self, picture: bytes, how: How) -> tuple[dict[str, Any], bytes]:
        """Have a picture looked at; the process is another one after ``GivenUp``."""
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            if not self._ready:
                self._ready = bool(self._wait(STARTING, "a process to look at pictures"))
            self._connection.send_bytes(json.dumps(asdict(how)).encode())
            self._connection.send_bytes(picture)
            answer = json.loads(self._wait(self._seconds, "the picture"))
            return answer, self._connection.recv_bytes()
        except TimeoutError as error:
            self._end()
            raise GivenUp(str(error)) from None
        except (OSError, EOFError, ValueError):
            self._end()
            raise GivenUp("the process that looked at the picture ended") from None

    def close(self) -> None:
        """End the process; there is no other."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _wait(self, seconds: float, what: str) -> bytes:
        if not self._connection.poll(seconds):
            raise TimeoutError(f"{what} took more than {seconds:g} seconds")
        return self._connection.recv_bytes()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, self._lock, _signals_blocked():
            if self._closed:
                ours.close()
                raise OSError("the pool is closed")
            self._connection, self._ready = Connection(ours.detach()), False
            descriptor = theirs.fileno()
            # -P: what lies in the folder of the server is not imported.
            command = [sys.executable, "-P", "-m", "unveil.serving.decoder_worker", str(descriptor)]
            self._process = subprocess.Popen(
                command, pass_fds=[descriptor], stdin=subprocess.DEVNULL
            )
        self._connection.send_bytes(self._task.written())

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self._process = None


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keep signals from what is started here until it ignores them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _box(box: list[int]) -> Box:
    left, top, width, height = box
    return left, top, width, height
