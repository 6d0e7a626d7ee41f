"""The progress of a prediction on stderr: done, of how many, per second, and the time left."""

import time
from typing import Any

from tqdm import tqdm

DELAY = 2.0
"""Seconds after which the progress appears."""


class Progress(tqdm):  # type: ignore[type-arg]
    """A progress bar on a terminal only: a log file has no use for it."""

    def __init__(self, total: int | None, name: str, unit: str) -> None:
        """Prepare to count to ``total``, if that is known."""
        super().__init__(total=total, desc=name, unit=f" {unit}", delay=DELAY, disable=None)

    def refresh(self, *args: Any, **kwargs: Any) -> None:
        """Draw the bar again after a line was printed, if it is there already."""
        if not self.disable and time.time() - self.start_t >= DELAY:
            super().refresh(*args, **kwargs)
