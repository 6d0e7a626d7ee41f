"""The search space: a YAML file with a range or choices for each parameter.

``NAME: {low: A, high: B}``, with ``log: true`` on a logarithmic scale, or
``NAME: {choices: [A, B]}``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from unveil.common.errors import UserError, reason, unknown_choice
from unveil.config import strict_yaml
from unveil.config.params import Params
from unveil.experiments.sweep.recipe_values import Value, current, with_values

DEFAULT = "default"
"""The name of the space that comes with unveil."""
DIGITS = 3
"""Significant digits of a proposed number, so that a person can read the recipe."""

Space = dict[str, BaseDistribution]
KEYS = ("low", "high", "log", "choices")


def load(source: str, key: str, params: Params) -> Space:
    """Read a space file, or the default; raises ``UserError`` naming file, parameter and value."""
    path = Path(__file__).with_name("default_space.yaml") if source == DEFAULT else Path(source)
    where = "the default space" if source == DEFAULT else source
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        choices = f"give a YAML file, or {DEFAULT!r}"
        raise UserError(f"space {source!r} cannot be read: {reason(error)}; {choices}") from None
    return parse(strict_yaml.parse(text, where), where, key, params)


def parse(content: Any, where: str, key: str, params: Params) -> Space:
    """Check the content of a space file against the recipe of an architecture."""
    if not isinstance(content, dict) or not content:
        raise UserError(f"{where}: no parameters; write NAME: {{low: A, high: B}}")
    known = current(key, params)
    space: Space = {}
    for name, entry in content.items():
        if name not in known:
            raise unknown_choice(f"parameter in {where}", name, known)
        space[name] = _distribution(entry, f"{where}: {name}", known[name])
        for value in _bounds(space[name]):
            _require_allowed(key, params, {name: value}, where)
    return space


def values(space: Space, proposed: Mapping[str, Any]) -> dict[str, Value]:
    """Round proposed numbers to ``DIGITS`` significant digits, inside their range."""
    return {name: _rounded(space[name], value) for name, value in proposed.items()}


def _rounded(distribution: BaseDistribution, value: Any) -> Any:
    if not isinstance(distribution, FloatDistribution):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)


def _distribution(entry: Any, where: str, recipe: Value) -> BaseDistribution:
    if not isinstance(entry, dict):
        raise UserError(
            f"{where}: found {entry!r}; write {{low: A, high: B}} or {{choices: [A, B]}}"
        )
    for name in entry:
        if name not in KEYS:
            raise unknown_choice(f"key in {where}", name, KEYS)
    if "choices" in entry:
        return _choices(entry, where, recipe)
    return _range(entry, where, recipe)


def _choices(entry: dict[str, Any], where: str, recipe: Value) -> BaseDistribution:
    choices = entry["choices"]
    if len(entry) > 1:
        raise UserError(
            f"{where}: choices and {', '.join(sorted(entry))}; give one of the two forms"
        )
    if not isinstance(choices, list) or len(set(map(repr, choices))) < 2:
        raise UserError(f"{where}: choices {choices!r} are not two different values or more")
    for choice in choices:
        _require_type(choice, where, recipe)
    kind = type(recipe)
    return CategoricalDistribution([kind(choice) for choice in choices])


def _range(entry: dict[str, Any], where: str, recipe: Value) -> BaseDistribution:
    if isinstance(recipe, bool | str):
        raise UserError(f"{where}: {recipe!r} in the recipe is not a number; give choices: [A, B]")
    for name in ("low", "high"):
        if name not in entry:
            raise UserError(f"{where}: no {name!r}; write {{low: A, high: B}}")
        _require_type(entry[name], f"{where}: {name}", recipe)
    low, high, log = entry["low"], entry["high"], entry.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{where}: log {log!r} is not true or false")
    if low >= high:
        raise UserError(
            f"{where}: the range from {low} to {high} is empty; low must be less than high"
        )
    if log and low <= 0:
        raise UserError(f"{where}: low {low} on a logarithmic scale; it must be more than 0")
    if isinstance(recipe, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _require_type(value: Any, where: str, recipe: Value) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number if isinstance(recipe, float) else type(value) is type(recipe)
    if not fits:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        kind = kinds[type(recipe)]
        raise UserError(f"{where}: {value!r} is not {kind}; the recipe has {recipe!r}")


def _bounds(distribution: BaseDistribution) -> tuple[Value, ...]:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)  # type: ignore[arg-type]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def _require_allowed(key: str, params: Params, value: dict[str, Value], where: str) -> None:
    try:
        with_values(key, params, value)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
