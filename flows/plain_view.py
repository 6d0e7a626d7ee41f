"""Shows a run of train-all as plain lines, where there is no terminal: CI, a pipe, a file.

One line when a step ends, one each when an architecture starts and ends, and at most one a minute
between them.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

from flows.run_state import Clock, Training
from flows.view import View
from unveil.common.durations import in_words

SILENCE = 60.0
"""The longest time without a line, in seconds."""


class PlainView(View):
    """Writes lines without control characters; warnings and errors to ``err``."""

    listens = True

    def __init__(self, out: TextIO, err: TextIO, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._out, self._err = out, err
        self._said = self.state.clock()

    def say(self, *lines: str) -> None:
        """Write lines to ``out``."""
        self._said = self.state.clock()
        write(self._out, lines)

    def warn(self, line: str) -> None:
        """Write a line to ``err``."""
        self._said = self.state.clock()
        write(self._err, [line])

    def refresh(self) -> None:
        """Write where the run is, if it has been silent for a minute."""
        if self.state.clock() - self._said >= SILENCE and (line := self._now()):
            self.say(line)

    def end_step(self, name: str, failure: str | None) -> None:
        """Write how long the step took, and its result."""
        super().end_step(name, failure)
        if (work := self.state.steps.get(name)) and work.state != "failed":
            result = f": {work.result}" if work.result else ""
            how = "up to date" if work.state == "up to date" else in_words(work.seconds)
            self.say(f"{name}, {how}{result}")

    def begin_training(self, key: str) -> None:
        """Write which architecture starts."""
        super().begin_training(key)
        self.say(f"{key} starts; {self.state.position()}")

    def end_training(self, key: str, result: str) -> None:
        """Write the scores of the architecture."""
        super().end_training(key, result)
        self.say(f"{key}, {ended(self.state.trainings[key])}")

    def _now(self) -> str:
        work = self.state.current
        if work is None:
            return ""
        if isinstance(work, Training):
            return f"{work.name}, {progress(work, self.state.detail)}; {self.state.position()}"
        detail = f", {self.state.detail}" if self.state.detail else ""
        return f"{work.name}, {in_words(self.state.elapsed(work))} so far{detail}"


def ended(training: Training) -> str:
    """Describe an architecture that has ended: its time and scores."""
    how = "up to date" if training.state == "up to date" else in_words(training.seconds)
    return f"{how}: {training.result}" if training.result else how


def progress(training: Training, detail: str) -> str:
    """Describe an architecture in work: its epoch, validation macro-F1 and progress bar."""
    if training.phase == "evaluating":
        return training.phase
    bar = detail.removeprefix(f"{training.name}, ") or training.phase
    if (one := training.epoch) is None:
        return bar
    return f"epoch {one.number} of {one.planned}, validation macro-F1 {one.score:.3f}, {bar}"


def write(stream: TextIO, lines: Iterable[str]) -> None:
    """Write lines at once; a reader that has gone does not end the run."""
    with suppress(OSError):
        for line in lines:
            print(line, file=stream, flush=True)
