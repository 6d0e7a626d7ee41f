"""Runs a search: the trials that are missing, one after the other, then the results."""

import logging
import sys

from optuna.trial import TrialState
from tqdm import tqdm

from unveil import registry
from unveil.common import identifiers
from unveil.common.errors import UserError
from unveil.common.files import require_path
from unveil.common.locks import exclusive_lock
from unveil.common.paths import PACKED, SWEEPS
from unveil.config.params import Params
from unveil.experiments.sweep import results, study, trial
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep.study import Sweep


def search(key: str, params: Params, count: int, *, space: str, name: str) -> str:
    """Run a search until it has ``count`` trials; returns its summary.

    A second process with the same architecture and name gets a ``UserError`` immediately.
    """
    params.require_architecture(key)
    identifiers.require_keys([name], "--name")
    if count < 1:
        raise UserError(f"--trials {count} is not possible; give 1 or more")
    read = spaces.load(space, key, params)
    for split in ("train", "validation"):
        require_path(PACKED / f"{split}.npz", made_by="unveil pack")
    # It warns of each network after the fifth: "excessive number of tracings".
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    folder = SWEEPS / key / name
    with exclusive_lock(folder, f"a sweep of {key} with the name {name!r} already runs here"):
        sweep = study.open_sweep(key, params, read, folder)
        _say_outside(sweep)
        with registry.sweep_run(f"{key}/{name}", sweep.origin, folder, _about(sweep)) as parent:
            _run_missing(sweep, count, parent)
            found = results.write(sweep)
    return results.summary(sweep, found)


def _run_missing(sweep: Sweep, count: int, parent: str) -> None:
    while (ended := len(sweep.trials)) < count:
        proposed = sweep.next_trial()
        label = f"trial {proposed.number}, {ended + 1} of {count}"
        try:
            _say(f"{label}: {_values(sweep, proposed.number)}")
            trial.run(sweep, proposed, parent)
        except KeyboardInterrupt:
            left = f"trial {proposed.number} of {sweep.key} is interrupted"
            _say(f"{left}; the same command continues it from its last epoch")
            raise
        results.write_table(sweep)
        _say(f"{label}: {_outcome(sweep, proposed.number)}")


def _values(sweep: Sweep, number: int) -> str:
    values = sweep.values(sweep.study.trials[number])
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _outcome(sweep: Sweep, number: int) -> str:
    ended = sweep.study.trials[number]
    if ended.state == TrialState.FAIL:
        return f"failed, {ended.user_attrs[trial.REASON]}"
    best = max((one.value or 0.0 for one in sweep.complete), default=0.0)
    epochs = len(ended.intermediate_values)
    score = results.score(ended) or 0.0
    text = f"validation macro-F1 {score:.3f} in {epochs} epochs, the best is {best:.3f}"
    return f"pruned, {text}" if ended.state == TrialState.PRUNED else text


def _say_outside(sweep: Sweep) -> None:
    own = study.recipe_values(sweep.key, sweep.params, sweep.space)
    if names := study.outside(own, sweep.space):
        values = ", ".join(f"{name} {own[name]}" for name in names)
        _say(f"the recipe is not among the trials; outside of the space: {values}")


def _about(sweep: Sweep) -> dict[str, str]:
    return {
        "architecture": sweep.key,
        "recipe": sweep.params.recipe,
        "training.seed": str(sweep.params.training.seed),
        **{f"space.{name}": str(one) for name, one in sweep.space.items()},
    }


def _say(line: str) -> None:
    # Not `print`, which would continue the line of a progress bar.
    tqdm.write(line, file=sys.stderr)
