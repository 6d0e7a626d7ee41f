"""One trial: a training with proposed values, judged by its best validation macro-F1.

It resumes from its checkpoint, and is pruned if its epochs so far are worse than the median trial.
"""

import keras
import optuna
from optuna.trial import TrialState

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.paths import CHECKPOINTS
from unveil.config.params import Params
from unveil.experiments.sweep.recipe_values import with_values
from unveil.experiments.sweep.study import Sweep
from unveil.training import checkpoint
from unveil.training import train as trains
from unveil.training.callbacks import Record, Row
from unveil.training.checkpoint import Checkpoints, Diverged

SECONDS = "seconds"
"""The attribute of a trial with the seconds of its epochs."""
REASON = "reason"
"""The attribute of a failed trial that says why."""


def run(sweep: Sweep, trial: optuna.Trial, parent: str) -> None:
    """Train one trial and store its result in the study and in MLflow.

    A training that diverges is a failed trial. So is one with any other ``UserError``, which is
    raised again, because the next trial would probably have it too.
    """
    keras.utils.clear_session()
    params = with_values(sweep.key, sweep.params, sweep.values(trial))
    folder = CHECKPOINTS / f"{sweep.key}@sweep-{sweep.folder.name}"
    with checkpoint.opened(sweep.key, params, folder) as checkpoints:
        checkpoints.supersede(lambda origin: True)
        try:
            score = _train(sweep, trial, params, checkpoints, parent)
            state = TrialState.PRUNED if score is None else TrialState.COMPLETE
        except UserError as error:
            trial.set_user_attr(REASON, str(error))
            sweep.study.tell(trial, state=TrialState.FAIL)
            registry.end_trial(checkpoints.origin, "failed", None)
            if not isinstance(error, Diverged):
                raise
        else:
            sweep.study.tell(trial, score, state)
            registry.end_trial(checkpoints.origin, state.name.lower(), score)
        checkpoints.remove()


def _train(
    sweep: Sweep, trial: optuna.Trial, params: Params, checkpoints: Checkpoints, parent: str
) -> float | None:
    """Return the best validation macro-F1; ``None`` if the trial is pruned."""
    name = f"{sweep.key}/{sweep.folder.name}"
    tags = registry.trial_tags(name, trial.number, parent)
    with registry.reporting(sweep.key, params, checkpoints.origin, tags) as reporter:
        try:
            record = pruning(trial, reporter.record)
            trained = trains.train(sweep.key, params, checkpoints, record)
        except optuna.TrialPruned:
            return None
    return float(trained.history["val_macro_f1"].max())


def pruning(trial: optuna.Trial, record: Record) -> Record:
    """Return ``record``, which also reports each epoch to Optuna and raises ``TrialPruned``.

    A resumed training records its past epochs again; Optuna knows them already.
    """
    known = set(trial.study.trials[trial.number].intermediate_values)
    last = max(known, default=-1)
    seconds = []

    def recording(row: Row) -> None:
        record(row)
        step = int(row["epoch"])
        seconds.append(row["seconds"])
        trial.set_user_attr(SECONDS, sum(seconds))
        if step not in known:
            trial.report(row["val_macro_f1"], step)
        # Also for the last known one: the process may have ended before it was pruned.
        if step >= last and trial.should_prune():
            raise optuna.TrialPruned

    return recording
