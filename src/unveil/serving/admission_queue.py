"""Admission control: limits how many pictures are processed at once, so that none waits long.

By Little's law the waiting time of a picture is the number of pictures in progress times the
seconds between two completions. This interval is measured while the server is busy, and a request
that would wait longer than ``patience`` is rejected. At four times its capacity the server still
answers the admitted requests as fast as ever; the others get status 429 and can retry.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from unveil.inference.cores import available_cores

_SMOOTHING = 0.05
"""The weight of the newest value in the moving average of the interval."""


class QueueFull(Exception):
    """No more pictures can be answered in time; retry after ``retry_after`` seconds."""

    retry_after = 1


class AdmissionQueue:
    """Counts the pictures in progress. Not thread-safe: use it in the event loop's thread."""

    def __init__(
        self, most: int, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Admit at most ``most`` at once, fewer if they would wait longer than ``patience`` s."""
        self.inside = 0
        self.interval = 0.0
        self._requests = 0
        self._most = most
        self._cores = available_cores()
        self._patience = patience
        self._clock = clock
        self._left: float | None = None

    @property
    def allowed(self) -> int:
        """The current limit of pictures in progress; at least one for each core."""
        in_time = self._patience / self.interval if self.interval else self._most
        return min(self._most, max(int(in_time), self._cores))

    @property
    def is_full(self) -> bool:
        """Whether the next request would be rejected.

        Never before there is one request for each core: one batch may exceed the limit by itself.
        """
        return self.inside >= self.allowed and self._requests >= min(self._most, self._cores)

    @contextmanager
    def admit(self, pictures: int = 1) -> Iterator[None]:
        """Count ``pictures`` as in progress for the block; raises ``QueueFull``."""
        if self.is_full:
            raise QueueFull
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
            self.interval += (gap - self.interval) * (_SMOOTHING if self.interval else 1)
        self.inside -= pictures
        self._requests -= 1
        # When idle, the next gap measures how often requests arrive, not how long they take.
        self._left = now if self.inside else None
