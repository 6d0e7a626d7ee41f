"""Optuna's study in a SQLite file: created whole, checked when reopened; its trials.

The sampler of each trial is seeded with the recipe's seed and the trial's number. So a search that
was interrupted proposes the same values as one that was not, if its trials run one by one.
"""

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from unveil.common.errors import UserError, reason
from unveil.common.files import atomic_write
from unveil.common.paths import PACKED
from unveil.config.params import Params
from unveil.config.provenance import dvc_hash, git_commit, parameters, source_digests
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep.recipe_values import Value, current
from unveil.experiments.sweep.space import Space
from unveil.experiments.sweep.tasks import COMPLETE, DIGITS, FAILED, PRUNED, Outcome, Task

FILE = "study.db"
RECIPE = "recipe"
"""The attribute of the trial with the recipe's own values."""
ATTEMPT = "attempt"
"""The attribute that counts how often a trial was sent to a worker."""
SECONDS, REASON = "seconds", "reason"
"""The attributes of a trial: the seconds of its epochs, and why it failed."""
STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
}
"""The states of trials that have ended, and their names."""


@dataclass(frozen=True)
class Sweep:
    """A search: Optuna's study, the space, and what all trials have in common."""

    key: str
    params: Params
    space: Space
    study: optuna.Study
    folder: Path

    @property
    def origin(self) -> str:
        """The ID of the search, 32 hexadecimal digits."""
        return str(self.study.user_attrs["origin"])

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that have ended, in their order."""
        return self.study.get_trials(deepcopy=False, states=tuple(STATES))

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials with a score: neither pruned nor failed."""
        return [one for one in self.trials if one.state == TrialState.COMPLETE]

    def values(self, trial: FrozenTrial) -> dict[str, Value]:
        """Return the values of a trial, as they are trained and written to the recipe."""
        if trial.user_attrs.get(RECIPE):
            return recipe_values(self.key, self.params, self.space)
        return spaces.values(self.space, {name: trial.params[name] for name in self.space})

    def next_task(self, running: Collection[int], parent: str) -> Task:
        """Return an interrupted trial that is not ``running``, or a new one, as a task.

        Its values are proposed and stored.
        """
        unended = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        left = [one for one in unended if one.number not in running]
        number = left[0].number if left else len(self.trials) + len(unended)
        self.study.sampler = _sampler(self.params.training.seed, number)
        trial = self._trial(number) if left else self.study.ask()
        for name, distribution in self.space.items():
            trial._suggest(name, distribution)
        values = self.values(self.study.trials[trial.number])
        earlier = [_scores(one) for one in self.complete]
        epochs = sum(stage.epochs for stage in self.params.schedules[self.key].stages)
        # Not in the first third of the epochs.
        return Task(
            architecture=self.key,
            sweep=self.folder.name,
            number=trial.number,
            values=values,
            warmup=epochs // 3,
            parent=parent,
            earlier=earlier,
        )

    def record(self, number: int, outcome: Outcome) -> None:
        """Store how a trial ended."""
        trial = self._trial(number)
        known = self.study.trials[number].intermediate_values
        for step, score in enumerate(outcome.scores):
            if step not in known:  # a process that ended here had stored some
                trial.report(score, step)
        trial.set_user_attr(SECONDS, outcome.seconds)
        trial.set_user_attr(REASON, outcome.reason)
        state = next(state for state, name in STATES.items() if name == outcome.state)
        self.study.tell(trial, outcome.score if outcome.state == COMPLETE else None, state)

    def attempt(self, number: int, *, another: bool = False) -> int:
        """Return how often a trial was sent to a worker, at least 1; ``another`` counts one."""
        count = int(self.study.trials[number].user_attrs.get(ATTEMPT, 1)) + another
        self._trial(number).set_user_attr(ATTEMPT, count)
        return count

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self.study.trials[number]._trial_id)


def open_sweep(key: str, params: Params, space: Space, folder: Path) -> Sweep:
    """Open the study in a folder, or create it; its first trial is the recipe itself.

    Raises ``UserError`` if the study has another space, recipe or data, or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = folder / FILE
    about = _about(key, params, space)
    if not path.exists():
        with atomic_write(path) as temporary:
            _create(temporary, about, recipe_values(key, params, space), space)
    try:
        study = optuna.load_study(study_name=None, storage=_storage(path))
        kept = dict(study.user_attrs)
    except (SQLAlchemyError, KeyError, ValueError, RuntimeError) as error:
        cause = f"{path} cannot be read: {reason(error)}"
        raise UserError(f"{cause}; move {folder} away, or give another --name") from None
    _require_same(kept, about, folder)
    return Sweep(key, params, space, study, folder)


def recipe_values(key: str, params: Params, space: Space) -> dict[str, Value]:
    """Return the recipe's own values of the parameters of a space."""
    own = current(key, params)
    return {name: own[name] for name in space}


def outside(values: Mapping[str, Value], space: Space) -> list[str]:
    """Name the parameters whose value is not in the space."""
    found = []
    for name, value in values.items():
        try:
            inside = space[name]._contains(space[name].to_internal_repr(value))
        except ValueError:
            inside = False
        if not inside:
            found.append(name)
    return found


def _create(path: Path, about: Mapping[str, Any], own: Mapping[str, Value], space: Space) -> None:
    storage = _storage(path)
    study = optuna.create_study(storage=storage, direction="maximize", study_name="sweep")
    for name, value in {**about, "origin": uuid.uuid4().hex, "commit": git_commit()}.items():
        study.set_user_attr(name, value)
    if not outside(own, space):
        study.enqueue_trial(dict(own), user_attrs={RECIPE: True})
    storage.engine.dispose()


def _storage(path: Path) -> optuna.storages.RDBStorage:
    # Seconds to wait for another process that reads the file.
    return optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


def _about(key: str, params: Params, space: Space) -> dict[str, Any]:
    described = {name: str(value) for name, value in parameters(key, params).items()}
    splits = [PACKED / f"{name}.npz" for name in ("train", "validation")]
    return {
        "space": {name: json.loads(distribution_to_json(one)) for name, one in space.items()},
        "recipe": described,
        "data": [dvc_hash(path) for path in splits],
        "code": hashlib.sha256("".join(source_digests()).encode()).hexdigest(),
    }


def _require_same(kept: Mapping[str, Any], about: Mapping[str, Any], folder: Path) -> None:
    remedy = "restore them, or give another --name"
    for group, what in (("space", "another space"), ("recipe", "other parameters")):
        old, new = kept.get(group, {}), about[group]
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            changes = "; ".join(
                f"{name} was {_short(old.get(name))}, now {_short(new.get(name))}"
                for name in names[:3]
            )
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"{folder} is a sweep with {what}: {changes}{more}; {remedy}")
    if kept.get("data") != about["data"]:
        raise UserError(f"{folder} is a sweep on other packed faces; {remedy}")
    if kept.get("code") != about["code"]:
        began = f"{folder} is a sweep with other code; it began at commit {kept.get('commit')}"
        raise UserError(f"{began}: check that out, or give another --name")


def _short(value: Any) -> str:
    if not isinstance(value, dict):
        return "absent" if value is None else str(value)
    known = {name: one for name, one in value["attributes"].items() if name in spaces.KEYS}
    return ", ".join(f"{name} {one}" for name, one in known.items())


def _sampler(seed: int, number: int) -> TPESampler:
    drawn = np.random.SeedSequence((seed, number)).generate_state(1)[0]
    return TPESampler(seed=int(drawn))


def _scores(trial: FrozenTrial) -> list[float]:
    return [round(score, DIGITS) for _, score in sorted(trial.intermediate_values.items())]
