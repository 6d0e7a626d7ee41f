"""What a run of train-all shows. This view is for deployments: it prints what Prefect then logs.

`python -m flows` uses `flows.live_view` on a terminal and `flows.plain_view` elsewhere. All methods
are called in the thread of the flow.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from prefect import State

from flows.duration import IMAGES, training_seconds
from flows.output_lines import is_result, is_warning
from flows.run_state import BAR, FACES, PROMOTE, REPORT, RUNNING, Clock, RunState, Work
from unveil.common.paths import SUMMARY
from unveil.experiments.epoch_lines import Epoch

OPTIONAL = ("card", REPORT)
"""The steps whose failure does not end the run."""

WITH_RESULT = (FACES, "manifest", "validate", "pack")
"""The steps whose first line of output is shown."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class View:
    """Follows a run; subclasses show its state."""

    listens = False
    """Whether it follows the output of commands, and needs the lines of each epoch."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.state = RunState(clock)
        self.log = ""
        """The file with the output of all commands, which each error names."""
        self._warned: set[str] = set()

    def say(self, *lines: str) -> None:
        """Show lines of progress, or the results."""
        for line in lines:
            print(line)

    def warn(self, line: str) -> None:
        """Show a warning or an error."""
        print(line)

    def finish(self, lines: Sequence[str]) -> None:
        """Show the last lines of the run."""
        self.say(*lines, *([f"log:     {self.log}"] if self.log else []))

    def _see(self) -> str:
        return f"; log: {self.log}" if self.log else ""

    def refresh(self) -> None:
        """Show that the state has changed, or that time has passed."""

    def plan(self, keys: Sequence[str]) -> None:
        """Set the architectures that will be trained."""
        images = IMAGES
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            images = sum(json.loads(SUMMARY.read_text())["used"]["train"].values())
        self.state.plan({key: training_seconds(key, images) for key in keys})

    def begin_step(self, name: str) -> None:
        """Start a step, or a stage of a training (``evaluate@cnn3``)."""
        verb, _, key = name.partition("@")
        if key in self.state.trainings:
            self.state.reach(self.state.trainings[key], phase=verb.removesuffix("e") + "ing")
        elif not key:
            self.state.begin(self.state.steps.setdefault(name, Work(name)))
        self.refresh()

    def end_step(self, name: str, failure: str | None) -> None:
        """End a step; the flow itself reports the failure of one that is not optional."""
        if "@" in name:
            return
        work = self.state.steps[name]
        self.state.end(work, failed=failure is not None, stages=_stages(name))
        if failure and name in OPTIONAL:
            self.warn(f"{name} failed: {failure}{self._see()}")
        self.refresh()

    def begin_training(self, key: str) -> None:
        """Start an architecture."""
        self.state.begin(self.state.trainings[key])
        self.refresh()

    def end_training(self, key: str, result: str) -> None:
        """End an architecture that was trained and evaluated."""
        training = self.state.trainings[key]
        training.result = result
        self.state.end(training, failed=False, stages=[f"train@{key}", f"evaluate@{key}"])
        self.refresh()

    def fail_training(self, key: str, state: State[Any]) -> None:
        """End an architecture that failed, and show the reason."""
        if key in self.state.trainings:
            self.state.end(self.state.trainings[key], failed=True)
        self.warn(f"{key} {str(state.name).lower()}: {state.message}{self._see()}")
        self.refresh()

    def hear(self, line: str, *, error: bool = False) -> None:
        """Follow a line of a command's output; ``error`` if it was written to stderr."""
        if not self.listens:  # all lines are shown anyway
            return
        current = self.state.current
        if epoch := Epoch.parse(line):
            if training := self.state.trainings.get(epoch.architecture):
                self.state.reach(training, epoch=epoch)
        elif bar := BAR.match(line):
            of = bar["name"].strip()
            share = f"{bar['share']} %"
            self.state.detail = share if current and of == current.name else f"{of}, {share}"
        elif started := RUNNING.match(line):
            self.state.ran.add(started["stage"])
        elif error and is_warning(line) and line not in self._warned:
            self._warned.add(line)
            self.warn(line)
        elif not error and current and current.name in WITH_RESULT and is_result(line):
            current.result = current.result or line
        self.refresh()


_deployed = View()
_shown: list[View] = []


def current() -> View:
    """Return the view of this run."""
    return _shown[-1] if _shown else _deployed


@contextmanager
def showing(view: View) -> Iterator[View]:
    """Show the run in the block in a view."""
    _shown.append(view)
    try:
        yield view
    finally:
        _shown.remove(view)


def step(
    name: str | None = None,
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a task to be a step of the view; its default name is the first argument."""

    def decorate(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(work)
        def shown(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            title = name or str(args[0] if args else next(iter(kwargs.values())))
            current().begin_step(title)
            result = work(*args, **kwargs)
            current().end_step(title, _failure(result))
            return result

        return shown

    return decorate


def _failure(result: object) -> str | None:
    failed = isinstance(result, State) and not result.is_completed()
    return str(getattr(result, "message", "")) if failed else None


def _stages(step: str) -> list[str]:
    return [step] if step not in (FACES, PROMOTE, REPORT) else []
