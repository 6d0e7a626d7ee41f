"""Load and validate ``params.yaml`` into the frozen dataclass ``Params``.

A missing, unknown or ill-typed key, an unknown recipe, or an architecture without a schedule is a
one-line ``UserError`` that names the key and the value.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from unveil.common import identifiers
from unveil.common.errors import UserError, unknown_choice
from unveil.common.files import atomic_write
from unveil.common.paths import PARAMS
from unveil.common.types import Split
from unveil.config import strict_yaml
from unveil.config.schedule import Schedule
from unveil.config.schema import (
    Audit,
    Data,
    Decision,
    File,
    Monitoring,
    Promotion,
    Provenance,
    Recipe,
    Report,
    Rules,
    Slicing,
    Training,
)
from unveil.networks import Architecture
from unveil.rules.expectations import RULES
from unveil.rules.settings import Rule, Setting

T = TypeVar("T")


@dataclass(frozen=True)
class Params:
    """The validated parameters of the chosen recipe, with its architectures resolved."""

    recipe: str
    classes: tuple[str, ...]
    data: Data
    rules: dict[str, Setting]
    audit: Audit
    report: Report
    decision: Decision
    slices: Slicing
    promotion: Promotion
    monitoring: Monitoring
    sample: dict[Split, int]
    architectures: dict[str, Architecture]
    schedules: dict[str, Schedule]
    training: Training
    near_twins: int
    provenance: Provenance

    def require_architecture(self, key: str) -> str:
        """Return ``key``; raises ``UserError`` with the choices if it is no architecture."""
        if key not in self.architectures:
            raise unknown_choice("architecture", key, self.architectures)
        return key


def load(path: Path = PARAMS) -> Params:
    """Load the parameters; raises ``UserError`` naming the key, the value and the choices."""
    file = _parse_file(path)
    if file.recipe not in file.recipes:
        raise unknown_choice(f"recipe in {path}", file.recipe, file.recipes)
    if sum(file.data.splits.values()) >= 1:
        raise UserError(f"{path}: data.splits: {file.data.splits} leave no training data")
    recipe = file.recipes[file.recipe]
    return Params(
        recipe=file.recipe,
        classes=file.classes,
        data=file.data,
        rules=_rules(file.rules, path),
        audit=file.audit,
        report=file.report,
        decision=file.decision,
        slices=file.slices,
        promotion=file.promotion,
        monitoring=file.monitoring,
        sample=file.sample,
        architectures={
            key: _architecture(key, entry, recipe=recipe, where=f"{path}: architectures.{key}")
            for key, entry in file.architectures.items()
        },
        schedules=recipe.schedules,
        training=recipe.training,
        near_twins=recipe.near_twins,
        provenance=file.provenance,
    )


def require_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Raise ``UserError`` for a recipe that is not in the file."""
    choices = _parse_file(path).recipes
    if recipe not in choices:
        raise unknown_choice("recipe", recipe, choices)


def require_known(
    recipe: str | None, architectures: Iterable[str] | None, path: Path = PARAMS
) -> None:
    """Raise ``UserError`` for a recipe or an architecture that is not in the file."""
    loaded = load(path)
    for key in architectures or ():
        loaded.require_architecture(key)
    if recipe is not None:
        require_recipe(recipe, path)


def choose_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Set the recipe: rewrite the line ``recipe: ...`` of the file and keep its comments."""
    text = _read_text(path)
    require_recipe(recipe, path)
    edited, lines = re.subn(r"(?m)^recipe:[^#\n]*?(?= *(#|$))", f"recipe: {recipe}", text, count=1)
    if not lines:
        raise UserError(f"{path} has no line `recipe: ...`")
    if edited != text:
        with atomic_write(path) as temporary:
            temporary.write_text(edited, encoding="utf-8")


def _read_text(path: Path) -> str:
    if not path.exists():
        raise UserError(f"no {path.name} in {path.parent.absolute()}; run in the project's folder")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8; `git checkout {path}` restores the last version"
        raise UserError(f"{path}: {reason}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {str(error.strerror).lower()}") from None


def _parse_file(path: Path) -> File:
    content = strict_yaml.parse(_read_text(path), str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path}: no keys; `git checkout {path}` restores the last version")
    file = _validate(TypeAdapter(File), content, str(path))
    identifiers.require_classes(file.classes, f"{path}: classes")
    identifiers.require_keys(file.architectures, f"{path}: architectures")
    identifiers.require_keys(file.recipes, f"{path}: recipes")
    for name, recipe in file.recipes.items():
        identifiers.require_keys(recipe.schedules, f"{path}: recipes.{name}.schedules")
    return file


def _architecture(key: str, entry: dict[str, Any], *, recipe: Recipe, where: str) -> Architecture:
    if key not in recipe.schedules:
        raise UserError(f"{where}: the recipe has no schedule for it; add schedules.{key}")
    merged = {**entry, **recipe.schedules[key].network}
    adapter: TypeAdapter[Architecture] = TypeAdapter(Architecture)
    return _validate(adapter, merged, where)


def _rules(content: Rules, path: Path) -> dict[str, Setting]:
    for section in ("manifest", "faces", "sets"):
        names = [rule.name for rule in RULES if rule.section == section]
        for name in getattr(content, section):
            if name not in names:
                raise unknown_choice(f"rule in {path}: rules.{section}", name, names)
    return {
        rule.name: _setting(
            rule, getattr(content, rule.section), f"{path}: rules.{rule.section}.{rule.name}"
        )
        for rule in RULES
    }


def _setting(rule: Rule, entries: dict[str, dict[str, Any]], where: str) -> Setting:
    if rule.name not in entries:
        raise UserError(f"{where}: missing key")
    entry = entries[rule.name]
    for key in entry:
        if key not in (keys := ("policy", *rule.bounds)):
            raise unknown_choice(f"key in {where}", key, keys)
    values = _validate(rule.entry_adapter(), entry, where).model_dump()
    return Setting(policy=values.pop("policy"), values=values)


def _validate(adapter: TypeAdapter[T], content: Any, where: str) -> T:
    try:
        # JSON mode, because strict mode would refuse the lists of YAML as tuples.
        return adapter.validate_json(json.dumps(content))
    except ValidationError as error:
        # A misspelt key is both unknown and missing: the unknown one says more.
        first = min(error.errors(), key=lambda one: one["type"] not in _UNKNOWN)
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key}: {_reason(first)}") from None


_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def _reason(error: Any) -> str:
    value = error["input"]
    if error["type"] == "missing":
        return "missing key"
    if error["type"] in _UNKNOWN:
        return "unknown key"
    found = repr(value)
    reason = f"{error['msg'].lower()}, found {found if len(found) <= 120 else f'{found[:117]}...'}"
    if isinstance(value, str) and re.fullmatch(r"-?[\d.]+[eE][+-]?\d+", value):
        return f"{reason}: write it with a decimal point and a sign, 1.0e-3"
    return reason
