"""Trains one trial: it resumes from its checkpoint, and is pruned if worse than the median.

A trial is pruned by Optuna's rule: if its best epoch so far is worse than the median of the
complete trials at the same epoch. Only those that were complete when it began count, so a trial
ends the same way wherever it is trained and however often it was interrupted.
"""

import shutil

import keras
import optuna
from optuna.pruners import MedianPruner
from optuna.trial import create_trial

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.paths import CHECKPOINTS
from unveil.config.params import Params
from unveil.experiments import epoch_lines, teachers
from unveil.experiments.sweep.recipe_values import with_values
from unveil.experiments.sweep.tasks import COMPLETE, FAILED, PRUNED, Outcome, Task
from unveil.training import checkpoint
from unveil.training import train as trains
from unveil.training.callbacks import Record, Row
from unveil.training.checkpoint import Checkpoints, Diverged

STARTUP = 5
"""Complete trials before the first may be pruned."""


def run(task: Task, params: Params) -> Outcome:
    """Train a trial and log it to MLflow; ``params`` has the recipe that the task changes.

    A training that diverges is a failed trial. Any other ``UserError`` is raised, because the next
    trial would probably have it too.
    """
    keras.utils.clear_session()
    params = with_values(task.architecture, params, task.values)
    folder = CHECKPOINTS / task.place
    with checkpoint.opened(task.architecture, params, folder) as checkpoints:
        checkpoints.supersede(lambda origin: True)
        try:
            outcome = _outcome(task, params, checkpoints)
        except UserError:
            registry.end_trial(checkpoints.origin, FAILED, None)
            shutil.rmtree(folder)
            raise
        registry.end_trial(checkpoints.origin, outcome.state, outcome.score)
        # With its lock file: nothing uses the folder of this trial again.
        shutil.rmtree(folder)
    return outcome


def _outcome(task: Task, params: Params, checkpoints: Checkpoints) -> Outcome:
    rows: list[Row] = []
    try:
        state, reason = _train(task, params, checkpoints, rows), ""
    except Diverged as error:
        state, reason = FAILED, str(error)
    scores = [row["val_macro_f1"] for row in rows]
    return Outcome(state, scores, sum(row["seconds"] for row in rows), reason)


def _train(task: Task, params: Params, checkpoints: Checkpoints, rows: list[Row]) -> str:
    key = task.architecture
    tags = registry.trial_tags(f"{key}/{task.sweep}", task.number, task.parent)
    taught = teachers.teaching(key, params)
    with registry.reporting(key, params, checkpoints.origin, tags) as reporter:

        def record(row: Row) -> None:
            reporter.record(row)
            rows.append(row)

        lines = epoch_lines.with_lines(record, key, params.schedules[key])
        try:
            trains.train(key, params, checkpoints, pruning(task, lines), taught)
        except optuna.TrialPruned:
            return PRUNED
    return COMPLETE


def pruning(task: Task, record: Record) -> Record:
    """Return ``record``, which then raises ``TrialPruned`` after an epoch that is not enough."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # In memory: the search's own study may be on another machine.
    study = optuna.create_study(direction="maximize", pruner=MedianPruner(STARTUP, task.warmup))
    for scores in task.earlier:
        steps = dict(enumerate(scores))
        study.add_trial(create_trial(value=max(scores), intermediate_values=steps))
    trial = study.ask()

    def recording(row: Row) -> None:
        record(row)
        trial.report(row["val_macro_f1"], int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    return recording
