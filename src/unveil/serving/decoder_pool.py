"""A pool of processes that decode pictures and detect faces; a slow one is killed and replaced.

A thread cannot stop a busy decoder, and Python runs no signal handler while native code is busy
(pebble and concurrent.futures end their processes by SIGTERM, or not at all). Expensive pictures
may use all processes but one, so that the other pictures never wait for them.
"""

import asyncio
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from unveil.data.decoding import UnreadableImage
from unveil.inference.face_crop import Detection, Square
from unveil.serving.decoder_worker import DecodeOptions, FoundFaces, WorkerConfig

STARTING = 60.0
"""Seconds that a process may take to import its modules."""
RESTART_INTERVAL = 5.0
"""Seconds between two restarts of processes that have ended."""


class DecodingFailed(Exception):
    """A picture exceeded its time limit, or the process that decoded it ended."""

    retry_after = 5


class DecoderPool:
    """Decodes pictures and detects faces in processes of its own."""

    def __init__(self, config: WorkerConfig, *, cores: int, seconds: float) -> None:
        """Start ``cores + 1`` processes; each picture may take ``seconds``."""
        self._light = ThreadPoolExecutor(cores + 1, thread_name_prefix="picture")
        self._heavy = ThreadPoolExecutor(cores, thread_name_prefix="heavy")
        self._workers = [_Worker(config, seconds) for _ in range(cores + 1)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._restart_at = time.monotonic() + RESTART_INTERVAL
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def is_ready(self) -> bool:
        """Whether the last start of at least one process succeeded."""
        return any(worker.has_started for worker in self._workers)

    def check(self) -> bool:
        """Note which processes have started, and restart those that ended; returns ``is_ready``."""
        restart = time.monotonic() >= self._restart_at
        if restart:
            self._restart_at = time.monotonic() + RESTART_INTERVAL
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        for worker in reversed(idle):
            try:
                worker.check(restart=restart)
            finally:
                self._idle.put(worker)
        return self.is_ready

    async def find(self, picture: bytes, options: DecodeOptions, *, heavy: bool) -> FoundFaces:
        """Detect a picture's faces; raises ``UnreadableImage`` or ``DecodingFailed``."""
        threads = self._heavy if heavy else self._light
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, self._find, picture, options)

    def close(self) -> None:
        """Abort the pictures in progress and end all processes."""
        for worker in self._workers:
            worker.close()
        for threads in (self._light, self._heavy):
            threads.shutdown(cancel_futures=True)

    def _find(self, picture: bytes, options: DecodeOptions) -> FoundFaces:
        worker = self._idle.get()
        try:
            answer, faces = worker.decode(picture, options)
        finally:
            self._idle.put(worker)
        if "failed" in answer:
            raise DecodingFailed(f"the picture cannot be processed: {answer['failed']}")
        if "reason" in answer:
            raise UnreadableImage(answer["reason"])
        size = answer["size"]
        cuts = np.frombuffer(faces, np.uint8).reshape(-1, size, size)
        return [(_detection(one), cut) for one, cut in zip(answer["found"], cuts, strict=True)]


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self, config: WorkerConfig, seconds: float) -> None:
        self._config, self._seconds = config, seconds
        self._closed, self._ready, self._lock = False, False, threading.Lock()
        self.has_started = False
        self._process: subprocess.Popen[bytes] | None = None
        # If it cannot start now, `decode` tries again.
        with suppress(OSError):
            self._start()

    def decode(self, picture: bytes, options: DecodeOptions) -> tuple[dict[str, Any], bytes]:
        """Process one picture; after ``DecodingFailed`` the process is replaced."""
        try:
            self._prepare()
            self._connection.send_bytes(options.to_json())
            self._connection.send_bytes(picture)
            answer = json.loads(self._wait(self._seconds, "the picture"))
            return answer, self._connection.recv_bytes()
        except TimeoutError as error:
            self._end()
            raise DecodingFailed(str(error)) from None
        except (OSError, EOFError, ValueError):
            self._end()
            raise DecodingFailed("the process that decoded the picture ended") from None

    def check(self, *, restart: bool) -> None:
        """Update ``has_started`` without waiting; ``restart`` a process that has ended."""
        if self._has_ended:
            self.has_started = self.has_started and self._ready
            if not restart:
                return
        try:
            if self._has_ended:
                self._start()
            if not self._ready and self._connection.poll():
                self._ready = self.has_started = bool(self._connection.recv_bytes())
        except (OSError, EOFError):
            self.has_started = False
            self._end()

    def close(self) -> None:
        """End the process for good."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    @property
    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _prepare(self) -> None:
        """Start the process if it has ended, and wait until it has started."""
        try:
            if self._has_ended:
                self._start()
            if not self._ready:
                self._ready = bool(self._wait(STARTING, "the start of a decoder process"))
        except (OSError, EOFError):
            self.has_started = False
            raise
        self.has_started = True

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
            # -P: do not import modules from the server's working folder.
            command = [sys.executable, "-P", "-m", "unveil.serving.decoder_worker", str(descriptor)]
            self._process = subprocess.Popen(
                command, pass_fds=[descriptor], stdin=subprocess.DEVNULL
            )
        self._connection.send_bytes(self._config.to_json())

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self._process = None


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals for a process started here until it ignores them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _detection(content: dict[str, Any]) -> Detection:
    left, top, width, height = content["box"]
    square = Square(**content["square"]) if content["square"] else None
    return Detection((left, top, width, height), square)
