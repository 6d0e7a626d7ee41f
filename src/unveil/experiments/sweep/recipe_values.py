"""The scalar parameters of a recipe by name, as in MLflow: read them, and replace them.

``network.X``, ``training.X``, ``training.augmentation.X``, ``stage1.X`` and ``stage2.X``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from unveil.common.errors import UserError
from unveil.config.params import Params

Value = bool | int | float | str

NOT_SEARCHED = ("network.builder", "training.seed")
"""Every trial has the seed of the recipe; another builder has other parameters."""


def current(key: str, params: Params) -> dict[str, Value]:
    """Return all scalar parameters of an architecture that a search may change."""
    schedule = params.schedules[key]
    groups: dict[str, Any] = {"network": params.architectures[key], "training": params.training}
    groups |= {f"stage{number}": stage for number, stage in enumerate(schedule.stages, start=1)}
    leaves = _leaves("", {name: to_jsonable_python(group) for name, group in groups.items()})
    return {name: value for name, value in leaves.items() if name not in NOT_SEARCHED}


def with_values(key: str, params: Params, values: Mapping[str, Value]) -> Params:
    """Return the parameters with other values; ``UserError`` for a value the schema refuses."""
    for name, value in values.items():
        try:
            params = _with_value(key, params, name.split("."), value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].lower()
            raise UserError(f"{name}: {message}, found {value!r}") from None
    return params


def _leaves(prefix: str, group: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in group.items():
        if isinstance(value, dict):
            found |= _leaves(f"{prefix}{name}.", value)
        elif isinstance(value, Value):
            found[f"{prefix}{name}"] = value
    return found


def _with_value(key: str, params: Params, path: list[str], value: Value) -> Params:
    group, *rest = path
    if group == "training":
        return replace(params, training=_replaced(params.training, rest, value))
    if group == "network":
        network = _replaced(params.architectures[key], rest, value)
        return replace(params, architectures={**params.architectures, key: network})
    schedule, place = params.schedules[key], int(group.removeprefix("stage")) - 1
    stages = list(schedule.stages)
    stages[place] = _replaced(stages[place], rest, value)
    changed = replace(schedule, stages=tuple(stages))
    return replace(params, schedules={**params.schedules, key: changed})


def _replaced(settings: Any, path: list[str], value: Value) -> Any:
    name, *rest = path
    return (
        replace(settings, **{name: _replaced(getattr(settings, name), rest, value)})
        if rest
        else (replace(settings, **{name: value}))
    )
