"""Runs a search: its missing trials by a runner, here or on workers, then the results."""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.trial import TrialState
from tqdm import tqdm

from unveil import registry
from unveil.common import backend, identifiers
from unveil.common.durations import in_words
from unveil.common.errors import UserError
from unveil.common.files import require_path
from unveil.common.locks import exclusive_lock
from unveil.common.paths import PACKED, SWEEPS
from unveil.config.params import Params
from unveil.experiments.sweep import results, study
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep.recipe_values import Value
from unveil.experiments.sweep.study import Sweep
from unveil.experiments.sweep.tasks import COMPLETE, FAILED, PRUNED, Outcome, Task


@dataclass(frozen=True)
class Wanted:
    """What a person asks for: how many trials, the space (a file or ``default``) and a name."""

    trials: int = 20
    space: str = spaces.DEFAULT
    name: str = "default"


@dataclass
class Search:
    """A search that runs: gives tasks, stores outcomes, and reports both on stderr."""

    sweep: Sweep
    wanted: Wanted
    parent: str
    """The id of its MLflow run, or ``""``."""
    _running: set[int] = field(default_factory=set)
    _ended: int = 0
    _began: float = field(default_factory=time.monotonic)

    def next(self) -> Task | None:
        """Return the next trial to train, or ``None`` if enough have ended or run."""
        if len(self.sweep.trials) + len(self._running) >= self.wanted.trials:
            return None
        task = self.sweep.next_task(self._running, self.parent)
        self._running.add(task.number)
        say(f"{self._label(task.number)}: {_listed(task.values)}")
        return task

    def end(self, number: int, outcome: Outcome) -> None:
        """Store the outcome of a trial, and rewrite the table of trials."""
        self.sweep.record(number, outcome)
        self._running.remove(number)
        self._ended += 1
        results.write_table(self.sweep)
        say(f"{self._label(number)}: {self._described(outcome)}{self._left()}")

    def fail(self, number: int, error: UserError) -> None:
        """Store a trial as failed."""
        self.end(number, Outcome(FAILED, reason=str(error)))

    def _label(self, number: int) -> str:
        return f"trial {number} of {self.sweep.key}"

    def _described(self, outcome: Outcome) -> str:
        if outcome.state == FAILED:
            return f"failed, {outcome.reason}"
        best = max((one.value or 0.0 for one in self.sweep.complete), default=0.0)
        score = f"validation macro-F1 {outcome.score:.3f} in {len(outcome.scores)} epochs"
        text = f"{score}, the best is {best:.3f}"
        return f"pruned, {text}" if outcome.state == PRUNED else text

    def _left(self) -> str:
        total, ended = self.wanted.trials, len(self.sweep.trials)
        seconds = (time.monotonic() - self._began) / self._ended * (total - ended)
        about = f", about {in_words(seconds)} left" if seconds else ""
        return f"; {ended} of {total} trials{about}"


Runner = Callable[[Search], None]
"""Trains what ``Search.next`` returns, until that is ``None`` and all have ended."""


def here(search: Search) -> None:
    """Train all trials in this process, one by one."""
    backend.load()

    from unveil.experiments.sweep import trial

    # It warns of each network after the fifth: "excessive number of tracings".
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    while task := search.next():
        try:
            outcome = trial.run(task, search.sweep.params)
        except UserError as error:
            search.fail(task.number, error)
            raise
        search.end(task.number, outcome)


def run(key: str, params: Params, wanted: Wanted, runner: Runner = here) -> str:
    """Run a search until it has the wanted number of trials; returns its summary.

    A second process with the same architecture and name gets a ``UserError`` immediately.
    """
    space = checked(key, params, wanted)
    folder = SWEEPS / key / wanted.name
    message = f"a sweep of {key} with the name {wanted.name!r} already runs here"
    with exclusive_lock(folder, message):
        sweep = study.open_sweep(key, params, space, folder)
        _say_known(sweep, wanted)
        name = f"{key}/{wanted.name}"
        with registry.sweep_run(name, sweep.origin, folder, _about(sweep)) as parent:
            try:
                runner(Search(sweep, wanted, parent))
            except KeyboardInterrupt:
                ended = f"{len(sweep.trials)} of {wanted.trials} trials have ended"
                say(f"the sweep of {key} is interrupted; {ended}; the same command continues it")
                raise
            found = results.write(sweep)
    return results.summary(sweep, found)


def checked(key: str, params: Params, wanted: Wanted) -> spaces.Space:
    """Return the space that is wanted; raises ``UserError`` for wrong options or missing faces."""
    params.require_architecture(key)
    identifiers.require_keys([wanted.name], "--name")
    if wanted.trials < 1:
        raise UserError(f"--trials {wanted.trials} is not possible; give 1 or more")
    space = spaces.load(wanted.space, key, params)
    for split in ("train", "validation"):
        require_path(PACKED / f"{split}.npz", made_by="unveil pack")
    return space


def _say_known(sweep: Sweep, wanted: Wanted) -> None:
    known = [one.state for one in sweep.study.trials if one.state != TrialState.WAITING]
    if known:
        states = [study.STATES.get(state, "interrupted") for state in known]
        kinds = (COMPLETE, PRUNED, FAILED, "interrupted")
        counts = [f"{states.count(kind)} {kind}" for kind in kinds if kind in states]
        ended = f"{len(sweep.trials)} of {wanted.trials} trials have ended"
        say(f"continues {sweep.folder}: {ended} ({', '.join(counts)})")
    own = study.recipe_values(sweep.key, sweep.params, sweep.space)
    if names := study.outside(own, sweep.space):
        values = _listed({name: own[name] for name in names})
        say(f"the recipe is not among the trials; outside of the space: {values}")


def _listed(values: dict[str, Value]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _about(sweep: Sweep) -> dict[str, str]:
    return {
        "architecture": sweep.key,
        "recipe": sweep.params.recipe,
        "training.seed": str(sweep.params.training.seed),
        **{f"space.{name}": str(one) for name, one in sweep.space.items()},
    }


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    # Not `print`, which would continue the line of a progress bar.
    tqdm.write(line, file=sys.stderr)
