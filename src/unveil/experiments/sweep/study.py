"""Optuna's study in a SQLite file: created whole, checked when reopened, and the next trial.

The sampler of each trial is seeded with the recipe's seed and the trial's number. So a search that
was interrupted proposes the same values as one that was not.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from unveil.common.errors import UserError, reason
from unveil.common.files import atomic_write
from unveil.common.paths import PACKED
from unveil.config.params import Params
from unveil.config.provenance import dvc_hash, parameters
from unveil.experiments.sweep import space as spaces
from unveil.experiments.sweep.recipe_values import Value, current
from unveil.experiments.sweep.space import Space

FILE = "study.db"
RECIPE = "recipe"
"""The attribute of the trial with the recipe's own values."""
STARTUP = 5
"""Complete trials before the first may be pruned."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


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
        return self.study.get_trials(deepcopy=False, states=FINISHED)

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials with a score: neither pruned nor failed."""
        return [one for one in self.trials if one.state == TrialState.COMPLETE]

    @property
    def warmup(self) -> int:
        """Epochs before a trial may be pruned: a third of the planned ones."""
        return sum(stage.epochs for stage in self.params.schedules[self.key].stages) // 3

    def values(self, trial: FrozenTrial | optuna.Trial) -> dict[str, Value]:
        """Return the values of a trial, as they are trained and written to the recipe."""
        if trial.user_attrs.get(RECIPE):
            return recipe_values(self.key, self.params, self.space)
        return spaces.values(self.space, {name: trial.params[name] for name in self.space})

    def next_trial(self) -> optuna.Trial:
        """Return the interrupted trial, or a new one; its values are proposed and stored."""
        left = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        number = left[0].number if left else len(self.trials)
        self.study.sampler = _sampler(self.params.training.seed, number)
        self.study.pruner = MedianPruner(STARTUP, self.warmup)
        trial = optuna.Trial(self.study, left[0]._trial_id) if left else self.study.ask()
        for name, distribution in self.space.items():
            trial._suggest(name, distribution)
        return trial


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
    for name, value in {**about, "origin": uuid.uuid4().hex}.items():
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


def _short(value: Any) -> str:
    if not isinstance(value, dict):
        return "absent" if value is None else str(value)
    known = {name: one for name, one in value["attributes"].items() if name in spaces.KEYS}
    return ", ".join(f"{name} {one}" for name, one in known.items())


def _sampler(seed: int, number: int) -> TPESampler:
    drawn = np.random.SeedSequence((seed, number)).generate_state(1)[0]
    return TPESampler(seed=int(drawn))
