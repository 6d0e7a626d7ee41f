"""How many pictures are worked on at once, so that none of them waits long.

By Little's law a picture waits for as many others as are inside times the seconds between two that
leave. That pace is measured while the server is busy, and nobody is let in who would wait longer
than ``patience``: under four times the load it can take, the server answers as fast as ever those
it takes, and tells the others to come back.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SHARE = 0.05
"""Of the newest gap in the moving average of the pace."""


class Full(Exception):
    """There are as many pictures as can be answered in time; come back in ``retry_after`` s."""

    retry_after = 1


class Turnstile:
    """Counts pictures in and out; for one thread, that of the event loop."""

    def __init__(
        self, most: int, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Let in ``most`` at once, fewer where these would wait for longer than ``patience``."""
        self.inside = 0
        self.pace = 0.0
        self._requests = 0
        self._most = most
        self._patience = patience
        self._clock = clock
        self._left: float | None = None

    @property
    def allowed(self) -> int:
        """How many may be inside now; never fewer than keep all cores busy."""
        in_time = self._patience / self.pace if self.pace else self._most
        return min(self._most, max(int(in_time), _cores()))

    @property
    def is_full(self) -> bool:
        """Whether the next request would be sent away.

        Not before there is one for each core: a batch may be more than is allowed by itself.
        """
        return self.inside >= self.allowed and self._requests >= min(self._most, _cores())

    @contextmanager
    def passed(self, pictures: int = 1) -> Iterator[None]:
        """Be inside with so many pictures for the block; raises ``Full``."""
        if self.is_full:
            raise Full
        self.inside += pictures
        self._requests += 1
        try:
            yield
        finally:
            self._leave(pictures)

    def _leave(self, pictures: int) -> None:
        now = self._clock()
        if self._left is not None:
            gap = (now - self._left) / pictures
            self.pace += (gap - self.pace) * (_SHARE if self.pace else 1)
        self.inside -= pictures
        self._requests -= 1
        # With nobody left inside, the next gap tells how often one comes, not how long it takes.
        self._left = now if self.inside else None


def _cores() -> int:
    return len(os.sched_getaffinity(0))
