"""What a train-all has done so far, and the time left. The views show it."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from flows.duration import EVALUATION, STARTUP
from unveil.common.durations import in_words
from unveil.experiments.epoch_lines import Epoch

FACES, PROMOTE, REPORT = "faces", "promote", "report"
STEPS = (FACES, "manifest", "validate", "pack", "card")
LAST_STEPS = ("compare", PROMOTE, REPORT)
"""The steps before and after the trainings; the others have the names of their DVC stages."""

TAIL = 90.0
"""Seconds of the last steps on two cores."""

BAR = re.compile(r"(?P<name>[^%|]+?):\s+(?P<share>\d+)%\|")
"""A progress bar of tqdm."""

RUNNING = re.compile(r"Running stage '(?P<stage>[^']+)':")
"""DVC's line for a stage that is not up to date."""

Clock = Callable[[], float]


@dataclass
class Work:
    """A step, or the training and evaluation of an architecture."""

    name: str
    state: str = "waiting"
    """``waiting``, ``running``, ``done``, ``up to date`` or ``failed``."""
    began: float = 0.0
    seconds: float = 0.0
    result: str = ""


@dataclass
class Training(Work):
    """An architecture; ``expected`` seconds of its epochs on two cores."""

    expected: float = 0.0
    phase: str = "training"
    epoch: Epoch | None = None
    measured: float = 0.0
    """When its last epoch or its training ended."""

    @property
    def completed(self) -> float:
        """The part of the expected seconds that are done; 0 before the first epoch."""
        if self.epoch is None:
            return 0.0
        if self.phase == "evaluating":
            return STARTUP + self.expected
        return STARTUP + self.expected * self.epoch.number / self.epoch.planned


@dataclass
class RunState:
    """The steps and trainings of a run, in order."""

    clock: Clock = time.monotonic
    steps: dict[str, Work] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    """The DVC stages that were not up to date."""
    current: Work | None = None
    detail: str = ""
    """The last progress bar of the running command."""

    def __post_init__(self) -> None:
        self.steps = {name: Work(name) for name in (*STEPS, *LAST_STEPS)}

    def plan(self, expected: dict[str, float]) -> None:
        """Set the architectures and the expected seconds of their epochs."""
        self.trainings = {key: Training(key, expected=value) for key, value in expected.items()}

    def begin(self, work: Work) -> None:
        """Start a step or a training."""
        work.state, work.began, self.detail = "running", self.clock(), ""
        self.current = work

    def reach(self, training: Training, *, phase: str = "", epoch: Epoch | None = None) -> None:
        """Record the end of an epoch, or the begin of a phase."""
        training.measured = self.clock()
        training.phase, training.epoch = phase or training.phase, epoch or training.epoch

    def end(self, work: Work, *, failed: bool, stages: Sequence[str] = ()) -> None:
        """End a step or a training; it was up to date if none of its DVC stages ran."""
        work.seconds, self.detail, self.current = self.clock() - work.began, "", None
        ran = not stages or not self.ran.isdisjoint(stages)
        work.state = "failed" if failed else "done" if ran else "up to date"

    def elapsed(self, work: Work) -> float:
        """Return the seconds of a step or training so far."""
        return self.clock() - work.began if work.state == "running" else work.seconds

    def position(self) -> str:
        """Return how many architectures have ended, and about how long the rest takes."""
        ended = sum(one.state not in ("waiting", "running") for one in self.trainings.values())
        left = self.seconds_left()
        about = f", about {in_words(max(60, left))} left" if left else ""
        return f"{ended} of {len(self.trainings)} architectures{about}"

    def seconds_left(self) -> float | None:
        """Estimate the seconds until the end, from the speed so far; None if it is unknown."""
        took = worked = rest = since = 0.0
        for one in self.trainings.values():
            whole = STARTUP + one.expected + EVALUATION
            if one.state == "done":
                took, worked = took + one.seconds, worked + whole
            elif one.state == "running":
                took += one.measured - one.began if one.completed else 0
                since = self.clock() - (one.measured if one.completed else one.began)
                worked, rest = worked + one.completed, rest + whole - one.completed
            elif one.state == "waiting":
                rest += whole
        return max(1.0, took / worked * (rest + TAIL) - since) if worked and rest else None
